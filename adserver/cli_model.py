"""`adserver train`: from simulated clicks to an unquantised model, which `cli_export` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adserver import progress

console = Console(stderr=True)
Folder = Annotated[Path, typer.Option(help="Folder of the trained, unquantised model.")]


def train(
    ads: Annotated[int, typer.Option(help="Size of the simulated catalogue.")] = 100_000,
    visits: Annotated[
        int, typer.Option(help="Page views; about 1.7 impressions each.")
    ] = 6_000_000,
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 7,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 3,
    folder: Folder = Path("var/model"),
) -> None:
    """Train the click model on a simulated marketplace whose true click rates are known."""
    from adserver.training import simulated  # noqa: PLC0415 — torch is in an extra
    from ranking import train as training  # noqa: PLC0415

    with progress.shares(console, "train the click model") as heard:
        table = simulated(ads, visits, seed, heard)
        training.train(table, folder, training.TrainSettings(epochs=epochs), seed, heard)
    typer.echo((folder / "checkpoint.json").read_text())
