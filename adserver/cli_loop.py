"""`adserver loop`: days of a simulated market that a server learns from, unattended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adserver import progress
from adserver.cli_refusals import refusals
from adserver.loop.settings import LoopSettings, Ranker

console = Console(stderr=True)
USUAL = LoopSettings()


def loop(
    days: Annotated[int, typer.Option(help="Simulated days that end in a training.")] = USUAL.days,
    folder: Annotated[
        Path, typer.Option(help="Where the run lives; one that was killed goes on.")
    ] = (Path("var/loop")),
    seed: Annotated[int, typer.Option(help="Same seed and settings, same report.")] = 1,
    ads: Annotated[int, typer.Option(help="Ads in flight.")] = USUAL.ads,
    visits: Annotated[int, typer.Option(help="Page views a day.")] = USUAL.visits,
    click_log_odds: Annotated[
        float, typer.Option(help="Of clicks, above the simulator's usual market.")
    ] = USUAL.click_log_odds,
    trial: Annotated[
        bool, typer.Option(help="Shadow and canaries before production, or production at once.")
    ] = True,
    ranker: Annotated[
        Ranker, typer.Option(help="logistic: a logistic regression instead, to compare with.")
    ] = Ranker.NETWORK,
) -> None:
    """Simulate, collect, join, train, export, judge and release, day after day; write a report.

    After kill -9 the same command goes on from the last step that was done.
    """
    from adserver.loop.run import run_loop  # noqa: PLC0415 — torch is in an extra

    settings = LoopSettings(
        days=days,
        seed=seed,
        ranker=ranker,
        ads=ads,
        visits=visits,
        click_log_odds=click_log_odds,
        trial=trial,
    )
    with refusals(), progress.shares(console, "loop") as heard:
        run_loop(folder, settings, heard)
    typer.echo(str(folder / "report.json"))
