"""`adserver simulate`: logged or simulated traffic through the real auction, with changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feedback.replay import ipinyou as logs
from feedback.replay.campaign import Pacing
from feedback.replay.sheet import Sheet, as_csv, as_html, as_table

app = typer.Typer(no_args_is_help=True)
WIDEST = 120
"""Columns of a table that is not written to a terminal."""

Csv = Annotated[Path | None, typer.Option("--csv", help="Write all figures to this file.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")]


@app.command()
def ipinyou(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Plain, gzip or bzip2.")
    ],
    budget_share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="Of what it would spend without a budget.")
    ] = 0.5,
    pacing: Annotated[
        list[Pacing] | None, typer.Option(help="Which to compare; all if not given.")
    ] = None,
    mean_value: Annotated[
        float, typer.Option(min=0.001, help="Mean value of a thousand impressions, in log units.")
    ] = 80.0,
    click_value: Annotated[
        float, typer.Option(min=0.0, help="Value of a click in log units; 0: from the mean.")
    ] = 0.0,
    unit_micros: Annotated[
        int, typer.Option(min=1_000, help="Micros in one unit of the log's prices.")
    ] = 10_000,
    first_price: Annotated[bool, typer.Option(help="The winner pays its bid.")] = False,
    csv: Csv = None,
    html: Html = None,
) -> None:
    """Replay bid logs of the iPinYou format (click, market price, pCTR) for one campaign."""
    setup = logs.Setup(
        budget_share=budget_share,
        mean_value=mean_value,
        click_value=click_value,
        unit_micros=unit_micros // 1_000 * 1_000,
        first_price=first_price,
        pacings=tuple(pacing or Pacing),
    )
    found = logs.replay(files, setup)
    if not found.survey.offers:
        _refuse(["no line could be understood", *found.mistakes.named])
    _give([logs.sheet(found)], csv, html)


def _refuse(mistakes: Sequence[str]) -> None:
    for mistake in mistakes:
        Console(stderr=True).print(f"[red]error:[/red] {mistake}", highlight=False)
    raise typer.Exit(2)


def _give(sheets: Sequence[Sheet], csv: Path | None, html: Path | None) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDEST)
    for one in sheets:
        console.print(as_table(one))
    if csv is not None:
        csv.write_text(as_csv(sheets))
    if html is not None:
        html.write_text(as_html("Simulation", sheets))
