"""`adserver report`: what happened, for a terminal, a spreadsheet or a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.console import Console

from adserver.catalogue.snapshot import Snapshot, SnapshotError
from adserver.deadline import wall
from adserver.errors import ConfigError
from adserver.settings import from_environment
from feedback import render, warehouse
from feedback.compaction import compact
from feedback.fairness import fairness as fairness_of
from feedback.reports import DIMENSIONS, Span
from feedback.reports import ctr as ctr_of

app = typer.Typer(no_args_is_help=True)
console = Console()


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    HTML = "html"


By = Annotated[str, typer.Option(help=f"One of {', '.join(DIMENSIONS)}.")]
As = Annotated[Format, typer.Option("--format", help="How to show it.")]
Hours = Annotated[float, typer.Option(help="Decisions of the last hours; 0: all.")]
Out = Annotated[Path | None, typer.Option(help="Write to this file.")]
Names = dict[str, Mapping[int, str]]


@app.command()
def ctr(by: By = "advertiser", form: As = Format.TABLE, hours: Hours = 0, out: Out = None) -> None:
    """Decisions, fills, impressions, clicks, CTR, spend and eCPM by one dimension."""
    if by not in DIMENSIONS:
        raise typer.BadParameter(f"{by!r} is none of {', '.join(DIMENSIONS)}", param_hint="--by")
    with _opened() as (connection, names):
        report = ctr_of(connection, by, _span(hours), names)
        if form is Format.HTML:
            exposure = fairness_of(connection, span=_span(hours), names=names["advertiser"])
            _give(render.page([report], exposure), out)
        elif form is Format.CSV:
            _give(render.ctr_csv(report), out)
        else:
            console.print(render.ctr_table(report))


@app.command()
def fairness(form: As = Format.TABLE, hours: Hours = 0, out: Out = None) -> None:
    """Exposure share by advertiser, its concentration, and what fairness cost."""
    with _opened() as (connection, names):
        report = fairness_of(connection, span=_span(hours), names=names["advertiser"])
        if form is Format.HTML:
            by_advertiser = ctr_of(connection, "advertiser", _span(hours), names)
            _give(render.page([by_advertiser], report), out)
        elif form is Format.CSV:
            _give(render.fairness_csv(report), out)
        else:
            console.print(render.fairness_table(report))


@app.command()
def page(out: Out = None, hours: Hours = 0) -> None:
    """All reports on one HTML page with plots."""
    with _opened() as (connection, names):
        by = ("advertiser", "campaign", "placement", "hour")
        reports = [ctr_of(connection, one, _span(hours), names) for one in by]
        exposure = fairness_of(connection, span=_span(hours), names=names["advertiser"])
        _give(render.page(reports, exposure), out)


@contextmanager
def _opened() -> Iterator[tuple[duckdb.DuckDBPyConnection, Names]]:
    """The warehouse, up to date, and the names of what the snapshot knows."""
    try:
        settings = from_environment(os.environ)
    except ConfigError as error:
        for mistake in error.mistakes:
            Console(stderr=True).print(f"[red]error:[/red] {mistake}")
        raise typer.Exit(2) from None
    folder = settings.adserver_data / "warehouse"
    compact(settings.adserver_data / "events", folder)
    with warehouse.connect(folder) as connection:
        yield connection, _names(settings.snapshots)


def _names(snapshots: Path) -> Names:
    try:
        known = Snapshot.load(snapshots, verify=False).names
    except SnapshotError:
        return {"advertiser": {}, "campaign": {}}
    advertiser = {number: owner.name for number, owner in known.advertiser.items()}
    return {"advertiser": advertiser, "campaign": known.campaign}


def _span(hours: float) -> Span | None:
    return Span(since_ms=int((wall() - hours * 3600) * 1000)) if hours else None


def _give(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text)
        Console(stderr=True).print(f"written to {out}")
