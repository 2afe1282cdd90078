"""Figures of drift for a terminal and for the report page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from feedback import html
from feedback.drift.report import FeatureFigures, Figures
from feedback.drift.retrain import Response
from feedback.html import COMPACT

MOST = 12
"""Features that are shown; those that differ are shown always."""


def drift_table(found: Figures, most: int = MOST, calibrated: bool = True) -> Table:
    """The features that are furthest from chance first; then vectors, and calibration if it is
    judged in these windows."""
    table = Table(
        title=f"{_span(found)} · {found.requests:,} requests",
        **COMPACT,
    )
    table.add_column("")
    for name in ("PSI", "critical", "KS", "critical"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    ranked = sorted(found.features, key=_urgency, reverse=True)
    for one in [f for at, f in enumerate(ranked) if at < most or f.differs]:
        name = one.name + (" *" if one.top else "")
        table.add_row(name, *map(_number, _values(one)), _verdict(one))
    hidden = sum(not one.differs for one in ranked[most:])
    if hidden:
        table.add_row(f"[dim]{hidden} as usual[/dim]")
    table.add_section()
    for row in _rest(found, calibrated):
        table.add_row(*row)
    table.caption = "* tells most of clicks: only these ask for another model"
    return table


def drift_html(found: Figures, alarms: Sequence[str], due: Response | None) -> str:
    """The same for a browser: tiles, then every feature."""
    calibration, vectors = found.calibration, found.vectors
    sums = f"{calibration.above:.1f} above, {calibration.below:.1f} below"
    most = f"alarm at {calibration.threshold:g}"
    described = [
        ("Drift", ", ".join(alarms) or "none", f"{found.windows:,} windows"),
        (
            "Clicks / predicted",
            _number(calibration.copc),
            f"sums {sums}; {most}",
        ),
        ("Request vectors", _number(vectors.distance), f"critical {_number(vectors.critical)}"),
        ("To do", str(due.action) if due else "nothing", due.reason if due else ""),
    ]
    rows = [
        [one.name, *map(_number, _values(one)), _plain(_verdict(one))]
        for one in sorted(found.features, key=_urgency, reverse=True)
    ]
    head = ["feature", "PSI", "critical", "KS", "critical", "verdict"]
    table = html.table(f"Drift, {_span(found)}", head, rows, [])
    return html.tiles(described, "tiles small") + table


def _values(one: FeatureFigures) -> tuple[float | None, ...]:
    return one.psi, one.psi_critical, one.ks, one.ks_critical


def _plain(markup: str) -> str:
    return Text.from_markup(markup).plain


def _rest(found: Figures, calibrated: bool) -> Iterator[tuple[str, ...]]:
    vectors, calibration = found.vectors, found.calibration
    away = _number(vectors.distance), _number(vectors.critical)
    yield "request vectors", *away, "", "", _standing(vectors.alarm)
    if not calibrated:
        return
    copc = "none" if calibration.copc is None else f"{calibration.copc:.4f}"
    yield "clicks / predicted", copc, "", "", "", ""
    for name, value in (("above", calibration.above), ("below", calibration.below)):
        verdict = _standing(value > calibration.threshold)
        yield f"  sum {name}", f"{value:.2f}", f"{calibration.threshold:g}", "", "", verdict


def _urgency(one: FeatureFigures) -> tuple[bool, float]:
    pairs = ((one.psi, one.psi_critical), (one.ks, one.ks_critical))
    ratios = [value / most for value, most in pairs if value is not None and most]
    return one.differs, max(ratios, default=-1.0)


def _verdict(one: FeatureFigures) -> str:
    if one.psi is None:
        return "[dim]not compared[/dim]"
    if one.alarm:
        return f"[red]drifted[/red], {one.in_a_row} in a row"
    return f"[yellow]differs[/yellow], {one.in_a_row} in a row" if one.differs else "as usual"


def _standing(alarm: bool) -> str:
    return "[red]alarm[/red]" if alarm else "as usual"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _span(found: Figures) -> str:
    until = _moment(found.until_ms)
    since = _moment(found.since_ms)
    return f"{since} to {until[-5:] if until[:10] == since[:10] else until} UTC"


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
