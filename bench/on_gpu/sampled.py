"""Catalogues and requests for the selector, drawn at random: their shape is real, nothing else."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.gpu.asks import Asks
from retrieval.gpu.columns import ADS, HEAD, Columns
from retrieval.gpu.pages import WORDS, pages_for
from retrieval.query import DIMENSIONS, Live, Query

PER_LINE: Final = 5
VALUES: Final = 16
"""Values of each dimension, each a bitmap that a share of the line items has."""
ANY: Final = 0.6
"""Of the line items, open to all values of a dimension; a request meets about a fifth of them."""
NAMED: Final = 0.2
REFUSED: Final = 0.02
KINDS: Final = 48
SIZES: Final = 12
WIDTH: Final = 64
TARGETED: Final = 5
"""Dimensions in which line items name values; in the others all are open."""


def columns(rng: np.random.Generator, ads: int) -> Columns:
    """`ads` ads with vectors of 64 digits."""
    lines, room = max(1, -(-ads // PER_LINE)), -(-ads // ADS) * ADS
    pages = pages_for(lines)
    words = pages * WORDS
    sets = 2 * VALUES * TARGETED
    share = np.where(np.arange(sets) < sets // 2, NAMED, REFUSED)
    bits = np.stack([_bits(rng, words, lines, one) for one in share])
    page = 1 + np.arange(sets * pages, dtype=np.int32).reshape(sets, pages)
    chunk = np.concatenate([np.zeros((1, WORDS), np.int32), bits.reshape(-1, WORDS)])
    terms = np.arange(sets // 2, dtype=np.int32)
    open_ = np.stack(
        [_bits(rng, words, lines, ANY if d < TARGETED else 1.0) for d in range(DIMENSIONS)]
    )
    line_of = np.zeros(room, np.int32)
    line_of[:ads] = np.arange(ads) // PER_LINE
    kind = np.full(room, KINDS, np.int32)
    kind[:ads] = rng.integers(0, KINDS, ads, dtype=np.int32)
    return Columns(
        ads=ads,
        line_items=lines,
        sizes=SIZES,
        page=page,
        chunk=chunk,
        include=terms,
        exclude=terms + np.int32(sets // 2),
        open=open_,
        unrestricted=_bits(rng, words, lines, 1.0),
        line_of=line_of,
        kind=kind,
        kind_size=(np.arange(KINDS) % SIZES).astype(np.int32),
        kind_attributes=np.zeros(KINDS, np.int32),
        kind_secure=np.ones(KINDS, np.int32),
        click=(rng.random(room, np.float32) < 0.6).astype(np.int8),
        coarse=_digits(rng, room),
        fine=_digits(rng, room),
        fact=rng.uniform(0.002, 0.01, (2, room)).astype(np.float32),
        rotation=np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32),
    )


def _bits(rng: np.random.Generator, words: int, lines: int, share: float) -> NDArray[np.int32]:
    flags = np.zeros(32 * words, np.bool_)
    flags[:lines] = rng.random(lines, np.float32) < share
    return np.packbits(flags, bitorder="little").view(np.int32)


def _digits(rng: np.random.Generator, room: int) -> NDArray[np.int8]:
    """Small behind the head, as principal axes leave them."""
    digits = rng.integers(-127, 128, (room, WIDTH), np.int8)
    digits[:, HEAD:] >>= 1
    return digits


def live(rng: np.random.Generator, shape: Columns) -> Live:
    """A twentieth of the line items out of budget, a fiftieth of the ads paused."""
    words = -(-shape.line_items // 64)
    running = _bits(rng, 2 * words, shape.line_items, 0.95).view(np.uint64)
    alive = (rng.random(shape.ads, np.float32) < 0.98).astype(np.uint8)
    return Live(running, alive, rng.normal(8, 1, shape.ads).astype(np.float32))


def asks(rng: np.random.Generator, count: int) -> Asks:
    """One slot of a few sizes; a value in each dimension, two in the last that is targeted."""
    return Asks.of([_query(rng) for _ in range(count)], WIDTH)


def _query(rng: np.random.Generator) -> Query:
    named = [d * VALUES + int(rng.integers(VALUES)) for d in range(TARGETED)]
    named.append((TARGETED - 1) * VALUES + int(rng.integers(VALUES)))
    start = np.minimum(np.arange(DIMENSIONS + 1), TARGETED)
    start[TARGETED:] = len(named)
    return Query(
        term=np.array(named, np.int32),
        term_start=start.astype(np.int32),
        blocked=np.empty(0, np.int32),
        slot_placement=np.array([-1], np.int32),
        slots_by_size=(rng.random(SIZES) < 0.35).astype(np.uint32),
        blocked_attribute=np.zeros(1, np.uint32),
        secure=np.uint32(0),
        vector=rng.standard_normal(WIDTH).astype(np.float32),
        bias=-4.0,
    )
