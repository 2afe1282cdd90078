"""`adserver report`: what happened, for a terminal, a spreadsheet or a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import duckdb
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from adserver.auctions.record import AuctionRecord
from adserver.auctions.sample import read_sample
from adserver.catalogue import schema
from adserver.catalogue.snapshot import Snapshot, SnapshotError
from adserver.cli_refusals import settings_given
from adserver.cli_tables import tables
from adserver.deadline import wall
from adserver.drift.files import DriftFiles
from adserver.settings import Settings
from feedback import auction_page, pacing_page, render, warehouse
from feedback.auctions import KEYS, cpm_of, win_rate
from feedback.auctions import auctions as auctions_of
from feedback.compaction import compact
from feedback.drift.render import drift_html
from feedback.fairness import fairness as fairness_of
from feedback.fairness_page import (
    FairnessPage,
    fairness_csv,
    fairness_page,
    fairness_table,
    frontier_table,
)
from feedback.frontier import Outcome, frontier
from feedback.html import as_of
from feedback.merit import tally
from feedback.pacing import UNDER, count_reasons
from feedback.pacing import pacing as pacing_of
from feedback.recorded import LEAST_AUCTIONS, recorded, window_for
from feedback.reports import DIMENSIONS, Span
from feedback.reports import ctr as ctr_of
from feedback.windows import window_shares

app = typer.Typer(no_args_is_help=True)


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    HTML = "html"


By = Annotated[str, typer.Option(help=f"One of {', '.join(DIMENSIONS)}.")]
As = Annotated[Format, typer.Option("--format", help="How to show it.")]
Hours = Annotated[float, typer.Option(help="Decisions of the last hours; 0: all.")]
Out = Annotated[Path | None, typer.Option(help="Write to this file.")]
PlanOf = Annotated[str, typer.Option("--by", help=f"One of {', '.join(UNDER)}.")]
BidsBy = Annotated[str, typer.Option("--by", help=f"One of {', '.join(KEYS)}.")]
SampleHours = Annotated[float, typer.Option("--hours", help="Reasons of the last hours; 0: all.")]
Names = dict[str, Mapping[int, str]]


@app.command()
def ctr(by: By = "advertiser", form: As = Format.TABLE, hours: Hours = 0, out: Out = None) -> None:
    """Decisions, fills, impressions, clicks, CTR, spend and eCPM by one dimension."""
    if by not in DIMENSIONS:
        raise typer.BadParameter(f"{by!r} is none of {', '.join(DIMENSIONS)}", param_hint="--by")
    with _opened() as (_, connection, names):
        report = ctr_of(connection, by, _span(hours), names)
        if form is Format.HTML:
            exposure = fairness_of(connection, span=_span(hours), names=names["advertiser"])
            _give(render.page([report], exposure), out)
        elif form is Format.CSV:
            _give(render.ctr_csv(report), out)
        else:
            tables().print(render.ctr_table(report))


@app.command()
def fairness(form: As = Format.TABLE, hours: Hours = 0, out: Out = None) -> None:
    """Exposure share by advertiser, against cap and merit, and what fairness cost and would cost.

    Merit, and what other caps would give, are taken from the recorded sample of auctions.
    """
    with _opened() as (settings, connection, names):
        span = _span(hours)
        records = recorded(settings.auctions, span)
        report = fairness_of(
            connection,
            span=span,
            names=names["advertiser"],
            recorded=tally((record.bids, record.slate) for record in records),
        )
        if form is Format.CSV:
            _give(fairness_csv(report), out)
            return
        site = settings.fairness.site
        outcomes = _frontier(records, site.window)
        if form is Format.TABLE:
            tables().print(fairness_table(report))
            if outcomes:
                tables().print(frontier_table(outcomes))
            return
        windows = window_shares(connection, site.window, span, names["advertiser"])
        moment = as_of(ctr_of(connection, "advertiser", span, names).as_of_ms)
        _give(fairness_page(FairnessPage(report, windows, site.max_share, outcomes, moment)), out)


def _frontier(records: list[AuctionRecord], window: int) -> tuple[Outcome, ...]:
    if sum(len(record) for record in records) < LEAST_AUCTIONS:
        return ()
    auctions = [(record.bids, record.slots) for record in records]
    return frontier(auctions, window_for(records, window))


@app.command()
def pacing(
    by: PlanOf = "campaign", form: As = Format.TABLE, hours: SampleHours = 24, out: Out = None
) -> None:
    """Spend against plan by budget and hour, the projected end, and what holds budgets back."""
    if by not in UNDER:
        raise typer.BadParameter(f"{by!r} is none of {', '.join(UNDER)}", param_hint="--by")
    with _opened() as (settings, connection, names):
        sample = _sample(settings, hours)
        reasons = count_reasons(((one.bids.account, one.slate.rejected) for one in sample), by)
        report = pacing_of(connection, _plans(settings, by), by, names.get(by), reasons)
        if form is Format.HTML:
            _give(pacing_page.pacing_page(report), out)
        elif form is Format.CSV:
            _give(pacing_page.pacing_csv(report), out)
        else:
            tables().print(pacing_page.pacing_table(report))


@app.command()
def auction(
    by: BidsBy = "placement", form: As = Format.TABLE, hours: Hours = 0, out: Out = None
) -> None:
    """Bids, prices, win rates and revenue; price paid against bid; what fairness cost."""
    if by not in KEYS:
        raise typer.BadParameter(f"{by!r} is none of {', '.join(KEYS)}", param_hint="--by")
    with _opened() as (settings, connection, names):
        report = auctions_of(connection, _span(hours), names)
        if form is Format.HTML:
            bids = (_bids_of(one) for one in _sample(settings, hours))
            _give(auction_page.auction_page(replace(report, win_rate=win_rate(bids))), out)
        elif form is Format.CSV:
            _give(auction_page.auction_csv(report, by), out)
        else:
            tables().print(auction_page.auction_table(report, by))


@app.command()
def page(out: Out = None, hours: Hours = 0) -> None:
    """All reports on one HTML page with plots."""
    with _opened() as (settings, connection, names):
        by = ("advertiser", "campaign", "placement", "hour")
        reports = [ctr_of(connection, one, _span(hours), names) for one in by]
        exposure = fairness_of(connection, span=_span(hours), names=names["advertiser"])
        found = DriftFiles(settings.drift_folder).findings()
        more = drift_html(found.figures, found.alarms, found.due) if found and found.figures else ""
        _give(render.page(reports, exposure, more), out)


@contextmanager
def _opened() -> Iterator[tuple[Settings, duckdb.DuckDBPyConnection, Names]]:
    """The warehouse, up to date, and the names of what the snapshot knows."""
    with settings_given() as settings:
        folder = settings.adserver_data / "warehouse"
        compact(settings.adserver_data / "events", folder)
        with warehouse.connect(folder) as connection:
            yield settings, connection, _names(settings.snapshots)


def _plans(settings: Settings, by: str) -> dict[int, int]:
    """Daily budgets in force now, by id; none while the database is away."""
    table = schema.metadata.tables[by]
    if "daily_budget_micros" not in table.columns:
        return {}
    budget = table.columns["daily_budget_micros"]
    try:
        with schema.connect(settings.database).connect() as connection:
            rows = connection.execute(select(table.columns["id"], budget).where(budget > 0))
            return {int(number): int(micros) for number, micros in rows}
    except SQLAlchemyError:
        Console(stderr=True).print("[yellow]no budgets:[/yellow] the database cannot be read")
        return {}


def _sample(settings: Settings, hours: float) -> Iterator[AuctionRecord]:
    """The sampled auctions of the last hours; 0: all."""
    since_ms = int((wall() - hours * 3600) * 1000) if hours else 0
    return read_sample(settings.auctions, since_ms)


def _bids_of(record: AuctionRecord) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    bids = record.bids
    return cpm_of(bids.bid_micros, bids.per_click, bids.pctr_ppm), record.slate.rejected


def _names(snapshots: Path) -> Names:
    try:
        known = Snapshot.load(snapshots, verify=False).names
    except SnapshotError:
        return {"advertiser": {}, "campaign": {}}
    advertiser = {number: owner.name for number, owner in known.advertiser.items()}
    return {"advertiser": advertiser, "campaign": known.campaign}


def _span(hours: float) -> Span | None:
    return Span(since_ms=int((wall() - hours * 3600) * 1000)) if hours else None


def _give(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text)
        Console(stderr=True).print(f"written to {out}")
