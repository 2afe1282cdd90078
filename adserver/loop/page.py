"""The report of a run on one page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adserver.loop import plots
from feedback import html
from feedback.html import figure

BROAD = ' class="broad"'
Report = dict[str, Any]


def loop_page(report: Report) -> str:
    days, control = report["days"], report["control"]
    figures = [
        figure("Regret to the oracle: value that was missed", plots.regret(days, control)),
        figure("Revenue", plots.revenue(days, control)),
        figure("Click rate", plots.click_rate(days)),
        figure("Clicks over predicted clicks", plots.calibration(days)),
        figure("Ranking: AUC of what was shown", plots.ranking(days)),
        figure("Predicted and clicked on the last day", plots.curve(report["curve"])),
        figure("Who decided, hour by hour", plots.deciders(report["hours"]), BROAD),
    ]
    tables = "".join(
        [
            _days(days),
            _releases(report["releases"]),
            _gates(report["steps"]),
            _drift(report["steps"]),
        ]
    )
    return html.page(_moment(report), _tiles(report), figures, tables, title="Learning loop")


def _moment(report: Report) -> str:
    settings = report["settings"]
    return (
        f"{settings['days']} simulated days · {settings['ads']:,} ads · "
        f"{settings['visits']:,} visits a day · {settings['ranker']} · seed {settings['seed']}"
    )


def _tiles(report: Report) -> list[html.Tile]:
    first, last, summary = report["days"][0], report["days"][-1], report["summary"]
    held = "the untrained start on the same day" if report["control"] else "the first day"
    return [
        ("Regret", f"{last['regret']:.1%}", f"first day {first['regret']:.1%}"),
        ("Cut", f"{summary['regret_cut']:.0%}", f"against {held}"),
        ("Revenue", f"${last['revenue_usd']:,.0f}", f"{summary['revenue_times']:.2f} × {held}"),
        ("Click rate", f"{last['ctr']:.2%}", f"first day {first['ctr']:.2%}"),
        ("Clicks / predicted", f"{last['calibration']:.3f}", f"ECE {last['ece']:.4f}"),
        ("AUC", f"{last['auc']:.3f}", f"the truth's {last['auc_of_truth']:.3f}"),
    ]


def _days(days: Sequence[Report]) -> str:
    head = (
        "day", "regret", "95 %", "revenue", "fill", "clicks", "CTR", "true CTR", "COPC", "ECE",
        "by chance", "AUC", "truth's",
    )  # fmt: skip
    rows = [
        [
            f"{one['day'] + 1}",
            f"{one['regret']:.1%}",
            f"{one['regret_low']:.1%} … {one['regret_high']:.1%}",
            f"${one['revenue_usd']:,.2f}",
            f"{one['fill']:.1%}",
            f"{one['clicks']:,}",
            f"{one['ctr']:.2%}",
            f"{one['true_ctr']:.2%}",
            f"{one['calibration']:.3f}",
            f"{one['ece']:.4f}",
            f"{one['ece_by_chance']:.4f}",
            f"{one['auc']:.3f}",
            f"{one['auc_of_truth']:.3f}",
        ]
        for one in days
    ]
    return html.table("Days", head, rows, [])


def _releases(moves: Sequence[Report]) -> str:
    head = ("when", "version", "to", "from", "why")
    rows = [
        [
            f"day {move['day'] + 1}, {int(move['hour']):02}:{round(move['hour'] % 1 * 60):02}",
            f"{move['version']}",
            move["to"],
            move.get("before") or "",
            move.get("reason", ""),
        ]
        for move in moves
    ]
    return html.table("Releases", head, rows, []) if rows else ""


def _gates(steps: Sequence[Report]) -> str:
    """What the gate said of each day's model."""
    rows = []
    for step in steps:
        if step["step"] != "export":
            continue
        facts = step["facts"]
        checks = {check["name"]: check for check in facts.get("gate", {}).get("checks", [])}
        verdict = facts.get("refused") or "kept every limit"
        shown = [_value(checks.get(name)) for name in GATES]
        rows.append([f"{step['day'] + 1}", *shown, verdict])
    return html.table("Gate", ("day", *GATES, "verdict"), rows, []) if rows else ""


def _drift(steps: Sequence[Report]) -> str:
    """What each look at the model in production found, and what it asked for."""
    rows = [_drift_row(step["day"], step["facts"]) for step in steps if step["step"] == "watch"]
    head = ("day", "version", "furthest features (PSI)", "alarms", "due")
    return html.table("Drift", head, rows, []) if rows else ""


def _drift_row(day: int, facts: Report) -> list[str]:
    found = facts.get("figures")
    known = [one for one in found["features"] if one["psi"] is not None] if found else []
    furthest = sorted(known, key=lambda one: -one["psi"])[:FURTHEST]
    named = ", ".join(f"{one['name']} {one['psi']:.3f}" for one in furthest)
    alarms = ", ".join(facts["alarms"]) or "none"
    return [f"{day + 1}", f"{facts['model']}", named or facts["note"], alarms, facts["due"]]


FURTHEST = 3
GATES = (
    "AUC change",
    "logloss rise",
    "COPC change",
    "ECE beyond chance",
    "winner flips",
    "revenue change",
)


def _value(check: Report | None) -> str:
    return "" if check is None or check["value"] is None else f"{check['value']:.5f}"
