"""`adserver simulate`: logged or simulated traffic through the real auction, with changes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from adserver.auctions.sample import segments
from adserver.cli_refusals import refusals, refuse
from adserver.cli_tables import tables
from adserver.errors import ConfigError
from adserver.settings import from_environment
from adserver.simulated import Marketplace, Setup, simulated_change
from auction.settings import AuctionSettings
from feedback.replay import forecast as forecasts
from feedback.replay import ipinyou as bid_logs
from feedback.replay import logged as logs
from feedback.replay.campaign import Pacing
from feedback.replay.changes import Changes, changes_of
from feedback.replay.compare import sheets as comparison
from feedback.replay.forecast import Proposal
from feedback.replay.sheet import Figure, Sheet, as_csv, as_html, as_table

app = typer.Typer(no_args_is_help=True)

Csv = Annotated[Path | None, typer.Option("--csv", help="Write all figures to this file.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")]
Bids = Annotated[
    list[str] | None,
    typer.Option("--bid", help="LINE_ITEM=x1.2, or =1.50: dollars per thousand or click."),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option("--budget", help="[campaign:|advertiser:|deal:]NUMBER=x2, or =50: dollars a day."),
]
Floor = Annotated[str, typer.Option(help="x1.5, or 0.80: at least so many dollars CPM.")]
Cap = Annotated[float, typer.Option(help="Greatest share of an advertiser; 0: as it was.")]
Gamma = Annotated[float, typer.Option(help="Squashing of click rates, 0.5 to 1.")]
Mechanism = Annotated[str, typer.Option(help="gsp or vcg.")]
Increment = Annotated[int, typer.Option(help="Micros CPM above the runner-up.")]
Days = Annotated[float, typer.Option(min=0.0, help="The last so many days; 0: all.")]
Sample = Annotated[Path | None, typer.Option(help="Folder of kept auctions; this server's.")]
OneIn = Annotated[int, typer.Option(min=0, help="Kept auctions stand for so many; 0: as set.")]
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


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
    setup = bid_logs.Setup(
        budget_share=budget_share,
        mean_value=mean_value,
        click_value=click_value,
        unit_micros=unit_micros // 1_000 * 1_000,
        first_price=first_price,
        pacings=tuple(pacing or Pacing),
    )
    found = bid_logs.replay(files, setup)
    if not found.survey.offers:
        refuse(["no line could be understood", *found.mistakes.named])
    _give([bid_logs.sheet(found)], csv, html, [bid_logs.spent_over_time(found)])


@app.command()
def market(
    bid: Bids = None,
    budget: Budgets = None,
    floor: Floor = "",
    cap: Cap = 0.0,
    gamma: Gamma = 1.0,
    mechanism: Mechanism = "gsp",
    increment: Increment = 10_000,
    ads: Annotated[int, typer.Option(min=100, max=200_000, help="Of the marketplace.")] = 5_000,
    pages: Annotated[int, typer.Option(min=1_000, help="Page views a day, of all.")] = 200_000,
    one_in: Annotated[int, typer.Option(min=1, help="Simulate one page in so many.")] = 100,
    weeks: Annotated[int, typer.Option(min=1, max=50, help="Differ by chance alone.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the marketplace.")] = 1,
    csv: Csv = None,
    html: Html = None,
) -> None:
    """Try a change on a simulated marketplace: before and after, on the same pages."""
    with refusals():
        changes = changes_of(
            bid or [], budget or [], floor, gamma, cap, _rules(mechanism, increment)
        )
        setup = Setup(ads=ads, pages_per_day=pages, one_in=one_in, seed=seed)
        before, after = simulated_change(Marketplace(setup), changes, weeks)
    _give(comparison(before, after, list(changes.bid), {}), csv, html)


@app.command()
def logged(
    bid: Bids = None,
    budget: Budgets = None,
    floor: Floor = "",
    cap: Cap = 0.0,
    gamma: Gamma = 1.0,
    mechanism: Mechanism = "gsp",
    increment: Increment = 10_000,
    days: Days = 7.0,
    sample: Sample = None,
    one_in: OneIn = 0,
    csv: Csv = None,
    html: Html = None,
) -> None:
    """Try a change on the auctions that this server has kept (one in a hundred)."""
    with refusals():
        changes = changes_of(
            bid or [], budget or [], floor, gamma, cap, _rules(mechanism, increment)
        )
        before, after = logs.replay(_log(days, sample, one_in), changes)
    if not before.pages:
        refuse(["no auctions are kept of that time"])
    _give(comparison(before, after, list(changes.bid), {}), csv, html)


@app.command()
def forecast(
    bid: Annotated[float, typer.Option(min=0.001, max=1e6, help="Dollars CPM, or per click.")],
    budget: Annotated[float, typer.Option(min=0.01, max=1e9, help="Dollars a day.")],
    per_click: Annotated[bool, typer.Option(help="The bid is per click.")] = False,
    like: Annotated[int, typer.Option(min=0, help="Eligible where this line item is.")] = 0,
    click_rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="Without --like.")] = 0.001,
    size: Annotated[list[str] | None, typer.Option(help="Like 300x250; any if not given.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="Like DEU.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="desktop, phone, tablet, tv.")] = None,
    placement: Annotated[list[str] | None, typer.Option(help="Its key.")] = None,
    most_mib: Annotated[int, typer.Option(min=1, help="Of the files to look at: seconds.")] = 48,
    days: Days = 7.0,
    sample: Sample = None,
    one_in: OneIn = 0,
    csv: Csv = None,
    html: Html = None,
) -> None:
    """What a line item that does not exist yet would get, and who makes room for it."""
    with refusals():
        proposal = Proposal(
            bid_micros=max(1, round(bid * 1e6)) if per_click else max(1, round(bid * 1e3)) * 1_000,
            per_click=per_click,
            daily_budget_micros=round(budget * 1e6),
            like=like,
            click_ppm=max(1, round(click_rate * 1e6)),
            sizes=_sizes(size or []),
            countries=tuple(country or ()),
            devices=tuple(device or ()),
            placements=tuple(placement or ()),
        )
        log = _log(days, sample, one_in).thinned(most_mib << 20)
        found = logs.forecast(log, proposal, Changes())
    if not found.pages:
        refuse(["no auctions are kept of that time"])
    _give(forecasts.sheets(found, {}), csv, html)


def _rules(mechanism: str, increment_micros: int) -> AuctionSettings:
    rules = AuctionSettings(increment_micros=increment_micros, mechanism=mechanism)
    mistakes = list(rules.problems())
    if mistakes:
        raise ConfigError(mistakes)
    return rules


def _sizes(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    found = [_SIZE.fullmatch(text) for text in texts]
    wrong = [text for text, size in zip(texts, found, strict=True) if size is None]
    if wrong:
        raise ConfigError([f"--size {text!r} is not like 300x250" for text in wrong])
    return tuple((int(size[1]), int(size[2])) for size in found if size is not None)


def _log(days: float, sample: Path | None, one_in: int) -> logs.Log:
    """The span that ends with the newest auction kept."""
    settings = from_environment(os.environ)
    folder = sample or settings.auctions
    newest = max((segment.start_ms for segment in segments(folder)), default=0)
    since = max(0, newest - round(days * 86_400_000)) if days else 0
    return logs.Log(folder, since, one_in=one_in or settings.auction_sample_one_in)


def _give(
    sheets: Sequence[Sheet], csv: Path | None, html: Path | None, figures: Sequence[Figure] = ()
) -> None:
    for one in sheets:
        tables().print(as_table(one))
    if csv is not None:
        csv.write_text(as_csv(sheets))
    if html is not None:
        html.write_text(as_html(sheets, figures))
