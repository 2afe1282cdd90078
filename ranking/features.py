"""What the model sees of a request, a slot and an ad: one definition for training and serving.

Every value becomes a row of an embedding table: strings by a stable hash, hours and database ids
as they are. Row 0 is "none or never seen" and stays zero in every table. This module knows plain
values only: no wire format, no catalogue, no weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ranking.counts import COUNTED


class Field(NamedTuple):
    """One feature: `rows` of its table, `width` columns of the encoded row (a bag if over 1).

    A field that is not `embedded` has no vector, and its values' weights are counted after
    training (ranking.training.counted): ids too many to learn more from the few clicks of each.
    """

    name: str
    rows: int
    width: int = 1
    embedded: bool = True


REQUEST_FIELDS: Final = (
    Field("country", 1024),
    Field("region", 4096),
    Field("device", 64),
    Field("os", 128),
    Field("browser", 128),
    Field("language", 512),
    Field("domain", 16384),
    Field("publisher", 8192),
    Field("hour", 24),
    Field("weekday", 7),
    Field("topic", 64),
    Field("categories", 4096, width=8),
    Field("parents", 256, width=8),
    Field("segments", 8192, width=8),
    Field("words", 32768, width=8),
    Field("clicked", 64, width=8),
    Field("seen", 64, width=8),
    Field("user", 65536, embedded=False),
)
AD_FIELDS: Final = (
    Field("advertiser", 8192),
    Field("category", 4096),
    Field("topic", 64),
    Field("size", 256),
    Field("per_click", 2),
    Field("words", 32768, width=12),
    Field("campaign", 65536, embedded=False),
    Field("ad", 262144, embedded=False),
)
SLOT_FIELDS: Final = (
    Field("placement", 16384, embedded=False),
    Field("size", 256, embedded=False),
    Field("position", 32, embedded=False),
)
TOPICS: Final = 64
"""Top-level content categories: IAB1…IAB26 by number, any other name by hash behind them."""


def width(fields: Iterable[Field]) -> int:
    """Columns of an encoded row."""
    return sum(field.width for field in fields)


def rows(fields: Iterable[Field]) -> int:
    """Rows of the tower's tables, row 0 included."""
    return 1 + sum(field.rows for field in fields)


def first_rows(fields: Sequence[Field]) -> dict[str, int]:
    """Where each field's rows begin; row 0 belongs to none."""
    starts, row = {}, 1
    for field in fields:
        starts[field.name] = row
        row += field.rows
    return starts


def bag_starts(fields: Sequence[Field]) -> NDArray[np.int32]:
    """[F + 1] the columns of an encoded row where the fields begin."""
    return np.cumsum([0, *(field.width for field in fields)], dtype=np.int32)


def encoded_topic(fields: Sequence[Field], ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """[n] the topic, 0 to TOPICS - 1, of encoded requests or ads."""
    at = [field.name for field in fields].index("topic")
    return ids[:, bag_starts(fields)[at]] - np.int32(first_rows(fields)["topic"])


def _schema() -> str:
    text = repr((2, REQUEST_FIELDS, AD_FIELDS, SLOT_FIELDS, TOPICS, COUNTED))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


FEATURE_SCHEMA: Final = _schema()
"""Two models may exchange encoded rows if and only if this is equal."""

_REQUEST: Final = first_rows(REQUEST_FIELDS)
_AD: Final = first_rows(AD_FIELDS)
_SLOT: Final = first_rows(SLOT_FIELDS)


@dataclass(frozen=True, slots=True)
class RequestFields:
    """What the model may know of a request. Empty text means unknown."""

    country: str = ""
    region: str = ""
    device: str = ""
    os: str = ""
    browser: str = ""
    language: str = ""
    domain: str = ""
    publisher: str = ""
    user: str = ""
    hour: int = 0
    """0–23, UTC."""
    weekday: int = 0
    """0 Monday – 6 Sunday, UTC."""
    categories: Sequence[str] = ()
    segments: Sequence[str] = ()
    keywords: Sequence[str] = ()
    clicked: Sequence[int] = ()
    """Topics of the ads that the person clicked lately, the newest first; 1 to TOPICS - 1."""
    seen: Sequence[int] = ()
    """The same of the ads that the person was shown."""


@dataclass(frozen=True, slots=True)
class AdFields:
    """Ads as columns of N plain values."""

    ad: NDArray[np.int64]
    campaign: NDArray[np.int64]
    advertiser: NDArray[np.int64]
    per_click: NDArray[np.bool_]
    category: Sequence[str]
    size: Sequence[tuple[int, int]]
    words: Sequence[Sequence[str]]
    """`words_of` the creative's title and its call to action."""


def _hasher(fields: Sequence[Field], name: str) -> Callable[[str], int]:
    """value -> row by crc32 of "field=value", the same in every process and release."""
    field = next(field for field in fields if field.name == name)
    first, buckets, salt = first_rows(fields)[name], field.rows, crc32(f"{name}=".encode())

    def row(value: str) -> int:
        return first + crc32(value.encode(errors="replace"), salt) % buckets if value else 0

    return row


REQUEST_ROW: Final = {field.name: _hasher(REQUEST_FIELDS, field.name) for field in REQUEST_FIELDS}
"""Text to table row, for each of the request's fields that is text."""
_COUNTRY, _REGION, _DEVICE = (REQUEST_ROW[name] for name in ("country", "region", "device"))
_OS, _BROWSER, _LANGUAGE = (REQUEST_ROW[name] for name in ("os", "browser", "language"))
_DOMAIN, _PUBLISHER, _USER = (REQUEST_ROW[name] for name in ("domain", "publisher", "user"))
_CATEGORIES, _PARENTS = REQUEST_ROW["categories"], REQUEST_ROW["parents"]
_SEGMENTS, _KEYWORD_WORDS = REQUEST_ROW["segments"], REQUEST_ROW["words"]
_AD_CATEGORY = _hasher(AD_FIELDS, "category")
_AD_SIZE = _hasher(AD_FIELDS, "size")
_AD_WORDS = _hasher(AD_FIELDS, "words")
_PLACEMENT = _hasher(SLOT_FIELDS, "placement")
_SLOT_SIZE = _hasher(SLOT_FIELDS, "size")
BAG: Final = 8
"""Values of a request's bag that count; the rest are left out."""
_WORDS: Final = 12
_POSITIONS: Final = SLOT_FIELDS[2].rows


def words_of(text: str) -> list[str]:
    """Lower-case words of a creative's texts, each once, as `AdFields.words` takes them."""
    return list(dict.fromkeys(re.findall(r"[^\W_]+%?", text.lower())))


def parent_of(category: str) -> str:
    """The top level of a category: "IAB17" of "IAB17-3"."""
    return category.partition("-")[0]


def topic_of(category: str) -> int:
    """The category's top level as a number in 1..TOPICS - 1; 0 for none."""
    parent = parent_of(category)
    if not parent:
        return 0
    number = parent[3:] if parent.startswith("IAB") else ""
    if number.isascii() and number.isdigit() and 1 <= int(number) <= 26:
        return int(number)
    return 27 + crc32(parent.encode(errors="replace")) % (TOPICS - 27)


def _bag(row: Callable[[str], int], values: Sequence[str]) -> list[int]:
    """The first `BAG` values' rows, padded with 0."""
    found = [row(value) for value in values[:BAG]]
    return found + [0] * (BAG - len(found))


def _topics(name: str, topics: Sequence[int]) -> list[int]:
    """Rows of the first `BAG` topics, padded with 0."""
    found = [_REQUEST[name] + topic if topic else 0 for topic in topics[:BAG]]
    return found + [0] * (BAG - len(found))


def _request_row(fields: RequestFields) -> list[int]:
    topic = topic_of(fields.categories[0]) if fields.categories else 0
    return [
        _COUNTRY(fields.country),
        _REGION(fields.region),
        _DEVICE(fields.device),
        _OS(fields.os),
        _BROWSER(fields.browser),
        _LANGUAGE(fields.language),
        _DOMAIN(fields.domain),
        _PUBLISHER(fields.publisher),
        _REQUEST["hour"] + fields.hour % 24,
        _REQUEST["weekday"] + fields.weekday % 7,
        _REQUEST["topic"] + topic,
        *_bag(_CATEGORIES, fields.categories),
        *_bag(_PARENTS, list(dict.fromkeys(map(parent_of, fields.categories[:BAG])))),
        *_bag(_SEGMENTS, fields.segments),
        *_bag(_KEYWORD_WORDS, list(dict.fromkeys(" ".join(fields.keywords[:BAG]).split()))),
        *_topics("clicked", fields.clicked),
        *_topics("seen", fields.seen),
        _USER(fields.user),
    ]


def encode_requests(batch: Sequence[RequestFields]) -> NDArray[np.int32]:
    """[B, width(REQUEST_FIELDS)] table rows."""
    encoded = np.array([_request_row(fields) for fields in batch], np.int32)
    return encoded.reshape(len(batch), width(REQUEST_FIELDS))


def encode_request(fields: RequestFields) -> NDArray[np.int32]:
    """[width(REQUEST_FIELDS)] one row of `encode_requests`."""
    row: NDArray[np.int32] = encode_requests([fields])[0]
    return row


def encode_slot(placement: str, width: int, height: int, position: int) -> NDArray[np.int32]:
    """[3] rows of one slot: where it is, its first size, and its number on the page from 0."""
    size = _SLOT_SIZE(f"{width}x{height}") if width and height else 0
    place = _SLOT["position"] + min(position, _POSITIONS - 1)
    return np.array([_PLACEMENT(placement), size, place], np.int32)


def _id_rows(name: str, ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """Database ids are dense, so they need no hash; one beyond the table is "never seen"."""
    field = next(field for field in AD_FIELDS if field.name == name)
    known = (ids >= 0) & (ids < field.rows)
    return np.where(known, _AD[name] + ids, 0).astype(np.int32)


def _hashed(row: Callable[[str], int], values: Sequence[str]) -> NDArray[np.int32]:
    memo = {value: row(value) for value in set(values)}
    return np.fromiter((memo[value] for value in values), np.int32, len(values))


def _word_rows(bags: Sequence[Sequence[str]]) -> NDArray[np.int32]:
    found = np.zeros((len(bags), _WORDS), np.int32)
    memo: dict[str, int] = {}
    for at, bag in enumerate(bags):
        for column, word in enumerate(bag[:_WORDS]):
            if word not in memo:
                memo[word] = _AD_WORDS(word)
            found[at, column] = memo[word]
    return found


def encode_ads(ads: AdFields) -> NDArray[np.int32]:
    """[N, width(AD_FIELDS)] table rows; about 2 s for a million ads of five words."""
    columns = [
        _id_rows("advertiser", ads.advertiser),
        _hashed(_AD_CATEGORY, ads.category),
        _AD["topic"] + _hashed(topic_of, ads.category),
        _hashed(_AD_SIZE, [f"{wide}x{high}" for wide, high in ads.size]),
        _AD["per_click"] + ads.per_click.astype(np.int32),
        *_word_rows(ads.words).T,
        _id_rows("campaign", ads.campaign),
        _id_rows("ad", ads.ad),
    ]
    return np.stack(columns, axis=1).astype(np.int32)
