"""The ads of a catalogue on their way from database rows to a snapshot's columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row

from adserver.catalogue import capping, reading
from adserver.catalogue.capping import Capped
from adserver.catalogue.columns import AdColumns, StoredCreative
from adserver.catalogue.labels import Labels
from adserver.catalogue.offers import per_click
from adserver.catalogue.progress import Progress, silent
from adserver.catalogue.reading import LineItems
from adserver.errors import ConfigError
from auction.caps import Entity
from ranking.features import AD_FIELDS, AdFields, encode_ads, width, words_of


class Known(NamedTuple):
    """What a snapshot has numbered already."""

    sizes: tuple[tuple[int, int], ...] = ()
    labels: tuple[str, ...] = ()


NOTHING = Known()


@dataclass(frozen=True, slots=True)
class AdDraft:
    """Ads as columns, with what the model sees of them; creatives go straight to disk."""

    columns: AdColumns
    encoded: NDArray[np.int32]
    """[N, width(AD_FIELDS)] of ranking.features.encode_ads."""
    offset: NDArray[np.int64]
    """[N + 1] where each creative begins in the file."""
    sizes: tuple[tuple[int, int], ...]
    category: dict[str, set[int]]
    """IAB category -> rows of line items that have an ad of it."""
    items: LineItems
    labels: Labels
    capped: Capped

    @classmethod
    def read(
        cls,
        connection: Connection,
        items: LineItems,
        creatives: BinaryIO,
        progress: Progress = silent,
        known: Known = NOTHING,
        only: Sequence[int] | None = None,
    ) -> AdDraft:
        """All ads of the line items, their bids yet to come; creatives go to the file.

        `only` are the ids of these line items, None where they are all that there are. Fills in
        their `ad_start`. ConfigError for malformed caps and too many labels.
        """
        count = reading.ad_count(connection, only)
        sizes = reading.ad_sizes(connection, only)
        new = tuple(size for size in sizes if size not in known.sizes)
        draft = cls._empty(count, (*known.sizes, *new), items, Labels(known.labels))
        mistakes: list[str] = []
        done = 0
        for rows in reading.ads(connection, only):
            part = slice(done, done + len(rows))
            draft._take(rows, part)
            draft.capped.update(capping.of_rows(Entity.AD, rows, mistakes))
            lengths = _write_creatives(rows, creatives)
            draft.offset[part.start + 1 : part.stop + 1] = draft.offset[done] + np.cumsum(lengths)
            done = part.stop
            progress("read ads", done, count)
        if mistakes:
            raise ConfigError(mistakes[: reading.MISTAKES_MOST])
        draft.labels.check()
        ends = np.searchsorted(draft.columns.line_item, np.arange(len(items.columns)), "right")
        items.columns.ad_start[1:] = ends
        return draft

    @classmethod
    def _empty(
        cls, count: int, sizes: tuple[tuple[int, int], ...], items: LineItems, labels: Labels
    ) -> AdDraft:
        columns = AdColumns(
            ad_id=np.zeros(count, np.int64),
            line_item=np.zeros(count, np.int32),
            campaign=np.zeros(count, np.int32),
            advertiser=np.zeros(count, np.int32),
            creative=np.arange(count, dtype=np.int32),
            size=np.zeros(count, np.int16),
            attributes=np.zeros(count, np.uint32),
            secure=np.zeros(count, np.uint8),
            bid_micros=np.zeros(count, np.int64),
            per_click=np.zeros(count, np.bool_),
            labels=np.zeros(count, np.uint64),
            active=np.zeros(count, np.bool_),
        )
        encoded = np.zeros((count, width(AD_FIELDS)), np.int32)
        offset = np.zeros(count + 1, np.int64)
        return cls(columns, encoded, offset, sizes, defaultdict(set), items, labels, {})

    def _take(self, rows: Sequence[Row[Any]], part: slice) -> None:
        columns, items = self.columns, self.items
        size_row = {size: row for row, size in enumerate(self.sizes)}
        ids = np.array([row.line_item_id for row in rows], np.int64)
        owner = np.searchsorted(items.columns.line_item_id, ids)
        columns.ad_id[part] = [row.id for row in rows]
        columns.line_item[part] = owner
        columns.campaign[part] = items.columns.campaign[owner]
        columns.advertiser[part] = items.columns.advertiser[owner]
        columns.size[part] = [size_row[row.width, row.height] for row in rows]
        columns.attributes[part] = [_bits(row.attributes) for row in rows]
        columns.secure[part] = [row.secure for row in rows]
        columns.per_click[part] = per_click(items.columns)[owner]
        columns.labels[part] = self.labels.bits(
            (items.labels[line_item] for line_item in owner), (row.category for row in rows)
        )
        columns.active[part] = [row.status == reading.ACTIVE for row in rows]
        for row, line_item in zip(rows, owner.tolist(), strict=True):
            self.category[row.category].add(line_item)
        self.encoded[part] = encode_ads(self._fields(rows, part))

    def _fields(self, rows: Sequence[Row[Any]], part: slice) -> AdFields:
        columns = self.columns
        return AdFields(
            ad=columns.ad_id[part],
            campaign=columns.campaign[part].astype(np.int64),
            advertiser=columns.advertiser[part].astype(np.int64),
            per_click=columns.per_click[part],
            category=[row.category for row in rows],
            size=[(row.width, row.height) for row in rows],
            words=[words_of(f"{row.title} {(row.params or {}).get('call', '')}") for row in rows],
        )


def _bits(attributes: Sequence[int]) -> int:
    """AdCOM attributes as bits; those past 32 are not in the list that we honour."""
    bits = 0
    for attribute in attributes:
        if 1 <= attribute <= 32:
            bits |= 1 << (attribute - 1)
    return bits


def _write_creatives(rows: Sequence[Row[Any]], file: BinaryIO) -> list[int]:
    """Appends what the page needs of each ad; gives their lengths."""
    encoded = [msgspec.msgpack.encode(_stored(row)) for row in rows]
    file.write(b"".join(encoded))
    return [len(one) for one in encoded]


def _stored(row: Row[Any]) -> StoredCreative:
    return StoredCreative(
        title=row.title,
        category=row.category,
        landing_url=row.landing_url,
        language=row.language,
        template=row.template_id or 0,
        params=row.params or {},
        markup=row.markup or "",
    )
