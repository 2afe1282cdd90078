"""The logs that are understood: their columns, what each may hold, and what it is good for.

Every format becomes the same kind of table: `label`, `time_ms` where the log tells the time, and
its other columns under their own names. Sources: the Criteo Display Advertising Challenge and
Terabyte logs, Avazu (CTR prediction, 2014), TalkingData AdTracking (2017), Open Bandit (Saito et
al. 2020), iPinYou (Liao et al. 2014) and what make-ipinyou-data makes of it (Zhang et al. 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LABEL, TIME = "label", "time_ms"
MOST_TEXT = 2_048
"""Bytes of one value."""
_LARGE = (1 << 53) - 1


class Kind(StrEnum):
    """How a field is read."""

    WHOLE = "whole number"
    REAL = "number"
    TEXT = "text"
    HEX = "hexadecimal"
    MOMENT = "time"


class Role(StrEnum):
    """What a column is good for."""

    LABEL = "label"
    TIME = "time"
    CATEGORY = "category"
    COUNT = "count"
    """A number whose size matters."""
    BAG = "bag"
    """Several categories in one text, between commas or blanks."""
    PROPENSITY = "propensity"
    KEPT = "kept"
    """Not to be learnt from: it names the row, or was known only after it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a line."""

    name: str
    role: Role
    kind: Kind
    low: float = 0
    high: float = _LARGE
    needed: bool = False
    longest: int = MOST_TEXT
    also: tuple[str, ...] = ()
    """Other names it goes by, in lower case."""

    @property
    def stored(self) -> str:
        """Its name in the table."""
        return {Role.LABEL: LABEL, Role.TIME: TIME}.get(self.role, self.name)


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of log; its lines may be headed by the names of the columns, in any order."""

    name: str
    columns: tuple[Column, ...]
    delimiters: str
    """The first is the usual one; `" "` stands for runs of blanks and tabs."""
    fewest: int
    """Fields of a line; missing ones at the end are empty."""
    quoted: bool = True
    open_end: bool = False
    """The last column takes whatever else is in the line."""
    telling: frozenset[str] = frozenset()
    """Names that no other format has in its heading."""

    @property
    def width(self) -> int:
        return len(self.columns)


def _click(name: str, high: int = 1) -> Column:
    return Column(name, Role.LABEL, Kind.WHOLE, 0, high, needed=True)


def _categories(names: Sequence[str], kind: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, Role.CATEGORY, kind, low=-_LARGE) for name in names)


def _named(prefix: str, first: int, last: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(first, last + 1)]


CRITEO = Format(
    "criteo",
    (
        _click("label"),
        *(Column(name, Role.COUNT, Kind.WHOLE, -_LARGE) for name in _named("I", 1, 13)),
        *(Column(name, Role.CATEGORY, Kind.HEX, longest=16) for name in _named("C", 1, 26)),
    ),
    delimiters="\t,",
    fewest=40,
    telling=frozenset(name.lower() for name in ("I1", "I13", "C1", "C26")),
)
_AVAZU_TEXT = ["site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category"]
_AVAZU_TEXT += ["device_id", "device_ip", "device_model"]
AVAZU = Format(
    "avazu",
    (
        Column("id", Role.KEPT, Kind.TEXT, longest=32),
        _click("click"),
        Column("hour", Role.TIME, Kind.MOMENT, needed=True),
        *_categories(["C1", "banner_pos"], Kind.WHOLE),
        *(Column(name, Role.CATEGORY, Kind.TEXT, longest=64) for name in _AVAZU_TEXT),
        *_categories(["device_type", "device_conn_type", *_named("C", 14, 21)], Kind.WHOLE),
    ),
    delimiters=",\t",
    fewest=24,
    telling=frozenset({"banner_pos", "site_id", "device_model", "c14"}),
)
TALKINGDATA = Format(
    "talkingdata",
    (
        *_categories(["ip", "app", "device", "os", "channel"], Kind.WHOLE),
        Column("click_time", Role.TIME, Kind.MOMENT, needed=True),
        Column("attributed_time", Role.KEPT, Kind.TEXT, longest=64),
        _click("is_attributed"),
    ),
    delimiters=",\t",
    fewest=8,
    telling=frozenset({"click_time", "is_attributed", "channel"}),
)
AFFINITIES = 80
OBD = Format(
    "obd",
    (
        Column("row", Role.KEPT, Kind.TEXT, longest=32, also=("", "unnamed: 0")),
        Column("timestamp", Role.TIME, Kind.MOMENT, needed=True),
        Column("item_id", Role.CATEGORY, Kind.WHOLE, 0, 1e6, needed=True),
        Column("position", Role.CATEGORY, Kind.WHOLE, 0, 1_000, needed=True),
        _click("click"),
        Column("propensity_score", Role.PROPENSITY, Kind.REAL, 0.0, 1.0, needed=True),
        *(
            Column(name, Role.CATEGORY, Kind.TEXT, longest=64)
            for name in _named("user_feature_", 0, 3)
        ),
        *(
            Column(name, Role.KEPT, Kind.REAL, -1e12, 1e12)
            for name in _named("user-item_affinity_", 0, AFFINITIES - 1)
        ),
    ),
    delimiters=",\t",
    fewest=10,
    telling=frozenset({"propensity_score", "item_id", "position"}),
)


def _ipinyou_columns() -> tuple[Column, ...]:
    category, kept = Role.CATEGORY, Role.KEPT
    text = {
        "bidid": kept,
        "ipinyouid": category,
        "useragent": category,
        "IP": category,
        "domain": category,
        "url": kept,
        "urlid": kept,
        "slotid": category,
        "slotvisibility": category,
        "slotformat": category,
        "creative": category,
        "keypage": category,
        "usertag": Role.BAG,
    }
    whole = {
        "logtype": kept,
        "region": category,
        "city": category,
        "adexchange": category,
        "slotwidth": category,
        "slotheight": category,
        "slotprice": Role.COUNT,
        "bidprice": kept,  # the bidder's own guess of the click
        "payprice": kept,  # known after the auction
        "advertiser": category,
    }
    order = "bidid timestamp logtype ipinyouid useragent IP region city adexchange domain url urlid"
    order += " slotid slotwidth slotheight slotvisibility slotformat slotprice creative bidprice"
    order += " payprice keypage advertiser usertag"
    columns = []
    for name in order.split():
        if name == "timestamp":
            columns.append(Column(name, Role.TIME, Kind.MOMENT, needed=True))
        elif name in whole:
            columns.append(Column(name, whole[name], Kind.WHOLE, low=-_LARGE, longest=64))
        else:
            columns.append(Column(name, text[name], Kind.TEXT))
    return tuple(columns)


IPINYOU = Format(
    "ipinyou",
    (
        _click("click", 1_000),
        Column("weekday", Role.KEPT, Kind.WHOLE),  # of the timestamp
        Column("hour", Role.KEPT, Kind.WHOLE),
        *_ipinyou_columns(),
    ),
    delimiters="\t",
    fewest=24,
    quoted=False,
    telling=frozenset({"bidid", "payprice", "usertag"}),
)
IPINYOU_LOG = Format("ipinyou", _ipinyou_columns(), delimiters="\t", fewest=22, quoted=False)
"""iPinYou's own logs: the impressions; who clicked stands in logs of clicks beside them."""
PLACES = 24
_PLACES = (
    *_categories(_named("place_", 1, PLACES), Kind.TEXT),
    Column("further", Role.BAG, Kind.TEXT),
)
IPINYOU_INDEX = Format(
    "ipinyou-index",
    (_click("click", 1_000), *_PLACES),
    delimiters=" ",
    fewest=2,
    quoted=False,
    open_end=True,
)
"""click index:value …: features by number, the same field at the same place of a line."""
IPINYOU_PRICED = Format(
    "ipinyou-index",
    (_click("click", 1_000), Column("price", Role.KEPT, Kind.REAL, 0, 1e9), *_PLACES),
    delimiters=" ",
    fewest=3,
    quoted=False,
    open_end=True,
)
"""The same with the market's price behind the click."""
FORMATS = {
    "criteo": (CRITEO,),
    "avazu": (AVAZU,),
    "obd": (OBD,),
    "talkingdata": (TALKINGDATA,),
    "ipinyou": (IPINYOU, IPINYOU_LOG, IPINYOU_PRICED, IPINYOU_INDEX),
}
"""By the name a user gives, in the order in which a file is compared with them."""
