"""The statistics of labels for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from feedback.html import COMPACT
from feedback.labels.statistics import DELAYS_S, Statistics


def statistics_table(statistics: Statistics, title: str) -> Table:
    """Every row that came in, by what became of it; then the clicks by delay, and the events."""
    table = Table(title=title, **COMPACT)
    table.add_column("")
    table.add_column("rows", justify="right")
    table.add_column("share", justify="right")
    for name, count, share in _lines(statistics):
        table.add_row(name, f"{count:,}", share)
    return table


def _lines(found: Statistics) -> Iterator[tuple[str, int, str]]:
    def of(count: int, whole: int) -> str:
        return f"{count / whole:.3%}" if whole else ""

    yield "logged", found.rows, ""
    for reason, count in found.excluded.most_common():
        yield f"  left out: {reason}", count, of(count, found.rows)
    yield "kept", found.kept, of(found.kept, found.rows)
    yield "  clicked in time", found.positives, of(found.positives, found.kept)
    yield "  clicked too late", found.late, of(found.late, found.kept)
    yield "  converted", found.conversions, of(found.conversions, found.positives)
    for delay_s, later in zip(DELAYS_S, found.later.tolist(), strict=True):
        if later:
            yield f"clicks later than {delay_s} s", later, of(later, found.positives + found.late)
    for name, count in sorted(found.events.items()):
        yield f"event: {name}", count, ""
