"""Running counts of every pair of a batch: which cells they are, and what they add to the log-odds.

Between what the server counts (features by id) and the model's two count heads. Knows neither how
cells are counted nor where they are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ranking.counting import kernels
from ranking.counts import COUNTS, EACH, KEYS, PLACES, CountHead, place_cell

Floats = NDArray[np.float32]


def _empty(cells: int) -> Floats:
    return np.zeros((cells, EACH), np.float32)


@dataclass(slots=True)
class Board:
    """Features of every cell, by id [ids, EACH]; ids past the end are as unknown as zeros.

    Its owner replaces and writes the tables between two decisions, never during one.
    """

    ad: Floats = field(default_factory=lambda: _empty(1))
    advertiser: Floats = field(default_factory=lambda: _empty(1))
    place: Floats = field(default_factory=lambda: _empty(PLACES))
    """By `ranking.counts.place_cell`."""


@dataclass(frozen=True, slots=True)
class AdKeys:
    """[N] under which ids the ads of a snapshot are counted."""

    ad: NDArray[np.int64]
    advertiser: NDArray[np.int32]
    topic: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Places:
    """Where and for whom a batch's slots are; B requests, S the most slots of one."""

    place: NDArray[np.uint64]
    """[B, S] hash of each slot's placement."""
    slots: NDArray[np.int32]
    """[B] slots of each request."""
    topic: Floats
    """[B, TOPICS, EACH] features of what each request's person did by topic."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch's pairs and what has been counted of each; valid until the board changes."""

    offset: NDArray[np.int32]
    """[B + 1] where each request's pairs begin."""
    row: NDArray[np.int32]
    """[R] ad row of each pair."""
    places: Places
    ads: AdKeys
    board: Board

    def with_head(self, logit: Floats, slot_bias: Floats, head: CountHead) -> Floats:
        """[R, S] log-odds f32[R] of the click model with what slots [B, S] and counts add."""
        pairs = self._pairs()
        total: Floats = kernels.begin(pairs, logit, slot_bias)
        kernels.add_counts(pairs, head.w1, head.b1, head.w2, total)
        return total

    def with_weights(self, logit: Floats, slot_bias: Floats, weight: Floats) -> Floats:
        """[R, S] the same of the fallback model, whose counts have weights [COUNTS]."""
        pairs = self._pairs()
        total: Floats = kernels.begin(pairs, logit, slot_bias)
        kernels.add_linear_counts(pairs, weight, total)
        return total

    def counts(
        self, request: NDArray[np.intp], pair: NDArray[np.intp], slot: NDArray[np.intp]
    ) -> Floats:
        """[n, COUNTS] what the heads were given for these pairs [n] in these slots."""
        ads, board, row = self.ads, self.board, self.row[pair]
        place = self.places.place[request, slot].tolist()
        cell = [place_cell(ad, one) for ad, one in zip(ads.ad[row].tolist(), place, strict=True)]
        found = np.empty((len(pair), len(KEYS), EACH), np.float32)
        found[:, 0] = _taken(board.ad, ads.ad[row])
        found[:, 1] = _taken(board.advertiser, ads.advertiser[row])
        found[:, 2] = board.place[cell]
        found[:, 3] = self.places.topic[request, ads.topic[row]]
        return found.reshape(len(pair), COUNTS)

    def _pairs(self) -> kernels.Counts:
        places, ads, board = self.places, self.ads, self.board
        return kernels.Counts(
            *(self.offset, self.row, places.place, places.slots),
            *(ads.ad, ads.advertiser, ads.topic),
            *(board.ad, board.advertiser, board.place, places.topic),
        )


def _taken(table: Floats, number: NDArray[np.integer]) -> Floats:
    known = number < len(table)
    return np.where(known[:, None], table[np.where(known, number, 0)], np.float32(0.0))
