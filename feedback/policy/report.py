"""What replayed pages say of each policy, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from feedback.html import COMPACT
from feedback.policy.choices import Value
from feedback.policy.estimate import LEAST_ESS, Estimate, Reading, difference, read
from feedback.policy.recorded import Trial

GREEDY = "greedy"
"""Policy that all are compared with: what is served, without exploration."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one policy by one value."""

    policy: str
    value: Value
    reading: Reading
    gained: Estimate | None
    """More than the greedy policy, by DR; None where the reading is refused."""


def findings(trial: Trial, clip: float) -> list[Finding]:
    """Of all policies of the trial, of which the greedy one must be."""
    found = []
    for value in Value if trial.pages else ():
        usual = trial.seen(GREEDY, value)
        for policy in trial.policies:
            seen = trial.seen(policy.name, value)
            reading = read(seen, clip)
            gained = None if reading.refused else difference(seen, usual, clip)
            found.append(Finding(policy.name, value, reading, gained))
    return found


def as_json(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Values are clicks, or micros, per slot; a refused policy has no estimates."""
    return [
        {
            "policy": one.policy,
            "value": one.value.value,
            "pages": one.reading.pages,
            "slots": one.reading.slots,
            "agreed": one.reading.agreed,
            "ess": round(one.reading.ess, 1),
            "support": round(one.reading.support, 4),
            "clipped": round(one.reading.clipped, 4),
            "refused": one.reading.refused,
            "estimates": {each.name: _numbers(each) for each in one.reading.estimates},
            "gained": None if one.gained is None else _numbers(one.gained),
        }
        for one in found
    ]


def _numbers(one: Estimate) -> dict[str, float]:
    low, high = one.interval
    return {"value": one.value, "low": low, "high": high}


def findings_table(found: Sequence[Finding]) -> Table:
    """For a terminal; per thousand slots, revenue in dollars."""
    table = Table(title="policies", **COMPACT)
    for name in (
        "value",
        "policy",
        "IPS",
        "SNIPS",
        "DR",
        "95 %",
        "against greedy",
        "ESS",
        "support",
    ):
        table.add_column(name, justify="left" if name in {"value", "policy"} else "right")
    for one in found:
        scale = 1_000 if one.value is Value.CLICKS else 1e-3
        reading = one.reading
        ends = [f"{reading.ess:,.0f}", f"{reading.support:.2f}"]
        if reading.refused or one.gained is None:
            told = ["not told", "", "", f"ESS below {LEAST_ESS:.0f}", ""]
        else:
            low, high = (end * scale for end in reading.of("DR").interval)
            told = [f"{each.value * scale:.3f}" for each in reading.estimates]
            told += [f"{low:.3f} … {high:.3f}", _gain(one.gained, reading)]
        table.add_row(one.value.value, one.policy, *told, *ends)
    table.caption = (
        "per thousand slots: clicks, dollars. support well below 1: the policy shows what was "
        "never explored, and there only the click model speaks"
    )
    return table


def _gain(gained: Estimate, reading: Reading) -> str:
    usual = reading.of("DR").value - gained.value
    if usual <= 0:
        return ""
    low, high = (end / usual for end in gained.interval)
    return f"{gained.value / usual:+.1%} ({low:+.1%} … {high:+.1%})"
