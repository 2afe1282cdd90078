"""`adserver train`: from simulated or logged clicks to an unquantised model for `cli_export`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from adserver import progress
from adserver.cli_labels import ClickWindow, Formed, built
from adserver.cli_refusals import refusals
from adserver.errors import ConfigError
from feedback.labels.render import statistics_table
from feedback.labels.settings import Form, LabelSettings

if TYPE_CHECKING:
    from ranking.dataset import Impressions
    from ranking.training import Ranks
    from ranking.training.progress import Progress

console = Console(stderr=True)


class Kind(StrEnum):
    MODEL = "model"
    LOGISTIC = "logistic"
    UNTRAINED = "untrained"


Ads = Annotated[int, typer.Option(help="Size of the simulated catalogue.")]
Visits = Annotated[
    int,
    typer.Option(help="Page views, 1.7 impressions each; the default is an hour's work and 10 GB."),
]
FromLog = Annotated[
    bool, typer.Option("--from-log", help="This server's own logs, not a simulated market.")
]
Since = Annotated[str, typer.Option(help="Of the log: ISO date or time, UTC.")]
Until = Annotated[str, typer.Option(help="Not included; now if not given.")]
Labels = Annotated[
    Path | None, typer.Option(help="What `adserver labels build` wrote, in place of the logs.")
]
Start = Annotated[
    Path | None, typer.Option(help="Folder of a former run whose weights are continued.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the training that was cut off in --folder.")
]
Pull = Annotated[float, typer.Option(help="How strongly back to the former weights.")]
OfKind = Annotated[Kind, typer.Option(help="The click model, or a baseline.")]
Seed = Annotated[int, typer.Option(help="Same seed, same model.")]
Epochs = Annotated[int, typer.Option(help="Passes over the data; 0: by their size.")]
Folder = Annotated[Path, typer.Option(help="Folder of the trained, unquantised model.")]
Data = Annotated[
    list[Path] | None,
    typer.Option(help="A public log, or what `data import` made of it; may be repeated."),
]
Format = Annotated[str, typer.Option(help="Of --data, as for `data import`.")]


def train(
    ads: Ads = 100_000,
    visits: Visits = 60_000_000,
    from_log: FromLog = False,
    since: Since = "",
    until: Until = "",
    form: Formed = Form.SETTLED,
    click_window: ClickWindow = 600,
    labels: Labels = None,
    start: Start = None,
    resume: Resume = False,
    pull: Pull = 0.0,
    kind: OfKind = Kind.MODEL,
    seed: Seed = 7,
    epochs: Epochs = 0,
    folder: Folder = Path("var/model"),
    data: Data = None,
    format: Format = "auto",
) -> None:
    """Train the click model on what was clicked, of a simulated market or of this server's logs.

    Several processes share the work: torchrun --nproc-per-node 2 -m adserver train …
    With --data: on other people's logs, by time, against logistic regression and LightGBM.
    """
    if data:
        from adserver.cli_tabular import train_on  # noqa: PLC0415 — torch is in an extra

        train_on(data, format, folder, seed)
        return
    if from_log and not since:
        raise typer.BadParameter("--from-log needs --since")
    chosen = LabelSettings(form=form, click_window_s=click_window)
    source = _Source(from_log, since, until, chosen, labels, ads, visits, seed)
    how = _How(kind, epochs, pull, start, resume)
    with refusals():
        _trained(source, how, folder)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where impressions come from."""

    from_log: bool
    since: str
    until: str
    chosen: LabelSettings
    labels: Path | None
    ads: int
    visits: int
    seed: int

    def impressions(self, heard: Progress) -> Impressions:
        from ranking.dataset import Impressions  # noqa: PLC0415

        if self.labels is not None:
            return Impressions.load(self.labels)
        if self.from_log:
            found, statistics = built(self.since, self.until, self.chosen)
            console.print(statistics_table(statistics, "labels"))
            return found.impressions
        from adserver.training import simulated  # noqa: PLC0415 — only this needs the market

        return simulated(self.ads, self.visits, self.seed, heard)


@dataclass(frozen=True, slots=True)
class _How:
    """What is trained on them."""

    kind: Kind
    epochs: int
    pull: float
    start: Path | None
    resume: bool


def _trained(source: _Source, how: _How, folder: Path) -> None:
    """A run in `folder`, and its card; ConfigError where it cannot be."""
    from ranking import training  # noqa: PLC0415 — torch is in an extra

    ranks = training.Ranks.joined(os.environ)
    with _heard(ranks) as heard:
        table = _shared(lambda: source.impressions(heard), folder, ranks)
        usual = training.TrainSettings.for_table(table)
        stream = source.chosen.form is Form.STREAM
        settings = replace(usual, epochs=how.epochs or usual.epochs, pull=how.pull, stream=stream)
        of = (table, folder, settings, source.seed)
        try:
            if how.kind is Kind.MODEL:
                training.train(*of, heard, how.start, how.resume, ranks)
            elif how.kind is Kind.LOGISTIC:
                training.logistic_only(*of, heard, how.start)
            else:
                training.untrained(folder, source.seed, table)
        except training.NotTrainable as error:
            raise ConfigError([str(error)]) from None
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
