"""Who finds a batch's candidates: the selector while it answers in time, else the planner.

Whatever is wrong with the selector, a batch has its candidates within the time that it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from adserver import metrics
from adserver.edition import Edition
from adserver.encode import Encoded
from adserver.selection.message import Change, Key, changes
from adserver.settings import Settings
from ranking.breaker import CircuitBreaker
from ranking.scorer import RankerError, Refused
from retrieval.planner import Plan
from retrieval.query import Candidates, Live

if TYPE_CHECKING:  # torch comes in with them, which a worker that plans can do without
    from retrieval.gpu.asks import Asks
    from retrieval.gpu.selector import Ranked

ITS_SHARE: Final = 0.4
"""Of the time that a batch has left: the planner and the click model may still come after it."""
PREPARED_WITHIN_S: Final = 3.0
"""What is new serves after this long, whether or not the selector has it."""
LOOK_S: Final = 0.1
MOST_REQUESTS: Final = 64
"""`max_batch_size` of the model's configuration."""


class Selects(Protocol):
    """What a `client.TritonSelector` does."""

    async def select(self, asks: Asks, snapshot: int, model: int, timeout_s: float) -> Ranked: ...
    async def change(self, change: Change, snapshot: int, model: int) -> None: ...
    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Finding:
    """One worker's. Without a selector it plans."""

    selector: Selects | None = None
    clock: Callable[[], float] = field(default=lambda: 0.0)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    _told: dict[Key, Live] = field(default_factory=dict)
    """What the selector knows of the editions that it has."""
    _coming: frozenset[Key] = frozenset()

    @classmethod
    def of(cls, settings: Settings, clock: Callable[[], float]) -> Finding:
        """Call inside the event loop: the connection belongs to it."""
        if settings.selector == "cpu":
            return PLANNED
        from adserver.selection.client import TritonSelector  # noqa: PLC0415 - as above

        return cls(TritonSelector(settings.triton_url), clock)

    async def find(
        self, encoded: Encoded, edition: Edition, most: int, left_s: float
    ) -> Candidates:
        """The best of each request, at most so many; `left_s` is all the time that there is."""
        if self.selector is not None:
            found = await self._selected(self.selector, encoded, edition, left_s * ITS_SHARE)
            metrics.SELECTIONS.labels(found if isinstance(found, str) else "selector").inc()
            if not isinstance(found, str):
                return candidates_of(found, most)
        return edition.retriever.retrieve(encoded.queries, edition.overlay.live, most)

    async def follow(self, editions: Mapping[Key, Edition]) -> None:
        """Tell the selector what has changed in the editions that serve; forget the others."""
        if self.selector is None:
            return
        kept = self._coming.union(editions)
        self._told = {key: live for key, live in self._told.items() if key in kept}
        for key, edition in editions.items():
            live = edition.overlay.live
            if self._told.get(key) is not live:
                await self._tell(self.selector, key, live)

    async def prepare(self, editions: Mapping[Key, Edition]) -> None:
        """Have the selector load what is about to serve, while it answers for what serves now.

        Returns when it has all, or lets it come later: the worker plans until then.
        """
        if self.selector is None or not self._told:
            return
        self._coming, until = frozenset(editions), self.clock() + PREPARED_WITHIN_S
        try:
            while missing := self._coming - self._told.keys():
                for key in missing:
                    await self._tell(self.selector, key, editions[key].overlay.live)
                if self._coming <= self._told.keys() or self.clock() >= until:
                    break
                await asyncio.sleep(LOOK_S)
        finally:
            self._coming = frozenset()

    async def close(self) -> None:
        if self.selector is not None:
            await self.selector.close()

    async def _tell(self, selector: Selects, key: Key, live: Live) -> None:
        """All or nothing: what failed half way is told anew."""
        old = self._told.pop(key, None)
        try:
            some = changes(old, live)
            # compared by another thread: of millions of ads that takes as long as many decisions
            while change := await asyncio.to_thread(next, some, None):
                await selector.change(change, *key)
        except RankerError:
            return
        self._told[key] = live

    async def _selected(
        self, selector: Selects, encoded: Encoded, edition: Edition, timeout_s: float
    ) -> Ranked | str:
        """Ads, or in one word why there are none."""
        from retrieval.gpu.asks import Asks, TooWide  # noqa: PLC0415 - as above

        key = edition.version, edition.bundle.version
        if key not in self._told:
            return "loading"
        if len(encoded.queries) > MOST_REQUESTS:
            return "wide"
        try:
            asks = Asks.of(encoded.queries, encoded.vector.shape[1])
        except TooWide:
            return "wide"
        if not self.breaker.admits(self.clock()):
            return "open"
        try:
            ranked = await selector.select(asks, *key, timeout_s)
        except RankerError as error:
            self._failed(key, error)
            return type(error).__name__.lower()
        self.breaker.succeeded()
        return ranked

    def _failed(self, key: Key, error: RankerError) -> None:
        self.breaker.failed(self.clock())
        if isinstance(error, Refused):  # started anew, it knows nothing: tell it all
            self._told.pop(key, None)


PLANNED: Final = Finding()
"""Finds by the planner only, and holds nothing."""


def candidates_of(ranked: Ranked, most: int) -> Candidates:
    """The first `most` of each request as retrieval gives them, most promising first."""
    cut = slice(0, most)
    there = ranked.ad[:, cut] >= 0
    offset = np.zeros(len(there) + 1, np.int32)
    np.cumsum(there.sum(axis=1), out=offset[1:])
    plan = np.where(ranked.eligible > 0, Plan.DEVICE, Plan.NOTHING).astype(np.int8)
    columns: Collection[Any] = (ranked.ad, ranked.value, ranked.slots)
    ad, value, slots = (column[:, cut][there] for column in columns)
    return Candidates(ad, value, slots, offset, np.array(ranked.eligible), plan)
