"""`adserver drift`: whether what the model meets is still what it learnt, and what to do if not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from adserver.cli_labels import wall_ms
from adserver.cli_refusals import refuse, settings_given
from adserver.cli_tables import tables
from adserver.deadline import wall
from adserver.drift.files import Findings
from adserver.drift.hourly import ALARMED
from adserver.drift.watch import Span, look, looked_at
from adserver.releases.registry import RegistryError
from adserver.settings import Settings
from feedback.compaction import compact
from feedback.drift.render import MOST, drift_table
from feedback.html import as_of

FEW, EVERY = 4, 1_000
"""Features of the newest day, which matter where they differ; and all there are."""
console = Console()
Moment = Annotated[str, typer.Option(help="ISO date or time, UTC; ends are not included.")]


def drift(
    since: Moment = "",
    until: Moment = "",
    reference_since: Moment = "",
    reference_until: Moment = "",
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every feature, not the furthest.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the findings to this file too.")] = None,
) -> None:
    """Compare the hours since the release with the training data; exit 3 while an alarm stands.

    Without a span the findings are kept in the data folder (drift/drift.json, drift/due.json), as
    the running server does from time to time. With --since and --reference-since any span is
    compared with any other, and nothing is kept.
    """
    if bool(since) != bool(reference_since):
        raise typer.BadParameter("--since and --reference-since belong together")
    now_ms = int(wall() * 1000)
    with settings_given() as settings:
        compact(settings.adserver_data / "events", settings.adserver_data / "warehouse")
        try:
            found = _found(settings, (since, until), (reference_since, reference_until), now_ms)
        except RegistryError as error:
            refuse([str(error)])
    text = msgspec.json.format(msgspec.json.encode(found), indent=1).decode()
    if out:
        out.write_text(text + "\n")
    if as_json:
        typer.echo(text)
    else:
        _show(found, every)
    raise typer.Exit(ALARMED if found.alarm else 0)


def _found(
    settings: Settings, span: tuple[str, str], reference: tuple[str, str], now_ms: int
) -> Findings:
    if not span[0]:
        return look(settings, now_ms)
    of, against = (
        Span(wall_ms(begin, "--since"), wall_ms(end, "--until") if end else now_ms)
        for begin, end in (span, reference)
    )
    return looked_at(settings, against, of, now_ms)


def _show(found: Findings, every: bool) -> None:
    """The table, what stands, and what the decision to retrain says."""
    console.print(f"model {found.model}, against {found.reference or 'nothing yet'}")
    if found.figures:
        console.print(f"\n[bold]the newest of {found.figures.windows:,} windows[/bold]")
        tables().print(drift_table(found.figures, EVERY if every else MOST))
    else:
        console.print(f"[yellow]no figures:[/yellow] {escape(found.note)}")
    if found.days:
        console.print(f"\n[bold]the newest of {found.days.windows:,} whole days[/bold]")
        tables().print(drift_table(found.days, EVERY if every else FEW, calibrated=False))
    alarms = ", ".join(found.alarms)
    console.print(f"alarm:  {f'[red]{alarms}[/red]' if alarms else 'none'}")
    due = found.due
    age = f"data {as_of(found.data_ms)}" if found.data_ms else "data without dates"
    decision = f"[yellow]{due.action}[/yellow]: {due.reason}" if due else "nothing is due"
    console.print(f"to do:  {decision} ({age})", highlight=False)
