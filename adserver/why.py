"""What operators ask of decisions that were made: why this price, why not this ad.

Between the rings of all workers and the current edition. All work is bounded and done in a thread,
one question at a time per worker, so that decisions go on.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from adserver.auctions.explain import Explanation
from adserver.auctions.find import NOT_YET, find
from adserver.auctions.record import AuctionRecord
from adserver.auctions.ring import rings
from adserver.auctions.sample import latest
from adserver.auctions.why import as_json, funnel_of, with_sample
from adserver.deadline import Clock
from adserver.edition import Edition
from adserver.encode import Asked, encode
from adserver.errors import BadRequest, NotFound, Overloaded
from adserver.request import AdRequest
from adserver.settings import Settings
from auction.columns import Rejection
from auction.settings import AuctionSettings
from retrieval.funnel import count_misfits, first_misfit
from retrieval.query import Query

ID = re.compile(r"[0-9a-f]{16}")
AD = re.compile(r"[0-9]{1,18}")
WINDOW = re.compile(r"([0-9]{1,5})([smh])")
SECONDS = {"s": 1, "m": 60, "h": 3600}
MOST_WINDOW_S = 24 * 3600
MOST_LISTED = 200
"""Candidates in one answer; ask again with an offset for more."""
MOST_OFFSET = 10_000
MOST_GROUPS = 40
"""Of each worker's durable sample that are read for what its ring has lost; 64 pages each."""
PATIENCE_S = (0.01, 0.05, 0.2, 0.0)
"""Pauses before a decision that is not in its worker's ring is looked for again."""
SWITCH_S = 0.0002
"""A question's thread holds the interpreter no longer than this while the loop wants it."""
WAITING = 4
"""Questions that wait for the one under way."""


@dataclass(slots=True)
class Inquiries:
    """Of one worker, which answers for all of them."""

    settings: Settings
    prices: AuctionSettings
    edition: Callable[[], Edition]
    wall: Clock
    _turn: asyncio.Semaphore
    _waiting: int = 0

    @classmethod
    def of(
        cls,
        settings: Settings,
        prices: AuctionSettings,
        edition: Callable[[], Edition],
        wall: Clock,
    ) -> Inquiries:
        return cls(settings, prices, edition, wall, asyncio.Semaphore(1))

    async def explain(self, decision: str, offset: str = "", limit: str = "") -> dict[str, Any]:
        """One decision; NotFound with the reason when its auction is not kept (any more)."""
        if not ID.fullmatch(decision):
            raise BadRequest("invalid", "id", "a decision id is 16 hexadecimal digits, lower case")
        first = _whole(offset, "offset", 0, MOST_OFFSET)
        most = _whole(limit, "limit", 50, MOST_LISTED)
        page = await self._page(decision)
        return await self._in_turn(lambda: self._explain(decision, page, first, most))

    async def why(self, ad: str, window: str = "") -> dict[str, Any]:
        """The funnel of one ad over the latest decisions."""
        if not AD.fullmatch(ad):
            raise BadRequest("invalid", "id", "an ad id is a number")
        window_s = _window(window or "15m")
        return await self._in_turn(lambda: self._why(int(ad), window_s))

    async def _in_turn(self, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self._waiting > WAITING:
            raise Overloaded("too many questions at once")
        self._waiting += 1
        try:
            async with self._turn:
                with _interruptible():
                    return await asyncio.to_thread(answer)
        finally:
            self._waiting -= 1

    async def _page(self, decision: str) -> AuctionRecord:
        """The page of a decision; one that was answered a moment ago may not be written yet."""
        for pause in PATIENCE_S:
            page = await asyncio.to_thread(find, self.settings.auctions, int(decision, 16))
            if page != NOT_YET:
                break
            await asyncio.sleep(pause)
        if isinstance(page, str):
            raise NotFound(f"decision {decision}: {page}")
        return page

    def _explain(
        self, decision: str, page: AuctionRecord, offset: int, limit: int
    ) -> dict[str, Any]:
        edition, notes = self.edition(), page.notes
        version = int(notes.snapshot[0])
        explanation = Explanation.of(page, self.prices)
        return {
            "decision": decision,
            "worker": int(decision[:2], 16),
            "at_ms": int(notes.at_ms[0]),
            "snapshot": version,
            "model": page.model,
            "quality": int(notes.quality[0]),
            "request": _told(page.request()),
            "slots": explanation.slots(),
            "candidates": {
                "total": len(page.bids.ad),
                "by_code": explanation.counts(),
                "offset": offset,
                "listed": explanation.candidates(offset, limit),
            },
            "never_candidates": self._never(page, edition) if version == edition.version else None,
        }

    def _never(self, page: AuctionRecord, edition: Edition) -> dict[str, int]:
        """Ads that did not come to auction by reason, as the catalogue is now."""
        query = self._query(page.request(), int(page.notes.at_ms[0]), edition)
        retriever, live = edition.retriever, edition.overlay.live
        counts = count_misfits(
            edition.index.for_another_thread(), retriever.kinds, retriever.ad_start, query, live
        )
        eligible = len(edition.snapshot.ads) - sum(counts.values())
        counts[Rejection.SIMILARITY] = max(0, eligible - len(page.bids.ad))
        return {Rejection(code).name: count for code, count in sorted(counts.items()) if count}

    def _query(self, request: AdRequest, at_ms: int, edition: Edition) -> Query:
        return encode(
            Asked.by_strangers([request], [0]), edition, at_ms / 1000, self.settings.seed
        ).queries[0]

    def _why(self, ad: int, window_s: int) -> dict[str, Any]:
        edition, now_ms = self.edition(), int(self.wall() * 1000)
        row = _row_of(ad, edition)
        line_item = int(edition.snapshot.ads.line_item[row])

        def reason(request: AdRequest, at_ms: int) -> str:
            query = self._query(request, at_ms, edition)
            misfit = first_misfit(
                *(edition.index, edition.retriever.kinds, query, edition.overlay.live),
                *(row, line_item),
            )
            return "SIMILARITY" if misfit is None else misfit.name

        folder, since_ms = self.settings.auctions, now_ms - 1000 * window_s
        funnel = funnel_of(rings(folder), ad, since_ms, reason, self.prices)
        if funnel.since_ms > since_ms:  # the rings do not reach back so far
            one_in = self.settings.auction_sample_one_in
            older = latest(folder, MOST_GROUPS)
            funnel = with_sample(funnel, older, one_in, ad, since_ms, reason)
        return as_json(ad, funnel, window_s, now_ms, edition.version)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A thread gives the interpreter back sooner to the loop, which answers requests meanwhile."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _row_of(ad: int, edition: Edition) -> int:
    found = np.flatnonzero(edition.snapshot.ads.ad_id == ad)
    if not len(found):
        raise NotFound(f"there is no ad {ad} in snapshot {edition.version}")
    return int(found[0])


def _told(request: AdRequest) -> dict[str, Any]:
    """The request without what tells who asked."""
    told = {name: getattr(request, name) for name in AdRequest.__slots__}
    for name in ("user", "page_view", "unserved", "slots", "dialect", "explain"):
        del told[name]
    return {"dialect": request.dialect.value, "slots": len(request.slots), **told}


def _whole(text: str, name: str, default: int, most: int) -> int:
    """A query parameter that is a whole number up to `most`."""
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > most:
        raise BadRequest("invalid", name, f"must be a whole number from 0 to {most}")
    return int(text)


def _window(text: str) -> int:
    """Seconds of "90s", "15m" or "1h"."""
    parts = WINDOW.fullmatch(text)
    seconds = int(parts[1]) * SECONDS[parts[2]] if parts else 0
    if not 1 <= seconds <= MOST_WINDOW_S:
        raise BadRequest("invalid", "window", 'must be like "90s", "15m" or "1h", up to 24h')
    return seconds
