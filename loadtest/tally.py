"""What was measured, as columns, and what they come to.

Knows nothing of how requests were sent: a latency counts from whatever moment it was given.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.answers import UNKNOWN
from loadtest.traffic import AUCTION, ROUTES

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
SERVER_ERRORS = 500


@dataclass(slots=True)
class Tally:
    """One row per answer; half a microsecond each."""

    route: array[int] = field(default_factory=lambda: array("b"))
    due_s: array[float] = field(default_factory=lambda: array("d"))
    """When it should have been sent, on the monotonic clock."""
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    server_ms: array[float] = field(default_factory=lambda: array("d"))
    status: array[int] = field(default_factory=lambda: array("h"))
    quality: array[int] = field(default_factory=lambda: array("b"))
    slots: array[int] = field(default_factory=lambda: array("h"))
    sold: array[int] = field(default_factory=lambda: array("h"))
    failures: Counter[str] = field(default_factory=Counter)
    """Requests without a readable answer in time, by what happened."""

    def __len__(self) -> int:
        return len(self.route)


@dataclass(frozen=True, slots=True)
class Line:
    """Latencies of one group of answers, in milliseconds."""

    name: str
    count: int
    ms: dict[str, float]
    """By name of the quantile, and "max"."""


@dataclass(frozen=True, slots=True)
class Run:
    """How the load was made, for reading the figures right."""

    seconds: float
    """Of measuring; the warm-up is not in it."""
    offered: int
    """Requests whose time came while measuring; in a closed loop, those that were answered."""
    cpu_s: float
    """The generator's own CPU time, warm-up and preparation not counted."""
    late_ms: float = 0.0
    """99 of 100 requests were written no later than this after their time."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run came to."""

    run: Run
    lines: list[Line]
    status: dict[str, int]
    quality: dict[str, int]
    failures: dict[str, int]
    no_fill: float
    """Share of the slots asked for that stayed empty."""
    server_p99_ms: float
    """Of what the server says it took; the rest is network, queues before it, and the generator."""

    @property
    def requests(self) -> int:
        """Ad requests that were answered."""
        return sum(self.quality.values())

    @property
    def rate(self) -> float:
        """Ad requests answered per second."""
        return self.requests / self.run.seconds

    @property
    def failed(self) -> bool:
        """Whether anything went wrong that a page would have seen."""
        return bool(self.failures) or any(int(code) >= SERVER_ERRORS for code in self.status)

    @property
    def ads(self) -> dict[str, float]:
        """Latencies of all ad requests together."""
        return next((line.ms for line in self.lines if line.name == ALL), _quantiles(np.zeros(0)))

    def as_json(self) -> dict[str, Any]:
        run = self.run
        return {
            "seconds": round(run.seconds, 3),
            "offered_per_s": round(run.offered / run.seconds, 1),
            "achieved_per_s": round(self.rate, 1),
            "latency_ms": {line.name: {"count": line.count, **line.ms} for line in self.lines},
            "server_p99_ms": self.server_p99_ms,
            "status": self.status,
            "quality": self.quality,
            "no_fill": round(self.no_fill, 4),
            "failures": self.failures,
            "generator_us_per_request": round(1e6 * run.cpu_s / max(1, self.requests), 1),
            "generator_late_p99_ms": round(run.late_ms, 3),
        }


ALL = "all ad requests"


def summarise(tally: Tally, run: Run) -> Summary:
    """The figures of one run."""
    route, quality = np.array(tally.route), np.array(tally.quality)
    latency_ms = np.array(tally.latency_s) * 1000
    ads = route <= AUCTION
    groups = {ALL: ads}
    for number in sorted(set(tally.route)):
        groups[ROUTES[number]] = route == number
    for tier in sorted(set(tally.quality) - {UNKNOWN}):
        groups[f"quality {tier}"] = quality == tier
    slots, sold = np.sum(tally.slots), np.sum(tally.sold)
    server_ms = np.array(tally.server_ms)[ads]
    return Summary(
        run=run,
        lines=[_line(name, latency_ms[rows]) for name, rows in groups.items()],
        status={str(code): count for code, count in sorted(Counter(tally.status).items())},
        quality=_named(Counter(quality[ads].tolist())),
        failures=dict(tally.failures),
        no_fill=float(1 - sold / slots) if slots else 0.0,
        server_p99_ms=_quantiles(server_ms)["p99"],
    )


def p99_by_second(due_s: NDArray[np.float64], ms: NDArray[np.float64]) -> dict[int, float]:
    """Of latencies, by the whole second of the clock; the first and the last one are not whole."""
    second = due_s.astype(np.int64)
    return {
        int(one): float(np.quantile(ms[second == one], 0.99, method="inverted_cdf"))
        for one in np.unique(second)[1:-1]
    }


def _named(count: Counter[int]) -> dict[str, int]:
    return {"not told" if q == UNKNOWN else str(q): n for q, n in sorted(count.items())}


def _line(name: str, ms: NDArray[np.float64]) -> Line:
    return Line(name, len(ms), _quantiles(ms))


def _quantiles(ms: NDArray[np.float64]) -> dict[str, float]:
    """Each the smallest measured value that the share of all values does not exceed."""
    if not len(ms):
        return dict.fromkeys([*QUANTILES, "max"], 0.0)
    found = np.quantile(ms, list(QUANTILES.values()), method="inverted_cdf")
    return dict(zip(QUANTILES, found.round(3).tolist(), strict=True)) | {
        "max": round(float(ms.max()), 3)
    }
