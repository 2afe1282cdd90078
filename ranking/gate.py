"""The limits that a model must keep to be released, and the report of how it keeps them.

Judges numbers that come as values: who scored what, and how pages were sold, is known elsewhere
(`ranking.judge`, `feedback.gate_replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.dataset import Impressions
from ranking.field_copc import Worst
from ranking.intervals import Interval
from ranking.metrics import Metrics


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a release may cost. Changes are those of the served INT8 model against the float one."""

    auc_drop: float = 0.0005
    """A tenth of what separates good architectures on public click logs: no model is worth less."""
    auc_ratio: float = 0.999
    """MLPerf's bound for recommendation models: 99.9 % of the float AUC."""
    logloss_rise: float = 0.001
    """As a share. Unlike the AUC it sees rates that are wrong in the right order."""
    copc_change: float = 0.005
    """As a share, either way: predicted clicks are what bids per click are multiplied with."""
    ece: float = 0.005
    """Of calibrated rates, beyond what chance alone gives so few clicks."""
    ece_share: float = 0.2
    """The same as a share of the average click rate; the smaller of the two binds, since half a
    percent is nothing at rates of ten percent and everything at one."""
    flips: float = 0.01
    """Share of replayed slots that another ad wins: the AUC does not see single rows."""
    revenue_change: float = 0.003
    """As a share, either way, of the replayed pages: more is as suspect as less."""
    candidate_auc_drop: float = 0.001
    """How much worse than the model in production a candidate may rank the newest impressions
    before a canary even begins: twice what INT8 may cost, as both models are uncertain."""
    candidate_copc: float = 0.1
    """How far from 1 a candidate may leave clicks over predicted clicks of the newest impressions,
    if there are enough clicks to tell: what is off is refitted in seconds, what is far off is not
    calibration."""
    calibrated_copc: float = 0.03
    """How far from 1 a refitted map may leave clicks over predicted clicks, if there are enough
    clicks to tell."""

    def problems(self) -> Iterator[str]:
        for name, value in asdict(self).items():
            if not 0.0 <= value <= 1.0:
                yield f"{name} must be 0 to 1, not {value}"


@dataclass(frozen=True, slots=True)
class Compared:
    """Two models, or two forms of one, on the same impressions."""

    before: Metrics
    after: Metrics
    change: Mapping[str, Interval]
    """`intervals.differences`."""
    own: Mapping[str, Interval]
    """`intervals.intervals` of `after`."""
    chance: float
    """`metrics.ece_by_chance` of `after`."""
    click_rate: float
    rows: int
    clicks: int
    correlation: float
    """Of the two log-odds."""
    fields: tuple[Worst, ...] = ()
    """`field_copc` of `after`."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same pages sold by the auction on the rates of either model."""

    source: str
    """Where pages and bids come from."""
    pages: int
    slots: int
    """Sold with either."""
    flips: Interval
    """Share of them that went to another ad."""
    revenue: Interval
    """Change as a share, with clicks as likely as the first model says in both."""


Rate = Callable[[Impressions], NDArray[np.int64]]
"""A model: calibrated click rates i64[R] of impressions, in whole millionths as the auction's."""
Replay = Callable[[Rate, Rate], Replayed]
"""Sells pages by both: the float model or the old one first, then the one that is judged."""


@dataclass(frozen=True, slots=True)
class Check:
    """One number and what it may be."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None
    interval: Interval | None = None

    @property
    def passed(self) -> bool:
        """A number that is none passes no limit."""
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    @property
    def limit(self) -> str:
        """The limit in words."""
        if self.least is not None and self.most is not None:
            return f"{self.least:+.4g} to {self.most:+.4g}"
        if self.least is not None:
            return f"≥ {self.least:.4g}"
        return "reported" if self.most is None else f"≤ {self.most:.4g}"

    def __str__(self) -> str:
        return f"{self.name} {self.value:+.5f} (limit {self.limit})"


@dataclass(frozen=True, slots=True)
class Report:
    """One gate's numbers, limits and verdict, and the data they are of."""

    gate: str
    checks: tuple[Check, ...]
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def require(self) -> None:
        """Raise GateRefused, with every limit that is not kept and by how much."""
        if not self.passed:
            raise GateRefused(self)

    def as_json(self) -> dict[str, Any]:
        """For manifest and gate.json; a number that is none is null."""
        checks = [
            {
                "name": one.name,
                "value": _finite(one.value),
                "least": one.least,
                "most": one.most,
                "low": _finite(one.interval.low) if one.interval else None,
                "high": _finite(one.interval.high) if one.interval else None,
                "passed": one.passed,
            }
            for one in self.checks
        ]
        return {"gate": self.gate, "passed": self.passed, "checks": checks, "data": dict(self.data)}


class GateRefused(Exception):
    """A model does not keep the limits; the message has the numbers."""

    def __init__(self, report: Report) -> None:
        self.report = report
        failed = ", ".join(str(check) for check in report.checks if not check.passed)
        super().__init__(f"{report.gate} is refused: {failed}")


def quantisation(compared: Compared, replayed: Replayed | None, limits: GateSettings) -> Report:
    """INT8 as served against the float weights of the same model, through one calibration map."""
    before, after, change = compared.before, compared.after, compared.change
    checks = [
        Check("AUC change", after.auc - before.auc, -limits.auc_drop, None, change.get("auc")),
        Check("AUC ratio", after.auc / before.auc, limits.auc_ratio),
        Check("logloss rise", after.logloss / before.logloss - 1, None, limits.logloss_rise),
        _either_way("COPC change", after.copc / before.copc - 1, limits.copc_change),
        _ece(compared, limits),
    ]
    if replayed:
        checks += [
            Check("winner flips", replayed.flips.value, None, limits.flips, replayed.flips),
            _either_way(
                "revenue change", replayed.revenue.value, limits.revenue_change, replayed.revenue
            ),
        ]
    return Report("INT8", tuple(checks), _data(compared, replayed))


def candidate(compared: Compared, replayed: Replayed | None, limits: GateSettings) -> Report:
    """A candidate against the model in production, both as served, on the newest impressions.

    It may not rank worse, nor lose logloss for certain (its paired interval wholly above nothing),
    nor be badly calibrated. Other winners and other revenue are what a new model is for, and are
    reported for whoever reads of the canary.
    """
    before, after, change = compared.before, compared.after, compared.change
    drop, rise = change.get("auc"), change.get("logloss")
    certain = [Check("logloss rise for certain", rise.low, None, 0.0)] if rise else []
    checks = [
        Check("AUC change", after.auc - before.auc, -limits.candidate_auc_drop, None, drop),
        *certain,
        Check("logloss change", after.logloss - before.logloss, interval=rise),
        _ece(compared, limits),
        _copc(compared, limits.candidate_copc),
        Check("correlation of log-odds", compared.correlation),
    ]
    if replayed:
        checks += [
            Check("winner flips", replayed.flips.value, interval=replayed.flips),
            Check("revenue change", replayed.revenue.value, interval=replayed.revenue),
        ]
    return Report("candidate", tuple(checks), _data(compared, replayed))


def calibration(compared: Compared, limits: GateSettings) -> Report:
    """A new map behind an old model, on impressions that it was not fitted to."""
    before, after, own = compared.before, compared.after, compared.own
    checks = (
        _ece(compared, limits),
        Check("logloss rise", after.logloss / before.logloss - 1, None, limits.logloss_rise),
        _copc(compared, limits.calibrated_copc),
        Check("COPC before", before.copc),
        Check("COPC", after.copc, interval=own.get("copc")),
    )
    return Report("calibration", checks, _data(compared, None))


def _ece(compared: Compared, limits: GateSettings) -> Check:
    most = min(limits.ece, limits.ece_share * compared.click_rate)
    return Check("ECE beyond chance", max(compared.after.ece - compared.chance, 0.0), None, most)


def _copc(compared: Compared, limit: float) -> Check:
    """Two deviations of so many clicks are let pass."""
    chance = 2.0 / max(compared.clicks, 1) ** 0.5
    return _either_way("COPC off 1", compared.after.copc - 1, max(limit, chance))


def _either_way(name: str, value: float, limit: float, interval: Interval | None = None) -> Check:
    return Check(name, value, -limit, limit, interval)


def _data(compared: Compared, replayed: Replayed | None) -> dict[str, Any]:
    """What a reader needs to weigh the numbers."""
    known = {
        "rows": compared.rows,
        "clicks": compared.clicks,
        "click_rate": compared.click_rate,
        "ece": compared.after.ece,
        "ece_by_chance": compared.chance,
        "change": _intervals(compared.change),
        "own": _intervals(compared.own),
        "field_copc": [asdict(one) for one in compared.fields],
    }
    return known | ({"replay": asdict(replayed)} if replayed else {})


def _intervals(known: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    """Figure → value, low, high."""
    return {
        name: [_finite(one.value), _finite(one.low), _finite(one.high)]
        for name, one in known.items()
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
