"""What a model on trial may do, and how long each state lasts: what an operator may change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

from adserver.releases.states import State

AFTERWARDS: Final = 3.0
"""How much looser the limits are against what was before than against what is beside: an hour of
the day is no model's fault."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model on trial may do, and how long each state lasts at least."""

    shadow_s: float = 600.0
    """Long enough to meet the traffic of the hour; its scores cost nothing but time."""
    canary1_s: float = 1200.0
    """At 1 % of the requests: time for gross faults to show."""
    canary10_s: float = 1800.0
    """At least the delay of most clicks twice, so that those of its first pages are in."""
    watch_s: float = 3600.0
    """After its promotion a version is held against what its predecessor did, and rolled back;
    later it is for drift and training to mend."""
    settle_s: float = 600.0
    """Seconds in which nearly all clicks come: what is younger does not count against a version
    that is held against what was before."""
    rows: int = 20_000
    """Candidates that a shadow must have scored."""
    requests: int = 2_000
    """Requests that a canary must have decided in each of its states."""
    clicks: float = 20.0
    """Clicks that a canary must have predicted in each of its states; 0 where there are none."""
    correlation: float = 0.9
    """Least correlation of a shadow's log-odds with production's: less is another model. One that
    has learnt a lot may have less: where the gate has compared the two, its figure counts."""
    correlation_drop: float = 0.2
    """How far a shadow's correlation may be below what the gate measured of the same two models.
    The gate looks at ads that were shown, a shadow at all candidates, where models agree less: a
    fault of serving, such as another model's table, leaves next to nothing."""
    ratio: float = 2.0
    """Mean click rate over production's, either way: a prediction that jumps by more is a fault."""
    copc: float = 0.1
    """Clicks over predicted clicks may be this far from 1, or as far again as production's is."""
    ctr_loss: float = 0.1
    """Share of the click rate that may be lost against production."""
    revenue_loss: float = 0.1
    """The same of revenue per request."""
    p99_ms: float = 40.0
    """From a batch's start to its decisions: beyond lies the fallback, not the answer. 101 is above
    all that is told apart, so never broken."""
    degraded: float = 0.005
    """Share of requests that the model may leave to the fallback, or half as much again as
    production does."""
    errors: float = 0.00002
    """Share of requests on which it may fail altogether, counted like the fallback. A failure is a
    bug: two in a minute at 1 % of the traffic are enough, where production has none."""
    unscored: float = 0.001
    """Share of requests that a shadow may leave without scores, or fail on."""
    chance: float = 0.001
    """Of rolling back, over the whole trial, a model that keeps all limits, by each limit."""

    def least_s(self, state: State) -> float:
        """Seconds that the state lasts at least; in production, that it is watched."""
        seconds = {
            State.SHADOW: self.shadow_s,
            State.CANARY_1: self.canary1_s,
            State.CANARY_10: self.canary10_s,
        }
        return seconds.get(state, self.watch_s)

    def expecting(self, correlation: float | None) -> Limits:
        """For a shadow of which the gate measured this; None if it measured nothing."""
        if correlation is None:
            return self
        expected = correlation - self.correlation_drop
        return replace(self, correlation=min(self.correlation, expected))

    @property
    def afterwards(self) -> Limits:
        """For a version in production against what its predecessor did before."""
        return replace(
            self, **{name: min(AFTERWARDS * getattr(self, name), 0.9) for name in _LOOSE}
        )

    def problems(self) -> Iterator[str]:
        """Every limit that cannot be one, by name."""
        for one in fields(self):
            value = getattr(self, one.name)
            least, most = _BOUNDS.get(one.name, (0.0, float("inf")))
            if not least <= value <= most:
                yield f"{one.name} must be {least:g} to {most:g}, not {value:g}"


_LOOSE: Final = ("copc", "ctr_loss", "revenue_loss", "degraded", "errors")
_BOUNDS: Final = {
    "correlation": (-1.0, 1.0),
    "ratio": (1.01, 1000.0),
    "copc": (0.001, 0.9),
    "ctr_loss": (0.001, 0.9),
    "revenue_loss": (0.001, 0.9),
    "degraded": (0.0001, 1.0),
    "errors": (1e-7, 1.0),
    "unscored": (1e-7, 1.0),
    "p99_ms": (1.0, 101.0),
    "chance": (1e-9, 0.5),
}
