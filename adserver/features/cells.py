"""Decayed counts: what a cell holds, how it forgets, and how cells lie in blocks of bytes.

A cell counts impressions and clicks in each window of `ranking.counts`; what was counted t seconds
ago weighs exp(−t / window). It keeps the moment that it was last counted in and decays when it is
next looked at. Knows no store and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from adserver.tokens import clipped
from ranking.counts import WINDOWS_S

WINDOWS: Final = len(WINDOWS_S)
WINDOWS_MS: Final = np.array(WINDOWS_S, np.float64) * 1000.0
BLOCK: Final = 64
"""Cells of one value in the store: two kilobytes, half a page of LMDB's file."""
MOST_IDS: Final = 1 << 24
"""Database ids are dense; ads and advertisers beyond are not counted."""
_TIMES: Final = BLOCK * 8

Floats = NDArray[np.float32]
Times = NDArray[np.int64]


class Key(IntEnum):
    """By what is counted; the first of `ranking.counts.KEYS`, in their order."""

    AD = 0
    ADVERTISER = 1
    AD_PLACEMENT = 2


@dataclass(frozen=True, slots=True)
class Cells:
    """n cells as columns."""

    t_ms: Times
    """[n] wall milliseconds of the last count; 0: never."""
    shown: Floats
    """[n, WINDOWS] as of `t_ms`; the same of clicked."""
    clicked: Floats

    @classmethod
    def of(cls, blocks: list[bytes | None]) -> Cells:
        """The cells of these blocks end to end, writeable; what the store does not have is zero."""
        count = len(blocks) * BLOCK
        t_ms, counted = np.zeros(count, np.int64), np.zeros((2, count, WINDOWS), np.float32)
        for at, block in enumerate(blocks):
            if block is not None:
                part = slice(at * BLOCK, (at + 1) * BLOCK)
                t_ms[part] = np.frombuffer(block, np.int64, BLOCK)
                found = np.frombuffer(block, np.float32, offset=_TIMES)
                counted[:, part] = found.reshape(2, BLOCK, WINDOWS)
        return cls(t_ms, counted[0], counted[1])

    def blocks(self) -> list[bytes]:
        """What `of` takes."""
        return [
            b"".join(column[at : at + BLOCK].tobytes() for column in self._columns())
            for at in range(0, len(self.t_ms), BLOCK)
        ]

    def at(self, now_ms: int) -> Cells:
        """As they stand at a moment; one before their last count leaves them as they are."""
        left = remaining(self.t_ms, now_ms)
        return Cells(np.maximum(self.t_ms, now_ms), self.shown * left, self.clicked * left)

    def add(self, row: NDArray[np.intp], shown: Floats, clicked: Floats, now_ms: int) -> None:
        """Count so many more in these cells [m], each named once."""
        left = remaining(self.t_ms[row], now_ms)
        self.shown[row] = self.shown[row] * left + shown[:, None]
        self.clicked[row] = self.clicked[row] * left + clicked[:, None]
        self.t_ms[row] = np.maximum(self.t_ms[row], now_ms)

    def _columns(self) -> tuple[Times, Floats, Floats]:
        return self.t_ms, self.shown, self.clicked


def remaining(t_ms: Times, now_ms: int) -> Floats:
    """[n, WINDOWS] share of what was counted by `t_ms` that is left at `now_ms`."""
    age = np.maximum(now_ms - t_ms, 0)[:, None]
    return np.exp(-age / WINDOWS_MS).astype(np.float32)


def place_hash(placement: str) -> int:
    """Of a placement's key as a token carries it."""
    return crc32(clipped(placement))
