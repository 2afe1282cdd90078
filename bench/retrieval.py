"""Time retrieval on a synthetic catalogue; one JSON line per figure.

    python bench/retrieval.py --ads 10000 100000 1000000

Ads are clustered (the ads of a line item share a topic), the spectrum of their vectors decays as
that of trained towers does, bids are log-normal. What a request may see is drawn per line item.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.planner import Plan, Retriever
from retrieval.query import DIMENSIONS, Dimension, Live, Query
from retrieval.settings import RetrievalSettings
from retrieval.targeting import TargetingIndex, Term
from retrieval.vectors import AdVectors

DIMENSIONS_OF_A_VECTOR = 64
ADS_PER_LINE_ITEM = 5
SIZES = 10
SHARES = (1.0, 0.1, 0.01, 0.001)
K = 200
SPREAD = 1.0
"""Standard deviation of an inner product between a request and an ad, in log-odds."""
VALUES = {  # values of a dimension, and the share of line items that name some
    Dimension.COUNTRY: (60, 0.7),
    Dimension.REGION: (300, 0.15),
    Dimension.DEVICE: (5, 0.3),
    Dimension.OS: (8, 0.15),
    Dimension.BROWSER: (8, 0.05),
    Dimension.LANGUAGE: (30, 0.3),
    Dimension.HOUR_OF_WEEK: (168, 0.1),
    Dimension.DOMAIN: (2000, 0.1),
    Dimension.CATEGORY: (390, 0.4),
    Dimension.KEYWORD: (3000, 0.15),
    Dimension.SEGMENT: (500, 0.2),
}


@dataclass(frozen=True, slots=True)
class World:
    """A catalogue and the vectors of some requests, with the floats that retrieval compresses."""

    vectors: NDArray[np.float32]
    per_click: NDArray[np.bool_]
    live: Live
    ad_start: NDArray[np.int32]
    size: NDArray[np.int16]
    attributes: NDArray[np.uint32]
    secure: NDArray[np.uint8]
    requests: NDArray[np.float32]


def world(ads: int, rng: np.random.Generator) -> World:
    line_items = -(-ads // ADS_PER_LINE_ITEM)
    ad_start = np.minimum(np.arange(line_items + 1) * ADS_PER_LINE_ITEM, ads).astype(np.int32)
    line_of_ad = np.repeat(np.arange(line_items), np.diff(ad_start))
    d = DIMENSIONS_OF_A_VECTOR
    spectrum = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)
    topics = rng.standard_normal((200, d), np.float32)
    own = rng.standard_normal((line_items, d), np.float32)
    lines = 0.7 * topics[rng.integers(200, size=line_items)] + 0.6 * own
    vectors = (lines[line_of_ad] + 0.4 * rng.standard_normal((ads, d), np.float32)) * spectrum
    requests = 0.8 * topics[rng.integers(200, size=400)]
    requests = (requests + 0.6 * rng.standard_normal((400, d), np.float32)) * spectrum
    vectors *= SPREAD / (vectors[:2000] @ requests.T).std()
    per_click = rng.random(line_items)[line_of_ad] < 0.7
    bid = rng.normal(0, 0.8, line_items)[line_of_ad] + rng.normal(0, 0.1, ads)
    base = bid + np.where(per_click, rng.normal(0, 0.4, ads), 0.5) + 7
    return World(
        vectors @ axes,
        per_click,
        Live(all_bits(line_items), np.ones(ads, np.uint8), base.astype(np.float32)),
        ad_start,
        rng.integers(0, SIZES, ads).astype(np.int16),
        np.where(rng.random(ads) < 0.1, 1 << rng.integers(0, 5, ads), 0).astype(np.uint32),
        (rng.random(ads) < 0.95).astype(np.uint8),
        requests @ axes,
    )


def all_bits(count: int) -> NDArray[np.uint64]:
    bits = np.zeros(64 * -(-count // 64), np.bool_)
    bits[:count] = True
    return np.packbits(bits, bitorder="little").view(np.uint64)


def targeting(line_items: int, rng: np.random.Generator) -> Iterator[Term]:
    """Targeting with Zipf-popular values, and key-values that set the eligible share."""
    for dimension, (values, share) in VALUES.items():
        popularity = 1 / np.arange(1, values + 1)
        naming = np.flatnonzero(rng.random(line_items) < share).repeat(3)
        value = rng.choice(values, size=len(naming), p=popularity / popularity.sum())
        excluding = rng.random(len(naming)) < 0.1
        for exclude in (False, True):
            yield from by_value(
                dimension, value[excluding == exclude], naming[excluding == exclude], exclude
            )
    lot = rng.random(line_items)
    for share in SHARES:
        rows = np.flatnonzero(lot < share).astype(np.int32)
        yield Term(Dimension.KEY_VALUE, f"share={share}", rows, exclude=False)


def by_value(
    dimension: Dimension, value: NDArray[np.int64], line_item: NDArray[np.int64], exclude: bool
) -> Iterator[Term]:
    order = np.argsort(value, kind="stable")
    found, first = np.unique(value[order], return_index=True)
    for v, rows in zip(found, np.split(line_item[order], first[1:]), strict=True):
        yield Term(dimension, str(v), np.unique(rows).astype(np.int32), exclude)


def open_index(line_items: int, rng: np.random.Generator) -> TargetingIndex:
    """Only key-values: the share that a request asks for is the share it gets."""
    terms = (t for t in targeting(line_items, rng) if t.dimension is Dimension.KEY_VALUE)
    return TargetingIndex.build(line_items, terms, (), (), ())


def query(
    index: TargetingIndex, vector: NDArray[np.float32], values: dict[Dimension, list[str]]
) -> Query:
    terms = [index.terms(d, values.get(d, ())) for d in Dimension]
    return Query(
        term=np.array([t for some in terms for t in some], np.int32),
        term_start=np.cumsum([0, *map(len, terms)]).astype(np.int32),
        blocked=np.empty(0, np.int32),
        slot_placement=np.full(1, -1, np.int32),
        slots_by_size=np.ones(SIZES, np.uint32),
        blocked_attribute=np.zeros(1, np.uint32),
        secure=np.uint32(0),
        vector=vector,
        bias=-3.0,
    )
