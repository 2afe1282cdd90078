"""The bins that features are counted in, learnt once from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.records import DAY_MS
from feedback.drift.columns import Column
from ranking.dataset import Impressions
from ranking.features import REQUEST_FIELDS, bag_starts

_PERSON = int(bag_starts(REQUEST_FIELDS)[[field.name for field in REQUEST_FIELDS].index("user")])

MOST = 20
"""Bins of a feature. Of names the most frequent have their own; the others share one, and what the
reference has seen of one person, or never, the last: what comes once is about as much as will come
that is new (Good 1953). Persons are counted: one brings its own names again and again."""
USUALLY_NEW = 0.005
"""Where more of the values are new by themselves, new ones share the bin of the others: people turn
to other things every day, and the share of what they did not do before only grows."""
MOST_KNOWN = 65_536
"""Names that are told from new ones; in longer lists the rarest count as new."""


@dataclass(frozen=True, slots=True)
class Bins:
    """F features' bins end to end."""

    name: NDArray[np.str_]
    role: NDArray[np.int8]
    numeric: NDArray[np.bool_]
    start: NDArray[np.int64]
    """[F + 1] where each feature's bins begin."""
    cut: NDArray[np.float64]
    """End to end: the values that have a bin of their own, or the inner edges; ascending."""
    cut_start: NDArray[np.int64]
    """[F + 1]"""
    known: NDArray[np.float64]
    """End to end: the other names that more than one person brought, ascending."""
    known_start: NDArray[np.int64]
    """[F + 1]"""

    def __len__(self) -> int:
        return len(self.name)

    def place(self, feature: int, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Bin of each value, counted over all features."""
        cut = self.cut[self.cut_start[feature] : self.cut_start[feature + 1]]
        if self.numeric[feature]:
            found = np.searchsorted(cut, values.astype(np.float64), side="right")
        else:
            known = self.known[self.known_start[feature] : self.known_start[feature + 1]]
            last = int(self.start[feature + 1] - self.start[feature]) - 1
            seen = np.where(_among(known, values)[1], len(cut), last)
            own, has_own = _among(cut, values)
            found = np.where(has_own, own, seen)
        place: NDArray[np.int64] = found.astype(np.int64) + self.start[feature]
        return place


def _among(
    names: NDArray[np.float64], values: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each value stands in the ascending names, and whether it does."""
    if not len(names):
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(names, values), len(names) - 1)
    return at, names[at] == values


def learn(columns: Sequence[Column], table: Impressions) -> Bins:
    """Equally full bins of magnitudes; of names the most frequent of the first half of the days,
    so that the second half shows how many new ones come by themselves."""
    person = table.request[:, _PERSON].astype(np.int64)
    person = np.where(person > 0, person, -1 - np.arange(len(person)))  # each unknown one is new
    early = _early(table)
    first = np.zeros(len(table.request), np.bool_)
    first[table.of[early]] = True
    found = []
    for one in columns:
        who, before = (person, first) if one.of_requests else (person[table.of], early)
        found.append(_of_magnitudes(one.values) if one.numeric else _of_names(one, who, before))
    return Bins(
        name=np.array([one.name for one in columns]),
        role=np.array([one.role for one in columns], np.int8),
        numeric=np.array([one.numeric for one in columns]),
        start=np.cumsum([0, *(len(one.cut) + one.others for one in found)]),
        cut=np.concatenate([one.cut for one in found]),
        cut_start=np.cumsum([0, *(len(one.cut) for one in found)]),
        known=np.concatenate([one.known for one in found]),
        known_start=np.cumsum([0, *(len(one.known) for one in found)]),
    )


@dataclass(frozen=True, slots=True)
class _Binned:
    """One feature's bins."""

    cut: NDArray[np.float64]
    known: NDArray[np.float64]
    others: int
    """Bins behind those of `cut`."""


def _of_magnitudes(values: NDArray[np.generic]) -> _Binned:
    """Inner edges; a value that fills whole bins is the lower edge of one."""
    if not len(values):
        return _Binned(np.empty(0), np.empty(0), 1)
    inner = np.quantile(values.astype(np.float64), np.arange(1, MOST) / MOST)
    return _Binned(np.unique(inner), np.empty(0), 1)


def _of_names(column: Column, person: NDArray[np.int64], before: NDArray[np.bool_]) -> _Binned:
    """Known and new names share a bin where new ones are usual."""
    cut, known = _names(column.values[before], person[before])
    late = column.values if before.all() else column.values[~before]
    new = ~(_among(cut, late)[1] | _among(known, late)[1])
    return _Binned(cut, known, 2 if len(known) and new.mean() <= USUALLY_NEW else 1)


def _early(table: Impressions) -> NDArray[np.bool_]:
    """[R] of the first half of the days; of a single day all."""
    day = table.time_ms // DAY_MS
    first, last = int(day.min(initial=1 << 62)), int(day.max(initial=0))
    return day <= (first + last) // 2


def _names(
    values: NDArray[np.generic], person: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Names with a bin of their own, and the others that more than one person brought."""
    names, name, count = np.unique(values, return_inverse=True, return_counts=True)
    _, who = np.unique(person, return_inverse=True)
    pairs = np.unique(name * (int(who.max(initial=0)) + 1) + who)
    persons = np.bincount(pairs // (int(who.max(initial=0)) + 1), minlength=len(names))
    order = np.argsort(-count, kind="stable")
    order = order[persons[order] > 1]
    frequent, rest = order[: MOST - 2], order[MOST - 2 : MOST_KNOWN]
    return np.sort(names[frequent]).astype(np.float64), np.sort(names[rest]).astype(np.float64)
