"""Auction records made up at random: every column filled, with values that tell rows apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adserver.auctions.asked import pack, split
from adserver.auctions.encoding import Packed, encode
from adserver.auctions.record import AuctionRecord, Notes, columns
from adserver.auctions.recorder import scarce_of
from adserver.auctions.ring import RingWriter
from adserver.request import AdRequest, Slot
from auction.columns import LEVELS, Bids, Level, Slots
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings

SETTINGS = AuctionSettings()
AT_MS = 1_800_000_000_000
FIRST = 3 << 56 | 77 << 24
"""The first number of worker 3."""


class Market:
    """Batch after batch of a small market: few advertisers, budgets that end, a tight cap."""

    def __init__(self, seed: int, candidates: int = 9) -> None:
        self.rng, self.candidates = np.random.default_rng(seed), candidates
        self.exposure = Exposure(FairnessSettings(0.3, 20, steps=4, min_eligible_advertisers=0))
        self.next = FIRST
        self.at_ms = AT_MS
        self.money = np.full(64 * LEVELS, 10**12, np.int64)

    def batch(self, pages: int = 3) -> AuctionRecord:
        """A batch as the recorder sees it; `self.money` is what its auction was given."""
        rng = self.rng
        rows, places = rng.integers(0, self.candidates + 1, pages), rng.integers(1, 4, pages)
        bids, slots = self._bids(rows, places), self._slots(places)
        self.money[Level.CAMPAIGN :: LEVELS] = rng.integers(-2, 60, 64)
        slate = run_auction(bids, slots, self.exposure, self.money, SETTINGS)
        notes = Notes(
            number=np.arange(self.next, self.next + pages, dtype=np.uint64),
            at_ms=np.full(pages, self.at_ms, np.int64),
            snapshot=np.full(pages, 5, np.int64),
            quality=rng.integers(0, 3, pages).astype(np.uint8),
            ad_id=bids.ad.astype(np.int64) + 1000,
            sold=slate.winner >= 0,
            outcome=slate.reason,
        )
        self.next, self.at_ms = self.next + pages, self.at_ms + 10
        asked = split(pack([_request(int(number), int(n)) for number, n in enumerate(places)]))
        return AuctionRecord(asked, notes, bids, slots, slate, model="ctr/1")

    def sampled(self, pages: int = 3) -> list[AuctionRecord]:
        """The pages of one batch as the sample keeps them."""
        batch = self.batch(pages)
        return [
            batch.sampled(
                page,
                batch.request(page),
                scarce_of(batch.bids, batch.slots, batch.slate, page, self.money),
            )
            for page in range(pages)
        ]

    def _bids(self, rows: np.ndarray, places: np.ndarray) -> Bids:
        rng, total = self.rng, int(rows.sum())
        ad = rng.integers(1, 40, total).astype(np.int32)
        account = np.full((total, LEVELS), -1, np.int32)
        account[:, Level.CAMPAIGN] = ad // 2 * LEVELS + Level.CAMPAIGN
        per_click = rng.random(total) < 0.5
        return Bids(
            offset=_edges(rows),
            ad=ad,
            creative=ad,
            advertiser=ad % 6,
            account=account,
            bid_micros=np.where(
                per_click, rng.integers(1, 10**6, total), rng.integers(1, 40, total) * 1000
            ),
            per_click=per_click,
            pctr_ppm=rng.integers(1, 40_000, (total, int(places.max()))),
            slots=rng.integers(1, 8, total).astype(np.uint32),
            rejected=np.where(rng.random(total) < 0.1, 52, 0).astype(np.uint8),
            full_bid_micros=rng.integers(1, 10**6, total) * 1000,
        )

    def _slots(self, places: np.ndarray) -> Slots:
        rng = self.rng
        return Slots(
            offset=_edges(places),
            floor_micros=rng.integers(0, 20_000, int(places.sum())),
            first_price=rng.random(len(places)) < 0.2,
            seed=rng.integers(0, 2**63, len(places)).astype(np.uint64),
        )


def _edges(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _request(number: int, slots: int) -> AdRequest:
    return AdRequest(
        f"r{number}",
        tuple(Slot(f"s{n}", sizes=((300, 250),), floor_micros=n) for n in range(slots)),
        user=f"user-{number}",
        segments=("a", "b"),
    )


def packed(record: AuctionRecord) -> Packed:
    return encode(record, pack([record.request(page) for page in range(len(record))]))


def append(ring: RingWriter, record: AuctionRecord) -> bool:
    numbers = record.notes.number
    return ring.append(packed(record), int(numbers[0]), len(numbers), int(record.notes.at_ms[0]))


def ring_of(folder: Path, capacity: int = 1 << 20, worker: int = 3) -> RingWriter:
    return RingWriter(folder, worker, capacity)


def same(one: AuctionRecord, other: AuctionRecord) -> bool:
    """Equal to the last value of the last column, and in its type."""
    ours, theirs = dict(columns(one)), dict(columns(other))
    return (
        ours.keys() == theirs.keys()
        and all(
            column.dtype == theirs[name].dtype and np.array_equal(column, theirs[name])
            for name, column in ours.items()
        )
        and [one.request(n) for n in range(len(one))]
        == [other.request(n) for n in range(len(other))]
    )
