"""The requests of a batch, in the terms of one snapshot and one model.

Strings end here: behind this file travel term ids, feature ids, sizes as bits and floors as
micros. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.floors import SlotKind
from adserver.dealing import OfferedDeals, offered_deals
from adserver.edition import Edition
from adserver.features.cells import place_hash
from adserver.features.profiles import Known
from adserver.request import AdRequest, Slot
from auction.columns import Slots
from ranking.counting.board import Places
from ranking.features import RequestFields, encode_requests, encode_slot
from retrieval.query import DIMENSIONS, Dimension, Query

MIX = 0x9E3779B97F4A7C15
"""Odd constant of splitmix64: spreads consecutive decision numbers over all seeds."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch as columns; B requests, T slots, S the most slots of one request."""

    queries: tuple[Query, ...]
    features: NDArray[np.int32]
    """[B, fields] request feature ids."""
    vector: NDArray[np.float32]
    bias: NDArray[np.float32]
    slot_ids: NDArray[np.int32]
    """[T, 3] encoded slots."""
    slot_bias: NDArray[np.float32]
    """[B, S] what each slot adds to the log-odds of a click; 0 past a request's last slot."""
    places: Places
    slots: Slots
    deals: OfferedDeals
    complete: NDArray[np.bool_]
    """[B] the request has all slots of its page."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch as it came, with what is known of its people."""

    requests: Sequence[AdRequest]
    numbers: Sequence[int]
    """Of the decisions."""
    known: Known

    @classmethod
    def by_strangers(cls, requests: Sequence[AdRequest], numbers: Sequence[int]) -> Asked:
        return cls(requests, numbers, Known.nothing(len(requests)))


def encode(asked: Asked, edition: Edition, now: float, seed: int) -> Encoded:
    """Columns of a batch at the wall-clock moment `now`."""
    requests, known = asked.requests, asked.known
    moment = datetime.fromtimestamp(now, UTC)
    interests = zip(requests, known.clicked, known.seen, strict=True)
    features = encode_requests([_fields(*one, moment) for one in interests])
    slot_ids = _slot_ids(requests)
    vector, bias = edition.bundle.towers.request(features)
    hour_of_week = str(moment.weekday() * 24 + moment.hour)
    return Encoded(
        queries=tuple(
            _query(request, edition, hour_of_week, vector[row], float(bias[row]))
            for row, request in enumerate(requests)
        ),
        features=features,
        vector=vector,
        bias=bias,
        slot_ids=slot_ids,
        slot_bias=_slot_bias(requests, slot_ids, edition),
        places=_places(requests, known),
        slots=_slots(requests, asked.numbers, edition, moment, seed),
        deals=[offered_deals(request, edition.overlay.market) for request in requests],
        complete=np.array([request.complete for request in requests], np.bool_),
    )


def as_seen_by(edition: Edition, encoded: Encoded, requests: Sequence[AdRequest]) -> Encoded:
    """The same requests by another edition of the same snapshot; only what its model makes of them
    differs."""
    vector, bias = edition.bundle.towers.request(encoded.features)
    slot_bias = _slot_bias(requests, encoded.slot_ids, edition)
    return replace(encoded, vector=vector, bias=bias, slot_bias=slot_bias)


def _fields(
    request: AdRequest, clicked: Sequence[int], seen: Sequence[int], moment: datetime
) -> RequestFields:
    return RequestFields(
        country=request.country,
        region=request.region,
        device=request.device,
        os=request.os,
        browser=request.browser,
        language=request.language,
        domain=request.domain,
        publisher=request.publisher,
        user=request.user,
        categories=request.categories,
        segments=request.segments,
        keywords=request.keywords,
        hour=moment.hour,
        weekday=moment.weekday(),
        clicked=clicked,
        seen=seen,
    )


def _query(
    request: AdRequest,
    edition: Edition,
    hour_of_week: str,
    vector: NDArray[np.float32],
    bias: float,
) -> Query:
    terms: list[int] = []
    start = [0] * (DIMENSIONS + 1)
    for dimension, values in _targeting_values(request, hour_of_week):
        terms += edition.index.terms(dimension, values)
        start[dimension + 1] = len(terms)
    slots = request.slots
    return Query(
        term=np.array(terms, np.int32),
        term_start=np.maximum.accumulate(np.array(start, np.int32)),
        blocked=np.array(
            edition.index.blocked(request.blocked_categories, request.blocked_domains), np.int32
        ),
        slot_placement=np.array([edition.index.placement(s.placement) for s in slots], np.int32),
        slots_by_size=edition.slots_by_size(slots),
        blocked_attribute=np.array([_attribute_bits(s) for s in slots], np.uint32),
        secure=np.uint32(sum(1 << number for number, slot in enumerate(slots) if slot.secure)),
        vector=vector,
        bias=bias,
    )


def _targeting_values(
    request: AdRequest, hour_of_week: str
) -> Iterator[tuple[Dimension, Sequence[str]]]:
    yield Dimension.COUNTRY, (request.country,)
    yield Dimension.REGION, (request.region,)
    yield Dimension.DEVICE, (request.device,)
    yield Dimension.OS, (request.os,)
    yield Dimension.BROWSER, (request.browser,)
    yield Dimension.LANGUAGE, (request.language,)
    yield Dimension.HOUR_OF_WEEK, (hour_of_week,)
    yield Dimension.DOMAIN, (request.domain,)
    yield Dimension.CATEGORY, with_parents(request.categories)
    yield Dimension.KEYWORD, request.keywords
    yield Dimension.SEGMENT, request.segments
    yield Dimension.KEY_VALUE, request.key_values


def with_parents(categories: Sequence[str]) -> list[str]:
    """A page about IAB17-3 is a page about IAB17; each value once, in order."""
    return list(
        dict.fromkeys(value for c in categories for value in (c, c.partition("-")[0]) if value)
    )


def _attribute_bits(slot: Slot) -> int:
    bits = 0
    for attribute in slot.blocked_attributes:
        if 1 <= attribute <= 32:
            bits |= 1 << (attribute - 1)
    return bits


def _slot_ids(requests: Sequence[AdRequest]) -> NDArray[np.int32]:
    ids = []
    for request in requests:
        for position, slot in enumerate(request.slots):
            width, height = slot.sizes[0] if slot.sizes else (0, 0)
            ids.append(encode_slot(slot.placement, width, height, position))
    return np.stack(ids)


def _places(requests: Sequence[AdRequest], known: Known) -> Places:
    slots = [len(request.slots) for request in requests]
    place = np.zeros((len(requests), max(slots)), np.uint64)
    for row, request in enumerate(requests):
        place[row, : slots[row]] = [place_hash(slot.placement) for slot in request.slots]
    return Places(place, np.array(slots, np.int32), known.topic)


def _slot_bias(
    requests: Sequence[AdRequest], slot_ids: NDArray[np.int32], edition: Edition
) -> NDArray[np.float32]:
    widest = max(len(request.slots) for request in requests)
    bias = np.zeros((len(requests), widest), np.float32)
    flat = edition.bundle.towers.slot_bias(slot_ids)
    begin = 0
    for row, request in enumerate(requests):
        end = begin + len(request.slots)
        bias[row, : end - begin] = flat[begin:end]
        begin = end
    return bias


def _slots(
    requests: Sequence[AdRequest],
    numbers: Sequence[int],
    edition: Edition,
    moment: datetime,
    seed: int,
) -> Slots:
    counts = [len(request.slots) for request in requests]
    floors = [
        strictest_floor(request, slot, edition, moment)
        for request in requests
        for slot in request.slots
    ]
    seeds = np.array(numbers, np.uint64) * np.uint64(MIX) + np.uint64(seed)
    return Slots(
        offset=np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
        floor_micros=np.array(floors, np.int64),
        first_price=np.array([request.first_price for request in requests], np.bool_),
        seed=seeds,
        private=_private(requests),
    )


def strictest_floor(request: AdRequest, slot: Slot, edition: Edition, moment: datetime) -> int:
    """Of the request, the placement and the rules that hold, the highest."""
    own = max(slot.floor_micros, edition.floor_micros(slot.placement))
    rules = edition.overlay.market.floors
    if not rules:
        return own
    kind = SlotKind(
        request.publisher,
        slot.placement,
        request.country,
        request.device,
        slot.sizes,
        moment.weekday() * 24 + moment.hour,
    )
    return max(own, rules.micros(kind))


def _private(requests: Sequence[AdRequest]) -> NDArray[np.bool_] | None:
    """None where all slots are open to everybody."""
    private = [slot.private for request in requests for slot in request.slots]
    return np.array(private, np.bool_) if any(private) else None
