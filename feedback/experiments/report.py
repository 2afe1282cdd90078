"""The read-out of an experiment: blocked where the arms are not the sizes that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from feedback.experiments.ratios import MISMATCH, Effect, effect, mismatch, users_needed
from feedback.experiments.reading import ROWS, Users
from feedback.html import COMPACT

METRICS = {"CTR": Users.click_rate, "RPM, $": Users.revenue}
FULL = 3.0
"""People per row of the table above which they cannot be counted by it."""


@dataclass(frozen=True, slots=True)
class ReadOut:
    arms: tuple[str, ...]
    people: tuple[float, ...]
    """About how many each arm has."""
    chance: float
    """Of these numbers of people, were the shares kept; below MISMATCH nothing is read off."""
    blocked: str
    """Why there are no effects; empty if there are."""
    effects: dict[tuple[str, str], Effect]
    """(metric, arm) -> against the control."""
    needed: dict[tuple[str, str], int]
    """(metric, arm) -> people per arm to find a relative difference of 1 %."""


def read_out(users: Users, control: str, shares: Mapping[str, float]) -> ReadOut:
    """Every arm against `control`, by every metric."""
    people = users.people()
    share = np.array([shares.get(arm, 0.0) for arm in users.arms])
    chance = (
        mismatch(np.rint(people / noise(people)).astype(np.int64), share) if len(people) else 1.0
    )
    blocked = _blocked(users, control, people, chance)
    effects, needed = {}, {}
    for name, of in METRICS.items() if not blocked else ():
        for at, arm in enumerate(users.arms):
            if arm != control:
                found = effect(of(users), users.arms.index(control), at)
                effects[name, arm] = found
                needed[name, arm] = _needed(found, users, at)
    return ReadOut(users.arms, tuple(people.tolist()), chance, blocked, effects, needed)


def noise(people: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """By how much counting people by occupied rows adds to the variance of their number."""
    load = np.maximum(people.max(initial=1) / ROWS, 1e-9)
    return float(1 + (np.exp(load) - 1 - load) / load)


def _blocked(
    users: Users, control: str, people: np.ndarray[tuple[int], np.dtype[np.float64]], chance: float
) -> str:
    if control not in users.arms or len(users.arms) < 2:
        return f"there are no two arms, of which {control!r} is one"
    if people.max() > FULL * ROWS:
        return "too many people to be told apart in the feature log"
    if chance < MISMATCH:
        return "the arms are not the sizes asked for: something loses users of one of them"
    return ""


def _needed(found: Effect, users: Users, at: int) -> int:
    """From the error of this very comparison: a user's variance is error² over 1/n + 1/m."""
    count = np.bincount(users.arm, minlength=len(users.arms))
    variance = found.error**2 / (1 / count[at] + 1 / max(1, count.sum() - count[at]))
    return users_needed(variance, 0.01 * found.control) if found.control > 0 else 0


def read_out_table(found: ReadOut) -> Table:
    """For a terminal."""
    table = Table(title="experiment", **COMPACT)
    for name in ("metric", "arm", "control", "treated", "change", "95 %", "p", "variance"):
        table.add_column(name, justify="left" if name in {"metric", "arm"} else "right")
    for (metric, arm), one in found.effects.items():
        low, high = (end / one.control if one.control else 0.0 for end in one.interval)
        table.add_row(
            metric,
            arm,
            f"{one.control:.5g}",
            f"{one.treated:.5g}",
            f"{one.difference / one.control if one.control else 0:+.2%}",
            f"{low:+.2%} … {high:+.2%}",
            f"{one.chance:.3g}",
            f"{one.left:.0%}",
        )
    needed = max(found.needed.values(), default=0)
    more = f"; a change of 1 % takes {needed:,} people per arm" if needed else ""
    table.caption = sizes(found) + more
    return table


def sizes(found: ReadOut) -> str:
    """How many people each arm has, and how likely that is."""
    counted = zip(found.arms, found.people, strict=True)
    people = ", ".join(f"{arm or '(none)'} {count:,.0f}" for arm, count in counted)
    return f"people: {people or 'none'}; sample ratio p = {found.chance:.3g}"
