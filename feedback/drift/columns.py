"""Which features are watched: their values, plain columns of a table of impressions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ranking.counts import KEYS, WINDOWS_S
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, SLOT_FIELDS, Field, bag_starts

OF_TIME = ("hour", "weekday")
OF_ONE = ("user", "ad", "campaign")
"""Time passes, and of single people and ads there are too many to count."""
OF_THE_PAST = ("clicked", "seen")
"""What a person did depends on what it was shown."""
SCORE = "score"


class Role(IntEnum):
    INPUT = 0
    """What comes to the server: changes are the world's."""
    OUTCOME = 1
    """What the model made of it: changes with every release, so it is compared within one."""
    SHOWN = 2
    """Ads, what is counted of them and who has seen them: compared likewise, but never an alarm.
    Campaigns begin and end every day, and counts fill up after a start: a market without any shift
    would be reported after three days."""


@dataclass(frozen=True, slots=True)
class Column:
    """One watched feature."""

    name: str
    role: Role
    values: NDArray[np.generic]
    """[Q] of requests, or [R] of impressions; whole numbers are names, others are magnitudes."""
    of_requests: bool

    @property
    def numeric(self) -> bool:
        return self.values.dtype.kind == "f"


def columns(table: Impressions, score: NDArray[np.floating]) -> list[Column]:
    """What is watched of R impressions and the click rates [R] that were predicted of them.

    Of a bag its first value: the others depend on it, and critical values count independent ones.
    """
    found = [
        Column(name, _role(name), table.request[:, at], True)
        for name, at in _watched(REQUEST_FIELDS)
    ]
    found += [
        Column(f"slot.{name}", Role.INPUT, table.slot[:, at], False)
        for name, at in _watched(SLOT_FIELDS)
    ]
    found += [
        Column(f"ad.{name}", Role.SHOWN, table.catalogue[table.ad, at], False)
        for name, at in _watched(AD_FIELDS)
    ]
    names = [f"count.{key}.{part}" for key in KEYS for part in (*WINDOWS_S, "known")]
    found += [Column(name, Role.SHOWN, table.counts[:, at], False) for at, name in enumerate(names)]
    return [*found, Column(SCORE, Role.OUTCOME, score.astype(np.float32), False)]


def _watched(fields: tuple[Field, ...]) -> list[tuple[str, int]]:
    """Names of a row's fields and where they begin."""
    starts = bag_starts(fields).tolist()
    named = zip((field.name for field in fields), starts, strict=False)
    return [(name, at) for name, at in named if name not in OF_TIME + OF_ONE]


def _role(name: str) -> Role:
    return Role.SHOWN if name in OF_THE_PAST else Role.INPUT
