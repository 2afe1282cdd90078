"""Impressions in encoded form: what training, calibration and the release gate read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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

    def __len__(self) -> int:
        return len(self.of)

    def part(self, start: int, stop: int) -> Impressions:
        """The impressions of requests start … stop - 1, renumbered from 0."""
        first, last = np.searchsorted(self.of, (start, stop))
        kept = slice(int(first), int(last))
        return Impressions(
            self.request[start:stop],
            self.catalogue,
            self.of[kept] - np.int32(start),
            self.ad[kept],
            self.slot[kept],
            self.click[kept],
            self.truth[kept],
        )

    def starts(self) -> NDArray[np.int64]:
        """[Q + 1] where each request's impressions begin."""
        return np.searchsorted(self.of, np.arange(len(self.request) + 1))

    def save(self, path: Path) -> None:
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Impressions:
        stored = np.load(path)
        return cls(*(stored[field.name] for field in fields(cls)))


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
