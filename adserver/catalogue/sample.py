"""Fills an empty catalogue with the simulated marketplace's advertisers and ads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from adserver.catalogue import schema
from adserver.catalogue.operations import is_empty
from adserver.catalogue.progress import Progress, silent
from adserver.errors import ConfigError
from simulator import records, terms
from simulator.catalogue import Catalogue, catalogue
from simulator.world import World

BATCH = 5_000


def create_sample(
    database_url: str,
    ads: int,
    now: float,
    seed: int = 1,
    progress: Progress = silent,
    mixed: bool = False,
) -> None:
    """Write a catalogue of `ads` ads; refuses a database that holds one already.

    Flights lie around `now` (wall seconds). The seed is the world's and the catalogue's: the
    traffic of World(seed) fits this sample, and the model in the repository has learnt seed 1.
    `mixed`: besides standard CPM and CPC line items in US dollars there are a few of all others.
    """
    write_catalogue(database_url, catalogue(World(seed), ads, seed, now), progress, mixed)


def write_catalogue(
    database_url: str, made: Catalogue, progress: Progress = silent, mixed: bool = False
) -> None:
    """The same for a catalogue that is made already; ids are row + 1."""
    engine = schema.connect(database_url)
    try:
        schema.create_tables(engine)
        if not is_empty(engine):
            raise ConfigError([f"database_url: {engine.url!r} holds a catalogue already"])
        with engine.begin() as connection:
            _fill(connection, made, progress, mixed)
    finally:
        engine.dispose()


def _fill(connection: Connection, made: Catalogue, progress: Progress, mixed: bool) -> None:
    ads = len(made.ads)
    _insert(connection, schema.template, records.template_rows())
    _insert(connection, schema.placement, records.placement_rows(made.world))
    if mixed:
        _insert(connection, schema.rate, terms.rate_rows())
        _insert(connection, schema.deal, terms.deal_rows())
    _insert(connection, schema.advertiser, records.advertiser_rows(made))
    _insert(connection, schema.campaign, records.campaign_rows(made, mixed))
    _insert(connection, schema.line_item, records.line_item_rows(made, mixed))
    for start in range(0, ads, 10 * BATCH):
        stop = min(ads, start + 10 * BATCH)
        _insert(connection, schema.ad, records.ad_rows(made, start, stop))
        progress("insert ads", stop, ads)
    if connection.dialect.name == "postgresql":
        _advance_sequences(connection)


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    for batch in _batches(iter(rows)):
        connection.execute(table.insert(), batch)


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _advance_sequences(connection: Connection) -> None:
    """PostgreSQL numbers the next row from its sequence, which knows nothing of our own ids."""
    for table in (schema.template, schema.placement, *schema.PAUSABLE.values()):
        last = connection.execute(select(func.max(table.c.id))).scalar()
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"),
            {"name": table.name, "last": last or 1},
        )
