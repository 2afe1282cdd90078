"""A trial as a table for people: what a model does, beside what it is held against, and the limits.

Formats nothing and reads nothing but a case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adserver.releases.guardrails import Case
from adserver.releases.limits import Limits
from adserver.releases.states import State
from adserver.releases.statistics import Stats, p99_ms

Row = dict[str, Any]
MICROS = 1_000_000


def rows(case: Case, limits: Limits) -> list[Row]:
    """One row per figure: what, trial, production, limit (in words, empty if there is none)."""
    used = limits.afterwards if case.state is State.PRODUCTION else limits
    measured = _shadow(case, used) if case.state is State.SHADOW else _deciding(case, used)
    return [
        {"what": what, "trial": trial, "production": control, "limit": limit}
        for what, trial, control, limit in measured
    ]


Figures = list[tuple[str, float, float | None, str]]


def _shadow(case: Case, limits: Limits) -> Figures:
    scored, control = case.trial.scored, case.control
    return [
        ("candidates scored", scored.rows, None, f"at least {limits.rows}"),
        ("requests skipped", scored.skipped, None, ""),
        ("correlation", scored.correlation, None, f"at least {limits.correlation:.2f}"),
        ("click rates over production's", scored.mean_ratio, None, _either_way(limits.ratio)),
        ("other winners", scored.flip_share, None, ""),
        ("errors", case.trial.errors, control.errors, f"{limits.unscored:.2%}"),
        ("p99 ms", p99_ms(scored.took_ms), control.p99_ms, f"{limits.p99_ms:g}"),
    ]


def _deciding(case: Case, limits: Limits) -> Figures:
    def both(what: str, of: Callable[[Stats], float], limit: str) -> tuple[str, float, float, str]:
        return what, of(case.trial), of(case.control), limit

    least = f"at least {limits.requests}" if case.state is not State.PRODUCTION else ""
    rates = f"{_either_way(limits.ratio)} of production's"
    revenue = f"at most {limits.revenue_loss:.0%} less"
    return [
        both("requests", lambda one: one.requests, least),
        both("errors", lambda one: one.error_share, f"{limits.errors:.3%}"),
        both("to the fallback", lambda one: one.degraded_share, f"{limits.degraded:.2%}"),
        both("p99 ms", lambda one: one.p99_ms, f"{limits.p99_ms:g}"),
        both("sold of slots", lambda one: one.sold / max(one.slots, 1), ""),
        both("predicted click rate", lambda one: one.predicted_rate, rates),
        both("click rate", lambda one: one.ctr, f"at most {limits.ctr_loss:.0%} less"),
        both("clicks / predicted", lambda one: one.copc, f"1 ± {limits.copc:g}"),
        both("$ per 1000 requests", _per_thousand, revenue),
    ]


def _either_way(ratio: float) -> str:
    return f"{1 / ratio:.2g} to {ratio:g}"


def _per_thousand(stats: Stats) -> float:
    return 1000 * stats.revenue / MICROS / max(stats.answered, 1)


def served(stats: Stats) -> Row:
    """What a version did lately, in one line."""
    return {
        "requests": stats.requests,
        "ctr": stats.ctr if stats.impressions else None,
        "live_copc": stats.copc if stats.expected else None,
    }
