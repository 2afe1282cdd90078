"""`adserver models`: which click models there are, what each does, and how to change that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adserver.cli_database import settings_given
from adserver.deadline import wall
from adserver.releases import about
from adserver.releases.registry import Registry, RegistryError
from adserver.releases.states import State

app = typer.Typer(no_args_is_help=True)
console = Console()
errors = Console(stderr=True)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


As = Annotated[Format, typer.Option("--format", help="How to show it.")]
Version = Annotated[int, typer.Argument(help="Number of a version.")]
SHORT = ("version", "state", "from", "to")
Why = Annotated[str, typer.Option(help="For the history.")]


@contextmanager
def _registry() -> Iterator[Registry]:
    """A refusal ends in exit 1 and its reason."""
    try:
        with settings_given() as settings:
            yield Registry(settings.model_repository, settings.models_kept)
    except RegistryError as error:
        errors.print(f"[red]refused:[/red] {error}", highlight=False)
        raise typer.Exit(1) from None


@app.command("list")
def list_all(form: As = Format.TABLE) -> None:
    """Every version: state, since when, click rate, AUC, calibration, where it comes from."""
    with _registry() as registry:
        _show(about.versions(registry), form, "versions")


@app.command()
def show(version: Version, form: As = Format.TABLE) -> None:
    """One version's manifest, and its history."""
    with _registry() as registry:
        facts, history = about.version(registry, version), about.history(registry, version)
    if form is Format.JSON:
        typer.echo(json.dumps({"facts": facts, "history": history}, indent=1))
        return
    _show([{"fact": name, "value": value} for name, value in facts.items()], form, f"{version}")
    _show(history, form, "history")


@app.command()
def register(
    folder: Annotated[Path, typer.Argument(help="What `adserver export` wrote.")],
    run: Annotated[str, typer.Option(help="The run that it was trained in.")] = "",
) -> None:
    """Take an exported model in as the next version, a candidate."""
    with _registry() as registry:
        typer.echo(registry.register(folder, int(wall() * 1000), run))


@app.command()
def promote(
    version: Version,
    to: Annotated[State | None, typer.Option(help="A state further up than the next.")] = None,
    why: Why = "asked for",
) -> None:
    """One step up: candidate, shadow, canary1, canary10, production."""
    with _registry() as registry:
        state = registry.promote(version, to, int(wall() * 1000), why, {})
    typer.echo(f"version {version} is {state}")


@app.command()
def rollback(
    version: Annotated[
        int, typer.Argument(help="0: the one on trial, else the one in production.")
    ] = 0,
    why: Why = "asked for",
) -> None:
    """Retire a version at once; production returns to the one before."""
    with _registry() as registry:
        done = registry.roll_back(version or None, int(wall() * 1000), why, {})
    typer.echo(f"version {done} is retired")


@app.command()
def diff(
    one: Version,
    other: Version,
    form: As = Format.TABLE,
    slice_file: Annotated[
        Path | None, typer.Option("--slice", help="Impressions to score with both.")
    ] = None,
) -> None:
    """How far two versions are from each other: metrics, data, weights, calibration, scores."""
    with _registry() as registry:
        _show(about.difference(registry, one, other, slice_file), form, f"{one} and {other}")


def _show(rows: list[dict[str, Any]], form: Format, title: str) -> None:
    if form is Format.JSON:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(title=title)
    for name in rows[0] if rows else ():
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name in SHORT)
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
