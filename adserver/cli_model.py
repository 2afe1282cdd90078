"""`adserver train`: from simulated or logged clicks to an unquantised model for `cli_export`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from adserver import progress
from adserver.cli_labels import built
from feedback.labels.render import statistics_table
from feedback.labels.settings import Form, LabelSettings

if TYPE_CHECKING:
    from ranking.dataset import Impressions
    from ranking.training import Ranks
    from ranking.training.progress import Progress

console = Console(stderr=True)
Folder = Annotated[Path, typer.Option(help="Folder of the trained, unquantised model.")]


class Kind(StrEnum):
    MODEL = "model"
    LOGISTIC = "logistic"
    UNTRAINED = "untrained"


def train(
    ads: Annotated[int, typer.Option(help="Size of the simulated catalogue.")] = 100_000,
    visits: Annotated[
        int, typer.Option(help="Page views; about 1.7 impressions each.")
    ] = 20_000_000,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="This server's own logs, not a simulated market.")
    ] = False,
    since: Annotated[str, typer.Option(help="Of the log: ISO date or time, UTC.")] = "",
    until: Annotated[str, typer.Option(help="Not included; now if not given.")] = "",
    form: Annotated[Form, typer.Option(help="What is done about clicks still to come.")] = (
        Form.SETTLED
    ),
    click_window: Annotated[int, typer.Option(help="Seconds in which a click counts.")] = 600,
    labels: Annotated[
        Path | None, typer.Option(help="What `adserver labels build` wrote, in place of the logs.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Folder of a former run whose weights are continued.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was cut off in --folder.")
    ] = False,
    pull: Annotated[float, typer.Option(help="How strongly back to the former weights.")] = 0.0,
    kind: Annotated[Kind, typer.Option(help="The click model, or a baseline.")] = Kind.MODEL,
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 7,
    epochs: Annotated[int, typer.Option(help="Passes over the data; 0: by their size.")] = 0,
    folder: Folder = Path("var/model"),
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A public log, or what `data import` made of it; may be repeated."),
    ] = None,
    format: Annotated[str, typer.Option(help="Of --data, as for `data import`.")] = "auto",
) -> None:
    """Train the click model on what was clicked, of a simulated market or of this server's logs.

    Several processes share the work: torchrun --nproc-per-node 2 -m adserver train …
    With --data: on other people's logs, by time, against logistic regression and LightGBM.
    """
    if data:
        from adserver.cli_tabular import train_on  # noqa: PLC0415 — torch is in an extra

        train_on(data, format, folder, seed)
        return
    from ranking import training  # noqa: PLC0415 — torch is in an extra

    chosen = LabelSettings(form=form, click_window_s=click_window)
    ranks = training.Ranks.joined(os.environ)
    with _heard(ranks) as heard:
        if labels is not None or from_log:
            table = _shared(lambda: _logged(labels, since, until, chosen), folder, ranks)
        else:
            table = _shared(lambda: _simulated(ads, visits, seed, heard), folder, ranks)
        usual = training.TrainSettings.for_table(table)
        settings = replace(
            usual, epochs=epochs or usual.epochs, pull=pull, stream=form is Form.STREAM
        )
        try:
            if kind is Kind.MODEL:
                training.train(table, folder, settings, seed, heard, start, resume, ranks)
            elif kind is Kind.LOGISTIC:
                training.logistic_only(table, folder, settings, seed, heard, start)
            else:
                training.untrained(folder, seed, table)
        except training.NotTrainable as error:
            console.print(f"[red]error:[/red] {error}")
            raise typer.Exit(2) from None
    if ranks.first:
        from feedback.model_card import write_card  # noqa: PLC0415 — draws

        console.print(f"model card: {write_card(folder, table)}")
        typer.echo((folder / "checkpoint.json").read_text())


@contextmanager
def _heard(ranks: Ranks) -> Iterator[Progress]:
    """Bars of one process; the others are silent."""
    if not ranks.first:
        yield lambda stage, share: None
        return
    with progress.shares(console, "train the click model") as heard:
        yield heard


def _shared(made: Callable[[], Impressions], folder: Path, ranks: Ranks) -> Impressions:
    """Made by one process and read by the others: logs are compacted, a market is played, once."""
    from ranking.dataset import Impressions  # noqa: PLC0415

    if ranks.count == 1:
        return made()
    file = folder / "impressions.npz"
    if ranks.first:
        folder.mkdir(parents=True, exist_ok=True)
        made().save(file)
    ranks.wait()
    return Impressions.load(file)


def _simulated(ads: int, visits: int, seed: int, heard: Progress) -> Impressions:
    from adserver.training import simulated  # noqa: PLC0415 — only this command needs the market

    return simulated(ads, visits, seed, heard)


def _logged(labels: Path | None, since: str, until: str, chosen: LabelSettings) -> Impressions:
    from ranking.dataset import Impressions  # noqa: PLC0415

    if labels is not None:
        return Impressions.load(labels)
    if not since:
        raise typer.BadParameter("--from-log needs --since")
    found, statistics = built(since, until, chosen)
    console.print(statistics_table(statistics, "labels"))
    return found.impressions
