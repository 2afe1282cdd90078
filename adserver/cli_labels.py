"""`adserver labels`: from what was shown and clicked to a table that training reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adserver.cli_refusals import settings_given
from adserver.deadline import wall
from feedback.compaction import compact
from feedback.labels.assembly import Labels
from feedback.labels.build import labels
from feedback.labels.render import statistics_table
from feedback.labels.settings import Form, LabelSettings, Window
from feedback.labels.statistics import Statistics

app = typer.Typer(no_args_is_help=True)
console = Console()
Formed = Annotated[Form, typer.Option(help="What is done about clicks still to come.")]
ClickWindow = Annotated[int, typer.Option(help="Seconds in which a click counts.")]
Moment = Annotated[str, typer.Option(help="ISO date or time, UTC; until: not included.")]


@app.callback()
def group() -> None:
    """Labelled impressions from the feature log and the event log."""


@app.command()
def build(
    since: Moment,
    until: Moment = "",
    out: Annotated[Path, typer.Option(help="The table, a .npz file.")] = Path("labels.npz"),
    form: Formed = Form.SETTLED,
    click_window: ClickWindow = 600,
) -> None:
    """Write the impressions of a span with their labels; print what was left out, and why."""
    if out.suffix != ".npz" or not out.parent.is_dir():
        raise typer.BadParameter(f"{out} is no .npz file in a folder", param_hint="--out")
    found, statistics = built(since, until, LabelSettings(form=form, click_window_s=click_window))
    found.impressions.save(out)
    console.print(statistics_table(statistics, f"labels in {out}"))


def built(since: str, until: str, chosen: LabelSettings) -> tuple[Labels, Statistics]:
    """From this server's own logs, compacted first; options that cannot be end the command."""
    now_ms = int(wall() * 1000)
    until_ms = wall_ms(until, "--until") if until else now_ms
    window = Window(wall_ms(since, "--since"), until_ms, now_ms)
    for problem in chosen.problems():
        raise typer.BadParameter(problem)
    with settings_given() as settings:
        data = settings.adserver_data
        compact(data / "events", data / "warehouse")
        return labels(data / "warehouse", data / "features", window, chosen)


def wall_ms(text: str, option: str) -> int:
    """Wall milliseconds of an ISO date or time; UTC unless it names another offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no ISO date or time such as 2026-11-01T06:00", param_hint=option
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
