"""The catalogue's tables: advertiser → campaign → line item → ad, placements, deals and rates.

Every change of a live value takes the next revision and is listed in `change`, so that a server
finds what is new with one indexed look-up. Money is micros of its row's currency (a line item's
is its campaign's, an advertiser's US dollars), times are wall seconds. Plain SQL only: SQLite by
default, PostgreSQL by URL.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)

from adserver.catalogue.codes import GOALS, NO_IDENTITY, PACING, PACKAGES, PRICING
from adserver.catalogue.engine import connect, one_state
from adserver.errors import ConfigError

__all__ = [
    "LEVELS",
    "NEW",
    "PAUSABLE",
    "check_tables",
    "connect",
    "create_tables",
    "metadata",
    "one_state",
]

metadata = MetaData()
# SQLite numbers rows by itself only where the key's type is exactly INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[Any]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _status() -> Column[Any]:
    return Column("status", String(8), nullable=False, server_default="active")


def _currency() -> Column[Any]:
    return Column("currency", String(3), nullable=False, server_default="USD")


def _caps() -> Column[Any]:
    """[{"max": 3, "window": "24h", …}], as adserver.catalogue.capping reads it; NULL: none."""
    return Column("frequency_caps", JSON)


def _budgets() -> tuple[Any, ...]:
    """NULL: no limit of its own."""
    return (
        Column("daily_budget_micros", BigInteger),
        Column("lifetime_budget_micros", BigInteger),
        CheckConstraint("daily_budget_micros >= 0", name="daily_budget_not_negative"),
        CheckConstraint("lifetime_budget_micros >= 0", name="lifetime_budget_not_negative"),
    )


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
    *_budgets(),
    _caps(),
    _status(),
    _one_of("status", "active", "paused"),
)

campaign = Table(
    "campaign",
    metadata,
    _id(),
    Column("advertiser_id", ForeignKey("advertiser.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    _currency(),
    Column("daily_budget_micros", BigInteger, nullable=False),
    Column("lifetime_budget_micros", BigInteger),
    _caps(),
    _status(),
    _one_of("status", "active", "paused"),
    CheckConstraint("daily_budget_micros >= 0", name="daily_budget_not_negative"),
    CheckConstraint("lifetime_budget_micros >= 0", name="lifetime_budget_not_negative"),
)

deal = Table(
    "deal",
    metadata,
    _id(),
    # what a request calls it (OpenRTB imp.pmp.deals.id)
    Column("key", String(64), nullable=False, unique=True),
    _currency(),
    Column("floor_micros", BigInteger, nullable=False, server_default="0"),
    # who buys in it pays the floor, no more and no less
    Column("fixed_price", Boolean, nullable=False, server_default="0"),
    # empty: of any publisher
    Column("publisher", String(100), nullable=False, server_default=""),
    # buyers that may use it (OpenRTB wseat), a list; empty: any
    Column("seats", JSON, nullable=False),
    *_budgets(),
    _status(),
    _one_of("status", "active", "paused"),
    CheckConstraint("floor_micros >= 0", name="floor_not_negative"),
)

line_item = Table(
    "line_item",
    metadata,
    _id(),
    Column("campaign_id", ForeignKey("campaign.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("deal_id", ForeignKey("deal.id"), index=True),
    Column("pricing", String(4), nullable=False),
    # per thousand impressions (cpm) or viewable ones (vcpm), click (cpc) or conversion (cpa); flat:
    # the whole flight's fee
    Column("bid_micros", BigInteger, nullable=False),
    Column("tier", Integer, nullable=False, server_default="50"),
    Column("share", BigInteger, nullable=False, server_default="1"),
    Column("quality_ppm", BigInteger, nullable=False, server_default="1000000"),
    # conversions per million clicks; NULL: as the log says
    Column("pcvr_ppm", BigInteger),
    *_budgets(),
    Column("goal_kind", String(12)),
    Column("goal_amount", BigInteger),
    Column("pacing", String(12), nullable=False, server_default="even"),
    _caps(),
    # NULL: as the server is set
    Column("no_identity", String(12)),
    # of competitive exclusion, a list; NULL: none
    Column("labels", JSON),
    Column("package", String(8), nullable=False, server_default="none"),
    Column("start_s", Float(53), nullable=False),
    Column("end_s", Float(53)),
    Column("targeting", JSON, nullable=False),
    _status(),
    _one_of("status", "active", "paused"),
    _one_of("pricing", *PRICING),
    _one_of("goal_kind", *GOALS),
    _one_of("pacing", *PACING),
    _one_of("no_identity", *NO_IDENTITY),
    _one_of("package", *PACKAGES),
    CheckConstraint("bid_micros > 0", name="bid_positive"),
    CheckConstraint(
        "pricing NOT IN ('cpm', 'vcpm') OR bid_micros % 1000 = 0", name="cpm_bid_whole_impression"
    ),
    CheckConstraint("tier BETWEEN 1 AND 100", name="tier_known"),
    CheckConstraint("share > 0", name="share_positive"),
    CheckConstraint("quality_ppm BETWEEN 100000 AND 10000000", name="quality_within_ten"),
    CheckConstraint("pcvr_ppm BETWEEN 1 AND 1000000", name="conversion_rate"),
    CheckConstraint("(goal_kind IS NULL) = (goal_amount IS NULL)", name="goal_whole"),
    CheckConstraint("goal_amount > 0", name="goal_positive"),
    # a fee bids what its goal implies
    CheckConstraint("pricing <> 'flat' OR goal_kind = 'impressions'", name="flat_goal"),
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
    _caps(),
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

floor_rule = Table(
    "floor_rule",
    metadata,
    _id(),
    # {"publisher": ["pub-1"], "size": ["300x250"], …}; all must hold (adserver.catalogue.floors)
    Column("conditions", JSON, nullable=False),
    _currency(),
    Column("floor_micros", BigInteger, nullable=False),
    CheckConstraint("floor_micros >= 0", name="floor_not_negative"),
)

rate = Table(
    "rate",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("currency", String(3), primary_key=True),
    # units of the currency for a million US dollars; the highest version is in force, whole
    Column("per_usd_ppm", BigInteger, nullable=False),
    CheckConstraint("per_usd_ppm > 0", name="rate_positive"),
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
    # a table's name; after NEW where what has changed waits for the next snapshot
    Column("kind", String(12), nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Index("change_of_row", "kind", "row_id"),
)

NEW = "+"
"""Before the kind of a change that only a new snapshot takes up, such as that a row has come."""
LEVELS = {"advertiser": advertiser, "campaign": campaign, "line_item": line_item, "ad": ad}
"""The tables of what is shown, outermost first."""
PAUSABLE = {**LEVELS, "deal": deal}


def create_tables(engine: Engine) -> None:
    """All that are missing, and the first revision; ConfigError if others are of another time."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        if connection.execute(revision.select()).first() is None:
            connection.execute(revision.insert().values(id=1, value=0))
    check_tables(engine)


def check_tables(engine: Engine) -> None:
    """ConfigError, naming what is missing, if the database was made by an earlier version."""
    found = inspect(engine)
    missing = [
        f"{table.name}.{column}"
        for table in metadata.sorted_tables
        for column in sorted(set(table.columns.keys()) - _columns(found, table))
    ]
    if missing:
        what = ", ".join(missing[:5])
        raise ConfigError(
            [f"database_url: made by an earlier version, without {what}; make it anew"]
        )


def _columns(found: Any, table: Table) -> set[str]:
    return {column["name"] for column in found.get_columns(table.name)}
