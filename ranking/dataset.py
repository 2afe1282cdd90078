"""Impressions in encoded form: what training, calibration and the release gate read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ranking.counts import COUNTS


class Unreadable(ValueError):
    """A file is missing, damaged or of another kind; says which."""


@dataclass(frozen=True, slots=True)
class Impressions:
    """R impressions of Q requests over a catalogue of N ads, oldest first.

    The rows of one request stand together, so that the request tower runs once for them.
    """

    request: NDArray[np.int32]
    """[Q, width(REQUEST_FIELDS)] encoded requests."""
    catalogue: NDArray[np.int32]
    """[N, width(AD_FIELDS)] encoded ads."""
    of: NDArray[np.int32]
    """[R] the request of each impression, never falling."""
    ad: NDArray[np.int32]
    """[R] row of `catalogue`."""
    slot: NDArray[np.int32]
    """[R, 3] encoded slots."""
    click: NDArray[np.uint8]
    truth: NDArray[np.float32]
    """[R] the simulator's own click rate; empty for a real log."""
    counts: NDArray[np.float32]
    """[R, COUNTS] running counts as they were when the request was decided."""
    weight: NDArray[np.float32]
    """[R] how much each row counts in training."""
    time_ms: NDArray[np.int64]
    """[R] wall clock of the decision; empty for data without dates."""

    @classmethod
    def uncounted(cls, *known: Any) -> Impressions:
        """Of the columns up to `truth`: nothing was counted, all rows weigh the same."""
        rows = len(known[2])
        counts, weight = np.zeros((rows, COUNTS), np.float32), np.ones(rows, np.float32)
        columns = (*known, counts, weight, np.empty(0, np.int64))
        return cls(**{field.name: one for field, one in zip(fields(cls), columns, strict=True)})

    @classmethod
    def joined(cls, tables: Sequence[Impressions]) -> Impressions:
        """End to end, the oldest first; their catalogues too. At least one."""
        requests = np.cumsum([0, *(len(one.request) for one in tables)])
        ads = np.cumsum([0, *(len(one.catalogue) for one in tables)])
        moved = [
            replace(one, of=one.of + np.int32(before), ad=one.ad + np.int32(known))
            for one, before, known in zip(tables, requests, ads, strict=False)
        ]
        names = [column.name for column in fields(cls)]
        return cls(*(np.concatenate([getattr(one, name) for one in moved]) for name in names))

    def __len__(self) -> int:
        return len(self.of)

    def click_rate(self) -> float:
        """Clicks per impression by weight, drawn to 1 % by fifty: never 0, never 1."""
        return (float(self.weight[self.click > 0].sum()) + 0.5) / (float(self.weight.sum()) + 50)

    def part(self, start: int, stop: int) -> Impressions:
        """The impressions of requests start … stop - 1, renumbered from 0."""
        first, last = np.searchsorted(self.of, (start, stop))
        kept = slice(int(first), int(last))
        of = self.of[kept] - np.int32(start)
        return replace(self, request=self.request[start:stop], of=of, **self._rows(kept))

    def starts(self) -> NDArray[np.int64]:
        """[Q + 1] where each request's impressions begin."""
        return np.searchsorted(self.of, np.arange(len(self.request) + 1))

    def where(self, keep: NDArray[np.bool_]) -> Impressions:
        """The kept rows; requests without any are dropped and the others renumbered."""
        used, of = np.unique(self.of[keep], return_inverse=True)
        request = self.request[used]
        return replace(self, request=request, of=of.astype(np.int32), **self._rows(keep))

    def _rows(self, kept: slice | NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """The columns of impressions but `of`, at these rows; empty ones stay empty."""
        names = ("ad", "slot", "click", "truth", "counts", "weight", "time_ms")
        columns = {name: getattr(self, name) for name in names}
        return {name: one[kept] if len(one) else one for name, one in columns.items()}

    def save(self, path: Path) -> None:
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Impressions:
        """What `save` wrote; Unreadable if the file is not that."""
        try:
            stored = np.load(path)
            return cls(*(stored[field.name] for field in fields(cls)))
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None
        except (ValueError, LookupError, EOFError, BadZipFile) as error:
            raise Unreadable(f"{path} is no table of impressions") from error


@dataclass(frozen=True, slots=True)
class Split:
    """By time: a model is never judged on what it saw; calibration is the newest it learns."""

    train: Impressions
    calibration: Impressions
    test: Impressions


def split(table: Impressions, calibration: float = 0.05, test: float = 0.05) -> Split:
    """The last share of requests to test, the share before to calibrate, the rest to train."""
    count = len(table.request)
    newest, recent = int(count * (1 - test)), int(count * (1 - test - calibration))
    return Split(table.part(0, recent), table.part(recent, newest), table.part(newest, count))


def thinned(table: Impressions, negatives: float, rng: np.random.Generator) -> Impressions:
    """Every click, and this share of the impressions without one."""
    return table.where((table.click > 0) | (rng.random(len(table)) < negatives))


class Batch(NamedTuple):
    """Q requests, R of their impressions and the A ads in them, as the models take them."""

    request: NDArray[np.int32]
    """[Q, width(REQUEST_FIELDS)]"""
    of: NDArray[np.int64]
    """[R] the request of each row."""
    ad: NDArray[np.int32]
    """[A, width(AD_FIELDS)] each ad once."""
    which: NDArray[np.int64]
    """[R] the ad of each row."""
    slot: NDArray[np.int32]
    """[R, 3]"""
    counts: NDArray[np.float32]
    """[R, COUNTS]"""
    click: NDArray[np.float32]
    weight: NDArray[np.float32]
    asked: NDArray[np.int64]
    """[Q] rows of the table's requests."""
    shown: NDArray[np.int64]
    """[A] rows of the table's catalogue."""
    rows: int
    """Of the whole batch, where this is a part of one."""


def batches(
    table: Impressions,
    size: int,
    rng: np.random.Generator,
    skip: int = 0,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Every impression once, whole requests at a time, in random order, about `size` rows each.

    The first `skip` batches are left out, and of each other one only this part of so many is made:
    all parts together are the batch.
    """
    start = table.starts()
    order = rng.permutation(len(table.request))
    step = max(1, round(size * len(order) / max(len(table), 1)))
    for at in range(skip * step, len(order), step):
        chosen = order[at : at + step]
        count = start[chosen + 1] - start[chosen]
        rows = int(count.sum())
        reached = np.cumsum(count)
        first, last = np.searchsorted(
            reached, [one * rows / part[1] for one in (part[0], part[0] + 1)]
        )
        own = slice(int(first), int(last) if part[0] + 1 < part[1] else len(chosen))
        yield _batch(table, chosen[own], start, rows)


def _batch(
    table: Impressions, chosen: NDArray[np.int64], start: NDArray[np.int64], rows: int
) -> Batch:
    """The impressions of the chosen requests."""
    count = start[chosen + 1] - start[chosen]
    before = np.cumsum(count) - count
    row = np.arange(count.sum()) + np.repeat(start[chosen] - before, count)
    shown, which = np.unique(table.ad[row], return_inverse=True)
    return Batch(
        table.request[chosen],
        np.repeat(np.arange(len(chosen)), count),
        table.catalogue[shown],
        which,
        table.slot[row],
        table.counts[row],
        table.click[row].astype(np.float32),
        table.weight[row],
        chosen,
        shown.astype(np.int64),
        rows,
    )
