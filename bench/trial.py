"""How often a good model loses its trial, and how soon a bad one does; one JSON line per figure.

    python -m bench.trial

Simulated seconds of a canary beside production at 500 requests/s, judged every two seconds as the
server does: clicks come a minute later on average and in bursts, what they cost varies by a factor
of two either way. Quiet trials differ by chance alone. No server, no clock: the figures are exact
for their seeds and depend on no machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from adserver.releases.guardrails import Call, Case, Verdict, verdict
from adserver.releases.limits import Limits
from adserver.releases.states import SHARE_PPM, State
from adserver.releases.statistics import SLOWEST_MS, Scored, Stats

RATE: Final = 0.012
"""Of clicks per impression."""
BURST: Final = 0.1
"""Clicks of a second vary by so much more, as a share, than independent ones would."""
DELAY_S: Final = 60.0
EVERY_S: Final = 2
PER_S: Final = 500.0
BEFORE_S: Final = {State.CANARY_1: 600, State.CANARY_10: 1800, State.PRODUCTION: 3600}
"""How long the trial has lasted when the state begins."""
MONEY: Final = 0.7
"""Standard deviation of the logarithm of what a click costs."""
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


USUAL: Final = Limits()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one model does to its requests."""

    ctr: float = RATE
    predicted: float = RATE
    click_micros: float = 400_000.0
    ms: float = 8.0
    degraded: float = 0.0
    errors: float = 0.0


GOOD: Final = Behaviour()
FAULTS: Final = {
    "calibration x 3": Behaviour(predicted=3 * RATE),
    "calibration / 3": Behaviour(predicted=RATE / 3),
    "calibration x 1.5": Behaviour(predicted=1.5 * RATE),
    "slow scorer": Behaviour(ms=44.0),
    "1 of 20 to the fallback": Behaviour(degraded=0.05),
    "1 of 100 fails": Behaviour(errors=0.01),
    "half of the clicks": Behaviour(ctr=RATE / 2, predicted=RATE / 2),
    "half of the revenue": Behaviour(click_micros=200_000.0),
}


@dataclass(frozen=True, slots=True)
class Past:
    """[S] what had come by the end of each second, of one model."""

    requests: I64
    degraded: I64
    errors: I64
    impressions: I64
    expected: F64
    clicks: I64
    revenue: F64
    squares: F64
    took: I64
    """[S, SLOWEST_MS + 1]"""

    def at(self, second: int) -> Stats:
        return Stats(
            requests=int(self.requests[second]),
            errors=int(self.errors[second]),
            degraded=int(self.degraded[second]),
            impressions=int(self.impressions[second]),
            clicks=int(self.clicks[second]),
            expected=float(self.expected[second]),
            revenue=int(self.revenue[second]),
            revenue_squares=float(self.squares[second]),
            took_ms=tuple(self.took[second].tolist()),
        )


def past(rng: np.random.Generator, behaviour: Behaviour, per_s: float, seconds: int) -> Past:
    """A model that decides `per_s` requests with one impression each, for so many seconds."""
    requests = rng.poisson(per_s, seconds)
    degraded = rng.binomial(requests, behaviour.degraded)
    impressions = requests - degraded
    expected = rng.gamma(4.0 * np.maximum(impressions, 1e-9), behaviour.predicted / 4.0)
    mean = expected * behaviour.ctr / behaviour.predicted
    burst = rng.gamma(1 / BURST, BURST, seconds)
    clicks = rng.poisson(mean * burst)
    came = np.repeat(np.arange(seconds), clicks) + rng.exponential(DELAY_S, int(clicks.sum()))
    cost = behaviour.click_micros * np.exp(rng.normal(0.0, MONEY, len(came)))
    counts, revenue, squares = (
        np.bincount(came.astype(np.int64), weight, seconds)[:seconds]
        for weight in (None, cost, cost**2)
    )
    return Past(
        requests=np.cumsum(requests),
        degraded=np.cumsum(degraded),
        errors=np.cumsum(rng.binomial(requests, behaviour.errors)),
        impressions=np.cumsum(impressions),
        expected=np.cumsum(expected),
        clicks=np.cumsum(counts),
        revenue=np.cumsum(revenue),
        squares=np.cumsum(squares),
        took=np.cumsum(rng.multinomial(requests, _took(behaviour.ms)), axis=0),
    )


def _took(ms: float) -> F64:
    """Of whole milliseconds: Poisson, all beyond the slowest in the last."""
    at = np.arange(1, SLOWEST_MS + 1)
    share = np.exp(np.concatenate([[0.0], np.cumsum(np.log(ms / at))]) - ms)
    share[-1] += max(0.0, 1 - share.sum())
    return np.asarray(share / share.sum(), np.float64)


@dataclass(frozen=True, slots=True)
class Trial:
    """One state of one release."""

    state: State = State.CANARY_1
    behaviour: Behaviour = GOOD
    control: Behaviour = GOOD
    limits: Limits = USUAL
    per_s: float = PER_S
    every_s: int = EVERY_S

    def judged(self, seed: int, seconds: int) -> tuple[Verdict, int]:
        """The first verdict that is no KEEP and its second; the last one if there is none."""
        rng = np.random.default_rng(seed)
        share = SHARE_PPM.get(self.state, 1_000_000) / 1e6
        ours = past(rng, self.behaviour, share * self.per_s, seconds)
        before = past(rng, self.control, self.per_s, BEFORE_S[self.state]).at(-1)
        theirs = past(rng, self.control, (1 - share) * self.per_s, seconds)
        found = Verdict(Call.KEEP, "")
        for age in range(self.every_s, seconds + 1, self.every_s):
            so_far, control = before, before
            if self.state is not State.PRODUCTION:
                control = theirs.at(age - 1)
                so_far = before + control
            case = Case(self.state, age, ours.at(age - 1), control, so_far)
            found = verdict(case, self.limits)
            if found.call is not Call.KEEP:
                return found, age
        return found, seconds


def shadow_at(rng: np.random.Generator, requests: int, noise: float, shift: float = 0.0) -> Stats:
    """So many requests scored beside production, 100 candidates each; `noise` in log-odds."""
    x = rng.normal(-4.5, 1.0, requests * 100)
    y = x + shift + rng.normal(0.0, noise, len(x))
    scored = Scored(
        requests,
        len(x),
        *(0, float(x.sum()), float(y.sum()), float(x @ x), float(y @ y), float(x @ y)),
        rate=float(np.exp(x).sum()),
        shadow_rate=float(np.exp(y).sum()),
        slots=requests,
        flips=requests // 50,
        took_ms=tuple(rng.multinomial(requests, _took(8.0)).tolist()),
    )
    return Stats(scored=scored)


def quiet(trials: int) -> Iterator[dict[str, Any]]:
    """Rollbacks of models as good as production's, over each state's whole time."""
    for state in (State.CANARY_1, State.CANARY_10, State.PRODUCTION):
        seconds = int(USUAL.least_s(state)) + 60
        calls = [Trial(state).judged(seed, seconds)[0].call for seed in range(trials)]
        yield {
            "figure": "quiet trials rolled back",
            "state": str(state),
            "value": calls.count(Call.ROLL_BACK),
            "of": trials,
            "promoted": calls.count(Call.ADVANCE),
            "stated_chance_per_limit": USUAL.chance,
        }


def detections(trials: int) -> Iterator[dict[str, Any]]:
    """Seconds from the first request to the rollback."""
    for state in (State.CANARY_1, State.CANARY_10, State.PRODUCTION):
        for name, behaviour in FAULTS.items():
            longest = int(USUAL.least_s(state))
            found = [Trial(state, behaviour).judged(seed, longest) for seed in range(trials)]
            ages = [age for said, age in found if said.call is Call.ROLL_BACK]
            yield {
                "figure": "seconds to the rollback",
                "fault": name,
                "state": str(state),
                "value": float(np.median(ages)) if ages else None,
                "slowest": max(ages, default=None),
                "rolled_back": len(ages),
                "of": trials,
            }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quiet", type=int, default=300, help="quiet trials of each state")
    parser.add_argument("--faulty", type=int, default=20, help="trials of each fault")
    parser.add_argument("--quick", action="store_true", help="few trials")
    flags = parser.parse_args()
    if flags.quick:
        flags.quiet, flags.faulty = 5, 2
    for lines in (quiet(flags.quiet), detections(flags.faulty)):
        for line in lines:
            sys.stdout.buffer.write(orjson.dumps({"bench": "trial", "per_s": PER_S, **line}))
            sys.stdout.buffer.write(b"\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
