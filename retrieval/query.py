"""What a request asks of retrieval, and what retrieval gives back.

This module knows rows, terms and bit masks. It knows nothing of HTTP, of money or of how the
request's vector was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

MAX_SLOTS = 20
"""Slots of one request are bits of a uint32, so that a candidate's fit is one AND."""


class Dimension(IntEnum):
    """Targeting dimensions of a line item, in the order in which a misfit is counted."""

    COUNTRY = 0
    REGION = 1
    DEVICE = 2
    OS = 3
    BROWSER = 4
    LANGUAGE = 5
    HOUR_OF_WEEK = 6
    DOMAIN = 7
    CATEGORY = 8
    KEYWORD = 9
    SEGMENT = 10
    KEY_VALUE = 11


DIMENSIONS = len(Dimension)


@dataclass(frozen=True, slots=True)
class Query:
    """One request in the terms of one snapshot's index.

    A term is a row number of the index's vocabulary: one (dimension, value). Values that the
    vocabulary has never seen are left out: only line items open to "any" can match them.
    """

    term: NDArray[np.int32]
    """Terms of the request, grouped by dimension."""
    term_start: NDArray[np.int32]
    """[DIMENSIONS + 1] where each dimension's terms begin in `term`."""
    blocked: NDArray[np.int32]
    """Terms of the line items' own category and advertiser domain that the publisher refuses."""
    slot_placement: NDArray[np.int32]
    """[S] term of each slot's placement, -1 when the catalogue does not know it."""
    slots_by_size: NDArray[np.uint32]
    """[sizes] which slots (bits) accept each creative size of the catalogue."""
    blocked_attribute: NDArray[np.uint32]
    """[S] creative attributes (AdCOM list, one bit each) that each slot refuses."""
    secure: np.uint32
    """Slots (bits) that take https creatives only."""
    vector: NDArray[np.float32]
    """[D] request tower output; its product with an ad's vector is part of the log-odds."""
    bias: float
    """The request's own part of the log-odds, the same for each ad paid by click."""


@dataclass(frozen=True, slots=True)
class Live:
    """The part of the catalogue that changes within a second; owned by the snapshot's overlay."""

    line_item: NDArray[np.uint64]
    """[ceil(L / 64)] bit set: in flight, not paused, budget left."""
    ad: NDArray[np.uint8]
    """[N] 1: not paused."""
    base: NDArray[np.float32]
    """[N] log value that does not depend on the request: log(eCPM micros of a CPM bid), or
    log(1000 * click bid micros) + the ad's own log-odds for a bid per click."""
    first: NDArray[np.uint64] | None = None
    """[ceil(L / 64)] line items that are sold before all others, whatever they bid: up to half of
    the candidates are theirs. None: there are none such."""
    last: NDArray[np.uint64] | None = None
    """Line items that are sold where nobody else buys: found where there is room."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ads worth scoring for a batch of requests, end to end, best first within each request.

    `ad` is a row of the snapshot the batch began with, not a lasting identifier.
    """

    ad: NDArray[np.int32]
    value: NDArray[np.float32]
    """About the log of the expected eCPM micros: Live.base, plus vector · ad + bias per click."""
    slots: NDArray[np.uint32]
    """Bit s: the ad may fill slot s of its request."""
    offset: NDArray[np.int32]
    """[B + 1] where each request's rows begin."""
    eligible: NDArray[np.int32]
    """[B] ads that passed targeting, size and overlay, of which `ad` holds the best."""
    plan: NDArray[np.int8]
    """[B] the Plan that found them."""
