"""Keeps every auction for a while and a share of them for long. Never refuses, never waits.

Long are kept, each in a folder of its own, a sample that depends on nothing but numbers, and every
page on which a slot was to go by lot: all that is known of what was not the best bid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from adserver.auctions import asked
from adserver.auctions.encoding import encode
from adserver.auctions.record import AuctionRecord, Context, Notes, Scarce
from adserver.auctions.ring import RingWriter
from adserver.auctions.sample import SampleSettings, SampleWriter, is_sampled, pseudonymous
from adserver.deadline import Clock
from adserver.decision import Decision
from adserver.settings import Settings
from adserver.verdict import Verdict
from adserver.weighed import Weighed
from auction.columns import MILLE, PPM, Bids, Rejection, Slate, Slots
from ranking.counts import COUNTS

EXPLORED = "explored"
"""Folder of the explored pages, inside that of the sample."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a page found that is to be kept: money, and what its ads had been counted."""

    scarce: Scarce
    context: Context


@dataclass(slots=True)
class Recorder:
    """Of one worker."""

    ring: RingWriter
    sample: SampleWriter
    explored: SampleWriter
    one_in: int
    key: str
    """Of the pseudonyms in the sample."""
    _told: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, worker: int, clock: Clock) -> Recorder:
        """In the data folder; `clock` gives wall seconds."""
        folder, mib = settings.auctions, 1 << 20
        limits = SampleSettings(limit_bytes=settings.auction_sample_mib * mib)
        recorder = cls(
            ring=RingWriter(folder, worker, settings.auction_ring_mib * mib),
            sample=SampleWriter(folder, worker, clock, limits),
            explored=SampleWriter(folder / EXPLORED, worker, clock, limits),
            one_in=settings.auction_sample_one_in,
            key=settings.adserver_token_key,
        )
        recorder.rose()  # what an earlier life of the worker wrote is not news
        return recorder

    def rose(self) -> dict[str, int]:
        """What rose since the last call: bytes of the ring, overwritten ones, and of the sample;
        batches that the ring refused, pages that the sample dropped."""
        now = {
            "ring": self.ring.written,
            "overwritten": self.ring.overwritten,
            "sample": self.sample.written + self.explored.written,
            "refused": self.ring.refused,
            "dropped": self.sample.dropped + self.explored.dropped,
        }
        rose = {what: total - self._told.get(what, 0) for what, total in now.items()}
        self._told = now
        return rose

    def close(self) -> None:
        """After the last `write`."""
        self.sample.close()
        self.explored.close()
        self.ring.close()

    def found(
        self,
        weighed: Weighed,
        bids: Bids,
        slate: Slate,
        remaining_micros: NDArray[np.int64],
    ) -> dict[int, Found]:
        """Of each page that will be kept; to be asked before the sales change money and counts."""
        slots = weighed.encoded.slots
        return {
            page: Found(
                scarce_of(bids, slots, slate, page, remaining_micros), context_of(weighed, page)
            )
            for page, number in enumerate(weighed.numbers)
            if is_sampled(number, self.one_in) or _to_explore(slots, page)
        }

    def write(
        self,
        verdict: Verdict,
        decisions: Sequence[Decision],
        at_ms: int,
        found: Mapping[int, Found],
    ) -> None:
        """One batch; `found` is what `found` said of its auction."""
        requests = [ask.request for ask in verdict.asks]
        record = _record(verdict, decisions, at_ms)
        packed = encode(record, asked.pack(requests))
        self.ring.append(packed, verdict.numbers[0], len(requests), at_ms)
        for page, known in found.items():
            if requests[page].test:
                continue
            request = pseudonymous(requests[page], self.key)
            kept = record.sampled(page, request, known.scarce, known.context)
            if is_sampled(verdict.numbers[page], self.one_in):
                self.sample.put(kept)
            if _to_explore(record.slots, page):
                self.explored.put(kept)


def _to_explore(slots: Slots, page: int) -> bool:
    """By the coin alone, whatever came of it: so the pages of this folder are like all others."""
    return slots.explore is not None and bool(slots.explore[page])


def _record(verdict: Verdict, decisions: Sequence[Decision], at_ms: int) -> AuctionRecord:
    pages, edition, first = len(verdict.asks), verdict.edition, verdict.numbers[0]
    outcome = bytes([o.reason for decision in decisions for o in decision.outcomes])
    answered = np.frombuffer(outcome, np.uint8)
    notes = Notes(
        number=np.arange(first, first + pages, dtype=np.uint64),
        at_ms=np.full(pages, at_ms),
        snapshot=np.full(pages, edition.version),
        quality=np.full(pages, verdict.quality, np.uint8),
        ad_id=edition.snapshot.ads.ad_id[verdict.bids.ad],
        sold=answered == Rejection.WON,
        outcome=answered,
    )
    slots = verdict.encoded.slots
    return AuctionRecord((), notes, verdict.bids, slots, verdict.slate, model=edition.model)


def context_of(weighed: Weighed, page: int) -> Context:
    """As of now: what is counted changes. Slots end to end within a row's counts."""
    encoded, offset = weighed.encoded, weighed.candidates.offset
    first, last = encoded.slots.offset[page : page + 2].tolist()
    low, high = offset[page : page + 2].tolist()
    pair = np.repeat(np.arange(low, high, dtype=np.intp), last - first)
    place = np.tile(np.arange(last - first, dtype=np.intp), high - low)
    counts = weighed.counted.counts(np.full(len(pair), page, np.intp), pair, place)
    return Context(
        features=encoded.features[page : page + 1],
        slot_ids=encoded.slot_ids[first:last],
        counts=counts.reshape(high - low, (last - first) * COUNTS),
    )


def scarce_of(
    bids: Bids, slots: Slots, slate: Slate, page: int, remaining_micros: NDArray[np.int64]
) -> Scarce:
    """The page's budgets that could end within it, after the sales of the pages before it."""
    first, last = slots.offset[page : page + 2].tolist()
    rows = slice(bids.offset[page], bids.offset[page + 1])
    account = np.unique(bids.account[rows])
    account = account[account >= 0]
    known = account < len(remaining_micros)
    micros = np.where(known, remaining_micros[np.where(known, account, 0)], 0)
    earlier = np.flatnonzero(slate.winner[:first] >= 0)
    for budgets, cost in zip(
        bids.account[slate.winner[earlier]], slate.cost_micros[earlier], strict=True
    ):
        micros = micros - np.where(np.isin(account, budgets), cost, 0)
    enough = (last - first) * most_cost(bids, rows)
    short = micros < enough
    return Scarce(
        offset=np.array([0, np.count_nonzero(short)], np.int32),
        account=account[short].astype(np.int32),
        micros=micros[short],
    )


def most_cost(bids: Bids, rows: slice) -> int:
    """No sale of one slot to any of these rows costs more, in micros."""
    bid, per_click = bids.bid_micros[rows], bids.per_click[rows]
    ppm = bids.pctr_ppm[rows].max(axis=1, initial=1)
    cost = np.where(per_click, bid * ppm // PPM, bid // MILLE) + 1
    return int(cost.max(initial=0))
