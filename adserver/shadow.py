"""A model on trial scores what another has decided; nothing that is sold depends on it.

Bounded: an allowance of rows per second, one batch at a time, none while requests wait. It knows
no releases; who counts what it finds is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from adserver import arm_metrics
from adserver.arms import SHADOW, Arm, Observer
from adserver.columns import odds_of, pairs_of
from adserver.deadline import Clock
from adserver.edition import Edition
from adserver.encode import as_seen_by
from adserver.releases.statistics import Scored, took
from adserver.weighed import Weighed
from auction.columns import PPM, Bids, Slate
from ranking.scorer import FALLBACK, FULL
from ranking.tiers import Ranks, Scores, score_in_time

WITHIN_S = 0.5
"""A shadow's scores may be this late: no request waits for them, but the next batch that it is to
score does."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decided:
    """A batch that is answered, and how to sell it again."""

    weighed: Weighed
    slate: Slate
    sell: Callable[[Bids], Slate]
    """The auction of the same batch with other click rates, fairness and lots aside; without any
    effect."""

    @property
    def arm(self) -> Arm:
        """The shadow's, in the phase of this batch."""
        return replace(self.weighed.arm, name=SHADOW)


@dataclass(slots=True)
class Shadowing:
    """Of one worker."""

    ranks: Ranks
    clock: Clock
    rows_per_s: int
    observer: Observer | None = None
    behind: Callable[[], bool] = lambda: False
    """Whether requests wait: then a shadow does not score."""
    _credit: float = 0.0
    """Rows that may be scored now; at most a second's. A batch may overdraw it once."""
    _at: float = 0.0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    def offer(self, shadow: Edition, decided: Decided) -> None:
        """Have a batch scored, if there is time; else it counts as skipped."""
        asks = decided.weighed.asks
        if any(ask.request.test for ask in asks):
            return  # rehearsals say nothing of the traffic
        if self._may_score(shadow, decided.weighed):
            compared = self._compare(shadow, decided)
            self._task = asyncio.get_running_loop().create_task(compared)
        else:
            self._tell(shadow, decided.arm, Scored(skipped=len(asks)))

    def _may_score(self, shadow: Edition, weighed: Weighed) -> bool:
        now = self.clock()
        self._credit = min(self._credit + (now - self._at) * self.rows_per_s, self.rows_per_s)
        self._at = now
        busy = self._task is not None and not self._task.done()
        comparable = weighed.quality < FALLBACK and shadow.version == weighed.edition.version
        if busy or not comparable or self._credit <= 0 or self.behind():
            return False
        self._credit -= len(weighed.candidates.ad)
        return True

    async def _compare(self, shadow: Edition, decided: Decided) -> None:
        began, requests = self.clock(), len(decided.weighed.asks)
        try:
            scored = await compared(shadow, decided, self.ranks)
        except Exception:  # of a model that nobody depends on
            log.exception("a shadow failed", model=shadow.model)
            scored = None
        if scored is not None:
            spent = self.clock() - began
            arm_metrics.SHADOW_SECONDS.observe(spent)
            timed = msgspec.structs.replace(scored, took_ms=took(spent, requests))
            self._tell(shadow, decided.arm, timed)
            return
        arm_metrics.SHADOWED.labels("failed").inc(requests)
        if self.observer:
            self.observer.failed(decided.arm, shadow.bundle.version, requests)

    def _tell(self, shadow: Edition, arm: Arm, scored: Scored) -> None:
        arm_metrics.observe_shadow(scored)
        if self.observer:
            self.observer.shadowed(arm, shadow.bundle.version, scored)


async def compared(shadow: Edition, decided: Decided, ranks: Ranks) -> Scored | None:
    """The shadow beside the model that decided; None if it gave no scores in time."""
    weighed, slate = decided.weighed, decided.slate
    requests = [ask.request for ask in weighed.asks]
    encoded = as_seen_by(shadow, weighed.encoded, requests)
    pairs = pairs_of(weighed.candidates, encoded, shadow)
    breaker = ranks.breaker(shadow.bundle.version)
    logit = await score_in_time(ranks.scorer, breaker, pairs, WITHIN_S, ranks.clock)
    if isinstance(logit, str):
        return None
    counted = replace(weighed.counted, ads=shadow.ad_keys)
    odds = odds_of(Scores(logit, FULL), counted, encoded.slot_bias, shadow.bundle)
    bids = replace(weighed.bids, pctr_ppm=shadow.bundle.calibration.ppm(odds))
    ours, theirs = slate.plain_winner, decided.sell(bids).plain_winner
    if slate.explored is not None:  # a lot says nothing of a model
        ours, theirs = ours[~slate.explored], theirs[~slate.explored]
    rates = weighed.bids.pctr_ppm, bids.pctr_ppm
    return scored_of(len(requests), (weighed.odds, odds), rates, (ours, theirs))


def scored_of(
    requests: int,
    odds: tuple[NDArray[np.float32], NDArray[np.float32]],
    rates: tuple[NDArray[np.int64], NDArray[np.int64]],
    winners: tuple[NDArray[np.int32], NDArray[np.int32]],
) -> Scored:
    """Sums over candidates in the first slot of their page ([R, S] columns, production's first),
    and over slots [T] that either would have sold."""
    x, y = (one[:, 0].astype(np.float64) for one in odds)
    rate, shadow_rate = (float(one[:, 0].sum()) / PPM for one in rates)
    sold = (winners[0] >= 0) | (winners[1] >= 0)
    return Scored(
        requests=requests,
        rows=len(x),
        x=float(x.sum()),
        y=float(y.sum()),
        xx=float(x @ x),
        yy=float(y @ y),
        xy=float(x @ y),
        rate=rate,
        shadow_rate=shadow_rate,
        slots=int(sold.sum()),
        flips=int((winners[0] != winners[1]).sum()),
    )
