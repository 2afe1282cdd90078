"""A run's figures as a table for people."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from loadtest.tally import QUANTILES, Summary


def table(summary: Summary, title: str) -> Group:
    """Latencies by route and by decision quality, and one line of everything else."""
    run = summary.run
    found = Table(title=f"{title}; latency in ms from the intended send time")
    found.add_column("", no_wrap=True)
    for name in ("count", *QUANTILES, "max"):
        found.add_column(name, justify="right")
    for line in summary.lines:
        figures = (_short(line.ms[name]) for name in (*QUANTILES, "max"))
        found.add_row(line.name, f"{line.count:,}", *figures)
    told = {
        "offered": f"{run.offered / run.seconds:,.1f}/s",
        "achieved": f"{summary.rate:,.1f}/s",
        "status": _counts(summary.status),
        "quality": _counts(summary.quality),
        "no-fill": f"{summary.no_fill:.2%} of slots",
        "failures": _counts(summary.failures) or "none",
        "server": f"p99 {summary.server_p99_ms:.2f} ms by its own clock",
        "generator": f"{summary.as_json()['generator_us_per_request']} µs CPU per request, "
        f"p99 {run.late_ms:.2f} ms late",
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in told.items():
        grid.add_row(f"[bold]{name}[/bold]", value)
    return Group(found, grid)


def _short(ms: float) -> str:
    """Four digits at most, so that the table fits a narrow terminal."""
    return f"{ms:.2f}" if ms < 100 else f"{ms:.0f}"


def _counts(count: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in count.items())
