"""Whether a model on trial may go on, may go up, or must go: a judgement on numbers alone.

Small samples neither pass nor panic: they say nothing, and going up asks for volume besides. How
often one looks costs no good model its place (`evidence`).

It knows neither traffic nor clocks nor who acts on the judgement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from adserver.releases import evidence
from adserver.releases.evidence import width
from adserver.releases.limits import Limits
from adserver.releases.states import State
from adserver.releases.statistics import Stats, Took, p99_ms, slower_than

KNOWN_REQUESTS: Final = 100
"""Fewer say nothing of lateness: the first ones of a model that is new meet cold caches."""
LEAST_SLOTS: Final = 30
"""A shadow is not judged by fewer."""
KNOWN_IMPRESSIONS: Final = 200
"""From here on a mean predicted rate is known within some percent."""
KNOWN_CLICKS: Final = 50
"""Predicted clicks from which on production's own calibration says something."""
PRIOR_CLICKS: Final = 20.0
"""Clicks as predicted that production's own calibration is drawn towards."""

WATCHED: Final = "it was watched long enough"


class Call(StrEnum):
    KEEP = "keep"
    ADVANCE = "advance"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, why in words, and the numbers that say so."""

    call: Call
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a model that has been in its state for `age_s`."""

    state: State
    age_s: float
    trial: Stats
    control: Stats
    """What production did over the same time; beside a model that is in production itself, what
    its predecessor did before."""
    before: Stats | None = None
    """What production did since the trial began, states before this one included: most of the
    clicks are in. None: the same as `control`."""

    @property
    def known_copc(self) -> float:
        """Production's calibration, 1 where it is not known."""
        before = self.before or self.control
        return before.copc if before.expected >= KNOWN_CLICKS else 1.0

    def settled(self, limits: Limits) -> Stats:
        """The trial without those of its impressions whose clicks may be still to come, where the
        control's are in. Traffic is taken as even, and later clicks are counted all the same: it
        never looks worse than it is."""
        if self.state is not State.PRODUCTION:
            return self.trial
        share, trial = max(0.0, 1 - limits.settle_s / max(self.age_s, 1e-9)), self.trial
        return replace(
            trial,
            requests=int(share * trial.requests),
            degraded=int(share * trial.degraded),
            impressions=int(share * trial.impressions),
            expected=share * trial.expected,
        )


def verdict(case: Case, limits: Limits) -> Verdict:
    """What is to become of the model."""
    if case.state is State.PRODUCTION:
        limits = limits.afterwards
    checks = _shadow_faults if case.state is State.SHADOW else _faults
    known = figures(case.trial, case.control)
    for fault in checks(case, limits):
        return Verdict(fault.call, fault.reason, known | fault.numbers)
    waits = _waits(case.trial, limits, case.state, case.age_s)
    if waits:
        return Verdict(Call.KEEP, waits, known)
    if case.state is State.PRODUCTION:
        return Verdict(Call.KEEP, WATCHED, known)
    return Verdict(Call.ADVANCE, "every limit is kept", known)


def _waits(trial: Stats, limits: Limits, state: State, age_s: float) -> str:
    """What is still to be waited for; empty if nothing."""
    if age_s < limits.least_s(state):
        return f"{age_s:.0f} of {limits.least_s(state):.0f} s"
    if state is State.SHADOW:
        short = trial.scored.rows < limits.rows
        return f"{trial.scored.rows:.0f} of {limits.rows} candidates scored" if short else ""
    if state is State.PRODUCTION:
        return ""
    if trial.requests < limits.requests:
        return f"{trial.requests} of {limits.requests} requests"
    if trial.expected < limits.clicks:
        return f"{trial.expected:.1f} of {limits.clicks:.0f} predicted clicks"
    return ""


def _shadow_faults(case: Case, limits: Limits) -> Iterator[Verdict]:
    trial, scored = case.trial, case.trial.scored
    unscored = replace(trial, requests=trial.errors + scored.requests)
    yield from _too_many("errors", unscored, limits.unscored, 0.0, limits)
    yield from _too_slow(scored.took_ms, case.control.took_ms, limits, unscored.burst)
    if scored.slots < LEAST_SLOTS:
        return
    at_most = evidence.correlation_at_most(scored.correlation, scored.slots, limits.chance)
    if at_most < limits.correlation:
        numbers = {"correlation": scored.correlation, "limit": limits.correlation}
        yield _fault("its scores correlate too little with production's", numbers)
    yield from _jump(scored.mean_ratio, case.known_copc, limits)


def _faults(case: Case, limits: Limits) -> Iterator[Verdict]:
    trial, control, settled = case.trial, case.control, case.settled(limits)
    yield from _too_many("errors", trial, limits.errors, control.error_share, limits)
    if trial.requests >= KNOWN_REQUESTS:
        yield from _too_many("degraded", trial, limits.degraded, control.degraded_share, limits)
    yield from _too_slow(trial.took_ms, control.took_ms, limits, trial.burst)
    yield from _off_calibration(trial, settled, control, limits)
    if min(trial.impressions, control.impressions) >= KNOWN_IMPRESSIONS:
        ratio = trial.predicted_rate / max(control.predicted_rate, 1e-12)
        yield from _jump(ratio, case.known_copc, limits)
    yield from _loses(settled, control, limits)


def _too_many(
    what: str, trial: Stats, limit: float, own: float, limits: Limits
) -> Iterator[Verdict]:
    """More of something bad than the limit and than half as much again as production has."""
    count, allowed = getattr(trial, what), max(limit, 1.5 * own)
    if _exceeds(count, trial.requests * allowed, trial.burst, limits):
        share = count / max(trial.requests, 1)
        numbers = {what: share, "limit": allowed, "requests": float(trial.requests)}
        yield _fault(f"too many {what}", numbers)


def _too_slow(trial: Took, control: Took, limits: Limits, burst: float) -> Iterator[Verdict]:
    if sum(trial) < KNOWN_REQUESTS:
        return
    slow, own = slower_than(trial, limits.p99_ms), slower_than(control, limits.p99_ms)
    allowed = max(0.01, 1.5 * own / max(sum(control), 1))
    if _exceeds(slow, sum(trial) * allowed, burst, limits):
        numbers = {"slow": slow / max(sum(trial), 1), "limit": allowed, "limit_ms": limits.p99_ms}
        yield _fault("its 99th percentile is too high", numbers)


def _exceeds(count: int, allowed: float, burst: float, limits: Limits) -> bool:
    """Whether chance does not explain the count, of requests that come in bursts of one fate."""
    return evidence.above(count / burst, allowed / burst) > 1 / limits.chance


def _off_calibration(
    trial: Stats, settled: Stats, control: Stats, limits: Limits
) -> Iterator[Verdict]:
    """Outside the limits, and farther out than production: clicks that are still to come and a
    market that has moved show in both."""
    own = (control.clicks + PRIOR_CLICKS) / (control.expected + PRIOR_CLICKS)
    low = min(1.0, own) * (1 - limits.copc)
    high = max(1.0, own) * (1 + limits.copc)
    above = evidence.above(trial.clicks, trial.expected * high)
    below = evidence.below(trial.clicks, settled.expected * low)
    if max(above, below) > 1 / limits.chance:
        numbers = {"copc": trial.copc, "low": low, "high": high, "predicted": trial.expected}
        yield _fault("it is not calibrated", numbers)


def _jump(ratio: float, copc: float, limits: Limits) -> Iterator[Verdict]:
    """A mean click rate far from what production predicts, and from what its clicks say: seen
    after a few hundred impressions, long before the trial's own clicks."""
    if all(not 1 / limits.ratio <= one <= limits.ratio for one in (ratio, ratio / max(copc, 1e-9))):
        numbers = {"ratio": ratio, "known_copc": copc, "limit": limits.ratio}
        yield _fault("its click rates are another order of size than production's", numbers)


def _loses(trial: Stats, control: Stats, limits: Limits) -> Iterator[Verdict]:
    """Click rate and revenue: logarithms of ratios with variances by the delta method."""
    for name, least, ratio, variance, events in (
        ("ctr", 1 - limits.ctr_loss, *_ratio_of_ctr(trial, control)),
        ("revenue", 1 - limits.revenue_loss, *_ratio_of_revenue(trial, control)),
    ):
        at_most = ratio * math.exp(width(events, limits.chance) * math.sqrt(variance))
        if events >= 10 and at_most < least:
            numbers = {name: ratio, "at_most": at_most, "limit": least, "events": events}
            yield _fault(f"it loses {name}", numbers)


Ratio = tuple[float, float, float]
"""A ratio, the variance of its logarithm, and the events that it rests on."""


def _ratio_of_ctr(trial: Stats, control: Stats) -> Ratio:
    """Clicks are rare and nearly independent: the variance of log clicks is 1 / clicks."""
    clicks = trial.clicks, control.clicks
    if not min(trial.impressions, control.impressions, *clicks):
        return 1.0, 0.0, 0.0
    ratio = (clicks[0] / trial.impressions) / (clicks[1] / control.impressions)
    return ratio, 1 / clicks[0] + 1 / clicks[1], float(min(clicks))


def _ratio_of_revenue(trial: Stats, control: Stats) -> Ratio:
    """A sum of amounts at random moments varies by the sum of their squares."""
    if not min(trial.revenue, control.revenue, trial.answered, control.answered):
        return 1.0, 0.0, 0.0
    ratio = (trial.revenue / trial.answered) / (control.revenue / control.answered)
    spread = [one.revenue_squares / one.revenue**2 for one in (trial, control)]
    return ratio, sum(spread), 1 / max(spread)


def figures(trial: Stats, control: Stats) -> dict[str, float]:
    """What a reader of the history wants to know of both."""
    return {
        "requests": float(trial.requests),
        "copc": trial.copc,
        "production_copc": control.copc,
        "p99_ms": max(trial.p99_ms, p99_ms(trial.scored.took_ms)),
        "production_p99_ms": control.p99_ms,
        "degraded": trial.degraded_share,
        "ctr": trial.ctr,
        "production_ctr": control.ctr,
        "correlation": trial.scored.correlation,
        "flips": trial.scored.flip_share,
    }


def _fault(reason: str, numbers: dict[str, float]) -> Verdict:
    return Verdict(Call.ROLL_BACK, reason, numbers)
