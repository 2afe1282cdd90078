"""`adserver reserves`: personal reserves, learnt from the auctions that the server has recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from adserver import reserve_prices
from adserver.auctions.sample import read_sample
from adserver.cli_refusals import settings_given
from adserver.deadline import wall
from auction.reserves import ReserveSettings

app = typer.Typer(no_args_is_help=True)


@app.command()
def fit(
    damping: Annotated[float, typer.Option(help="Part of the theoretical reserve.")] = 0.6,
    hours: Annotated[float, typer.Option(help="Auctions of the last hours.")] = 168,
    fewest: Annotated[int, typer.Option(help="Bids below which nothing is asked.")] = 200,
) -> None:
    """Learn from the recorded sample; PERSONAL_RESERVES=on asks for them from the next start on."""
    with settings_given() as chosen:
        asked = ReserveSettings(damping, fewest)
        for problem in asked.problems():
            raise typer.BadParameter(problem)
        since_ms = int((wall() - hours * 3600) * 1000)
        learnt = reserve_prices.learn(read_sample(chosen.auctions, since_ms), asked)
        reserve_prices.save(chosen.adserver_data, learnt)
    typer.echo(f"{int((learnt.micros > 0).sum())} of {len(learnt.key)} advertisers have a reserve")


@app.command()
def show() -> None:
    """What is asked of each advertiser, in micros per thousand impressions."""
    with settings_given() as chosen:
        learnt = reserve_prices.load(chosen.adserver_data)
    for key, micros in zip(learnt.key.tolist(), learnt.micros.tolist(), strict=True):
        typer.echo(f"{key}: {micros}")
