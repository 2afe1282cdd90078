"""`adserver catalog`: make, build, look at and change the catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import Engine

from adserver import progress
from adserver.catalogue import operations, schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.deadline import wall
from adserver.errors import ConfigError
from adserver.settings import Settings, from_environment

app = typer.Typer(no_args_is_help=True)
console = Console(stderr=True)
Level = Annotated[str, typer.Argument(help="advertiser, campaign, line_item or ad")]
RowId = Annotated[int, typer.Argument(help="its id")]


@contextmanager
def _settings() -> Iterator[Settings]:
    """Mistakes of the configuration and of the arguments end in exit 2, not in a traceback."""
    try:
        yield from_environment(os.environ)
    except ConfigError as error:
        for mistake in error.mistakes:
            console.print(f"[red]error:[/red] {mistake}")
        raise typer.Exit(2) from None


@contextmanager
def _database() -> Iterator[Engine]:
    with _settings() as settings:
        settings.adserver_data.mkdir(parents=True, exist_ok=True)
        engine = schema.connect(settings.database)
        schema.create_tables(engine)
        yield engine
        engine.dispose()


@app.command()
def sample(
    ads: Annotated[int, typer.Option(help="How many ads.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The committed model has learnt seed 1.")] = 1,
) -> None:
    """Fill an empty catalogue with a simulated marketplace's ads."""
    with _settings() as settings, progress.shown(console, f"{ads:,} ads") as heard:
        settings.adserver_data.mkdir(parents=True, exist_ok=True)
        create_sample(settings.database, ads, wall(), seed, heard)


@app.command()
def build() -> None:
    """Publish the catalogue as a new snapshot; running servers take it up within seconds."""
    with _settings() as settings, progress.shown(console, "snapshot") as heard:
        root, bundle = settings.snapshots, settings.bundle
        version = build_snapshot(settings.database, root, bundle, wall(), heard)
    typer.echo(f"snapshot {version}")


@app.command()
def show(
    level: Annotated[str, typer.Argument()] = "", row_id: Annotated[int, typer.Argument()] = 0
) -> None:
    """What the catalogue holds, or one row of it: `show ad 17`."""
    with _database() as engine:
        found = operations.show(engine, level, row_id) if level else operations.summary(engine)
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


@app.command()
def pause(level: Level, row_id: RowId) -> None:
    """Stop it, and all below it, within a second."""
    with _database() as engine:
        operations.pause(engine, level, row_id)


@app.command()
def resume(level: Level, row_id: RowId) -> None:
    """Undo `pause`."""
    with _database() as engine:
        operations.resume(engine, level, row_id)


@app.command()
def bid(
    line_item_id: RowId,
    micros: Annotated[int, typer.Argument(help="per thousand impressions, or per click")],
) -> None:
    """Change a line item's bid within a second."""
    with _database() as engine:
        operations.set_bid(engine, line_item_id, micros)


@app.command()
def budget(
    campaign_id: RowId, micros: Annotated[int, typer.Argument(help="per day; 0 stops it")]
) -> None:
    """Change a campaign's daily budget within a second."""
    with _database() as engine:
        operations.set_budget(engine, campaign_id, micros)
