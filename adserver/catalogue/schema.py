"""The catalogue's tables: advertiser → campaign → line item → ad, and placements.

Every change of a live value takes the next revision and is listed in `change`, so that a server
finds what is new with one indexed look-up. Money is micros, times are wall seconds. Plain SQL
only: SQLite by default, PostgreSQL by URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)

BUSY_S = 30
"""How long a writer waits for another before it gives up."""

metadata = MetaData()
# SQLite numbers rows by itself only where the key's type is exactly INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[Any]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _status() -> Column[Any]:
    return Column("status", String(8), nullable=False, server_default="active")


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


advertiser = Table(
    "advertiser",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("category", String(16), nullable=False, server_default=""),
    _status(),
    _one_of("status", "active", "paused"),
)

campaign = Table(
    "campaign",
    metadata,
    _id(),
    Column("advertiser_id", ForeignKey("advertiser.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("daily_budget_micros", BigInteger, nullable=False),
    _status(),
    _one_of("status", "active", "paused"),
    CheckConstraint("daily_budget_micros >= 0", name="budget_not_negative"),
)

line_item = Table(
    "line_item",
    metadata,
    _id(),
    Column("campaign_id", ForeignKey("campaign.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("pricing", String(3), nullable=False),
    # per thousand impressions (cpm) or per click (cpc)
    Column("bid_micros", BigInteger, nullable=False),
    Column("start_s", Float(53), nullable=False),
    Column("end_s", Float(53)),
    Column("targeting", JSON, nullable=False),
    _status(),
    _one_of("status", "active", "paused"),
    _one_of("pricing", "cpm", "cpc"),
    CheckConstraint("bid_micros > 0", name="bid_positive"),
    CheckConstraint("pricing = 'cpc' OR bid_micros % 1000 = 0", name="cpm_bid_whole_impression"),
)

template = Table(
    "template",
    metadata,
    _id(),
    Column("name", String(100), nullable=False),
    # HTML; {{name}} stands for a value of the ad or of its params
    Column("markup", Text, nullable=False),
)

ad = Table(
    "ad",
    metadata,
    _id(),
    Column("line_item_id", ForeignKey("line_item.id"), nullable=False, index=True),
    Column("title", String(200), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("category", String(16), nullable=False),
    Column("language", String(2), nullable=False, server_default=""),
    Column("attributes", JSON, nullable=False),  # AdCOM creative attributes, a list
    Column("secure", Boolean, nullable=False),
    Column("landing_url", Text, nullable=False),
    Column("template_id", ForeignKey("template.id")),
    Column("params", JSON),  # values of the template's own names
    Column("markup", Text),  # instead of a template
    _status(),
    _one_of("status", "active", "paused"),
    CheckConstraint("width > 0 AND height > 0", name="size_positive"),
    CheckConstraint("(template_id IS NULL) <> (markup IS NULL)", name="template_or_markup"),
)

placement = Table(
    "placement",
    metadata,
    _id(),
    Column("key", String(100), nullable=False, unique=True),
    Column("publisher", String(100), nullable=False, server_default=""),
    Column("sizes", JSON, nullable=False),  # [[width, height], …]
    Column("floor_micros", BigInteger, nullable=False, server_default="0"),
    Column("blocked_categories", JSON, nullable=False),
    Column("blocked_advertisers", JSON, nullable=False),
)

revision = Table(
    "revision",
    metadata,
    # one row: taking the next number locks it, so revisions become visible in their order
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

change = Table(
    "change",
    metadata,
    Column("revision", Id, primary_key=True, autoincrement=False),
    Column("kind", String(12), nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Index("change_of_row", "kind", "row_id"),
)

LEVELS = {"advertiser": advertiser, "campaign": campaign, "line_item": line_item, "ad": ad}
"""The tables that can be paused, outermost first."""


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def connect(url: str) -> Engine:
    """An engine for the catalogue at an SQLAlchemy URL."""
    sqlite = url.startswith("sqlite")
    options: dict[str, Any] = {"json_serializer": _encode, "json_deserializer": msgspec.json.decode}
    if sqlite:
        options["connect_args"] = {"timeout": BUSY_S}
    engine = create_engine(url, **options)
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def one_state(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it was at its first read, whatever is written."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":  # whose transactions always do
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's driver would begin a transaction at the first write only; reads must be in it too
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


def create_tables(engine: Engine) -> None:
    """All tables that are missing, and the first revision."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        if connection.execute(revision.select()).first() is None:
            connection.execute(revision.insert().values(id=1, value=0))
