"""`adserver models`: which click models there are, what each does, and how to change that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adserver.cli_export import gate_table
from adserver.cli_refusals import refuse, settings_given
from adserver.cli_tables import tables
from adserver.deadline import wall
from adserver.money import open_store
from adserver.releases import about, standing
from adserver.releases.collecting import statistics
from adserver.releases.judge import EVERY_MS, rulings
from adserver.releases.judging import Ruling
from adserver.releases.registry import Registry, RegistryError
from adserver.releases.states import State
from adserver.releases.statistics import Stats
from adserver.settings import Settings
from adserver.state.store import StateStore
from feedback.html import COMPACT

app = typer.Typer(no_args_is_help=True)
console = Console()


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


As = Annotated[Format, typer.Option("--format", help="How to show it.")]
Version = Annotated[int, typer.Argument(help="Number of a version.")]
SHORT = ("version", "state", "since", "at", "from", "to", "fact", "what")
LONG = ("parent", "logloss", "ece")
"""What a list has no room for on a terminal of 80 columns: `show` tells it."""
ELSEWHERE = ("files", "gate", "challenge")
"""Facts that have tables of their own, or are for machines."""
EVERY_S = EVERY_MS / 1000
Why = Annotated[str, typer.Option(help="For the history.")]


@contextmanager
def _registry() -> Iterator[Registry]:
    """A refusal ends in exit 1 and its reason."""
    try:
        with settings_given() as settings:
            yield Registry(settings.model_repository, settings.models_kept)
    except RegistryError as error:
        refuse([str(error)], "refused", 1)


@app.command("list")
def list_all(form: As = Format.TABLE) -> None:
    """Every version: state, since when, AUC, calibration, and what it lately did in service."""
    with _registry() as registry:
        lately = _lately(registry)
        rows = about.versions(registry)
    rows = [row | standing.served(lately.get(row["version"], Stats())) for row in rows]
    if form is Format.TABLE:
        rows = [{name: one for name, one in row.items() if name not in LONG} for row in rows]
    _show(rows, form, "versions")


@app.command()
def show(version: Version, form: As = Format.TABLE) -> None:
    """One version's manifest, and its history."""
    with _registry() as registry:
        facts, history = about.version(registry, version), about.history(registry, version)
        lately = standing.served(_lately(registry).get(version, Stats()))
    facts |= {f"served.{name}": value for name, value in lately.items()}
    if form is Format.JSON:
        typer.echo(json.dumps({"facts": facts, "history": history}, indent=1))
        return
    told = {name: one for name, one in facts.items() if name.partition(".")[0] not in ELSEWHERE}
    _show([{"fact": name, "value": one} for name, one in told.items()], form, f"version {version}")
    for report in about.reports(registry, version):
        tables().print(gate_table(report))
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
def watch(
    form: As = Format.TABLE,
    once: Annotated[bool, typer.Option(help="Show it once and end.")] = False,
) -> None:
    """What is judged now: the version on trial beside production, and the limits."""
    with _registry() as registry, settings_given() as settings, _store(settings) as store:
        while True:
            now_ms, limits = int(wall() * 1000), settings.trial_limits
            found = rulings(registry.read(), registry, store, limits, now_ms)
            if not once:
                console.clear()
            _show_rulings(found, form, now_ms)
            if once:
                return
            Event().wait(EVERY_S)


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


def _show_rulings(found: Sequence[Ruling], form: Format, now_ms: int) -> None:
    if form is Format.JSON:
        typer.echo(json.dumps([_told(one, now_ms) for one in found]))
        return
    for one in found:
        title = f"version {one.watch.version}, {one.watch.state}: {one.verdict.reason}"
        _show(standing.rows(one.case, one.limits) if one.case else [], form, title)
    if not found:
        console.print("nothing is on trial")


def _told(one: Ruling, now_ms: int) -> dict[str, Any]:
    return {
        "version": one.watch.version,
        "state": str(one.watch.state),
        "age_s": one.watch.age_s(now_ms),
        "call": str(one.verdict.call),
        "reason": one.verdict.reason,
        "figures": standing.rows(one.case, one.limits) if one.case else [],
    }


def _lately(registry: Registry) -> dict[int, Stats]:
    """What every version did in the phases that are still counted; nothing where no server ran."""
    with settings_given() as settings:
        if not (settings.adserver_data / "state").is_dir():
            return {}
        with _store(settings) as store:
            return statistics(store, 0, registry.read().phase)


@contextmanager
def _store(settings: Settings) -> Iterator[StateStore]:
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def _show(rows: list[dict[str, Any]], form: Format, title: str) -> None:
    if form is Format.JSON:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(title=title, **COMPACT)
    for name in rows[0] if rows else ():
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name in SHORT)
    for row in rows:
        name, *_ = map(str, row.values())
        table.add_row(*(_text(_dated(name, value)) for value in row.values()))
    tables().print(table if rows else title)


def _dated(name: str, value: Any) -> Any:
    """Wall ms as a moment, where the row's name says that they are."""
    return about.moment(value) if name.endswith("_ms") and isinstance(value, int) else value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
