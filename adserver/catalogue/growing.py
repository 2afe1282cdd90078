"""Makes the next snapshot of the last one and of what is new: new ads serve within seconds.

A line item is the unit: those of which something changed that only a build takes up are read anew
with all their ads, everything else is copied. What `operations` did not note, such as a row that
somebody has deleted by hand, is found by a whole build only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from io import BytesIO
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from adserver.catalogue import reading, schema, small_tables
from adserver.catalogue.ads import AdDraft, Known
from adserver.catalogue.columns import (
    AdColumns,
    AdvertiserColumns,
    CampaignColumns,
    LineItemColumns,
    Names,
)
from adserver.catalogue.contents import Contents
from adserver.catalogue.indexed import Told
from adserver.catalogue.market import Market
from adserver.catalogue.publishing import Draft, only_builder
from adserver.catalogue.reading import LineItems, Owners, Stray
from adserver.catalogue.snapshot import CREATIVES, ENCODED, MANIFEST, OFFSETS, Snapshot
from adserver.catalogue.splice import Splice
from adserver.catalogue.tables import add_tables, are_there, facts_of, grow_tables
from adserver.catalogue.terms import Changed, Terms, changed_rows, changes_since, place_of
from auction.caps import Caps, Entity
from ranking.bundle import Bundle
from ranking.features import FEATURE_SCHEMA
from ranking.table import table_folder
from retrieval import indexing
from retrieval.graph import FILE as GRAPH
from retrieval.targeting import TargetingIndex

MOST: Final = 0.25
"""Of the line items; where more are read anew, a whole build is as quick."""
LABELS: Final = "labels.json"
Columns = TypeVar("Columns", AdvertiserColumns, CampaignColumns, LineItemColumns)
Rows = NDArray[np.intp]


class CannotGrow(Exception):
    """A whole build is needed; says why."""


def waits(connection: Connection, revision: int) -> bool:
    """Whether anything has come since that only a build takes up."""
    change = schema.change.c
    newer = select(change.revision).where(
        change.revision > revision, change.kind.like(f"{schema.NEW}%")
    )
    return connection.execute(newer.limit(1)).first() is not None


def grow_snapshot(database_url: str, root: Path, models: Sequence[Path], now: float) -> int | None:
    """Publish the last snapshot with what waits, for all models; its version, None if nothing does.

    CannotGrow where the last snapshot does not allow it, ConfigError and BundleError as
    `build_snapshot`; then nothing is published.
    """
    bundles = [Bundle.load(folder) for folder in models]
    engine = schema.connect(database_url)
    try:
        with only_builder(root), schema.one_state(engine) as connection:
            old = Snapshot.load(root, verify=False)
            if not waits(connection, old.manifest.revision):
                return None
            _check(old, bundles[0])
            return _grow(connection, old, Draft.begin(root), bundles, now)
    finally:
        engine.dispose()


def _check(old: Snapshot, bundle: Bundle) -> None:
    """CannotGrow where the old snapshot lacks what a new one is made of."""
    if old.manifest.feature_schema != FEATURE_SCHEMA or not (old.folder / LABELS).exists():
        raise CannotGrow("the last snapshot was built by an earlier version")
    if not are_there(old.folder, bundle):
        raise CannotGrow("the last snapshot has no tables for the model")
    if (_tables(old.folder, bundle) / "vectors" / GRAPH).exists():
        raise CannotGrow("the last snapshot has a graph, whose ads have fixed places")


def _grow(
    connection: Connection, old: Snapshot, draft: Draft, bundles: Sequence[Bundle], now: float
) -> int:
    grown = Grown.read(connection, old)
    grown.contents.save(draft.folder)
    grown.save_ads(draft.folder)
    grown.add_tables(draft.folder, bundles[0])
    draft.seal(now, reading.current_revision(connection), grown.contents.counts, bundles[0])
    for other in bundles[1:]:
        if are_there(old.folder, other) and not are_there(draft.folder, other):
            folder = _tables(draft.folder, other)
            grown.add_tables(folder, other)
            (folder / MANIFEST).write_bytes(msgspec.json.encode(facts_of(folder)))
        add_tables(draft.folder, other)
    return draft.publish()


def _tables(snapshot: Path, bundle: Bundle) -> Path:
    return table_folder(snapshot, bundle.tables_sha256).parent


@dataclass(frozen=True, slots=True)
class Grown:
    """The old snapshot, what has been read anew, and what both make together."""

    old: Snapshot
    fresh: AdDraft
    creatives: bytes
    """Of the fresh ads."""
    splice: Splice
    contents: Contents

    @classmethod
    def read(cls, connection: Connection, old: Snapshot) -> Grown:
        """CannotGrow where rows are gone, or where there is too much to read."""
        changed = changes_since(connection, old.manifest.revision)
        now = Terms(old.line_items, old.campaigns, old.advertisers, Market.of(old.market))
        now = now.after(connection, changed)
        owners = _owners(connection, changed, old.names)
        campaigns, _ = merged(now.campaigns, owners.campaigns, "campaign_id")
        names = Names(
            {**old.names.advertiser, **owners.names.advertiser},
            {**old.names.campaign, **owners.names.campaign},
        )
        touched = _touched(connection, changed, len(old.line_items))
        items = _line_items(connection, campaigns, names, touched)
        file = BytesIO()
        known = Known(old.sizes, tuple(msgspec.json.decode((old.folder / LABELS).read_bytes())))
        fresh = AdDraft.read(connection, items, file, known=known, only=touched)
        line_items, place = merged(now.items, items.columns, "line_item_id")
        splice = Splice.of(old.line_items.ad_start, items.columns.ad_start, place)
        told = Told.of(fresh, names.advertiser, place.astype(np.int32))
        index = TargetingIndex.load(old.folder / "targeting")
        contents = Contents(
            advertisers=merged(now.advertisers, owners.advertisers, "advertiser_id")[0],
            campaigns=campaigns,
            names=names,
            market=small_tables.market(connection),
            placements=small_tables.placements(connection),
            templates=small_tables.templates(connection),
            line_items=replace(line_items, ad_start=splice.start),
            ads=_ads(connection, changed, old.ads, fresh.columns, splice),
            sizes=fresh.sizes,
            labels=fresh.labels.names,
            caps=_caps(old, owners, fresh, place),
            index=indexing.grow(index, len(line_items), place.astype(np.int32), *told),
        )
        contents.set_bids()
        return cls(old, fresh, file.getvalue(), splice, contents)

    def add_tables(self, folder: Path, bundle: Bundle) -> None:
        old = _tables(self.old.folder, bundle)
        grow_tables(folder, old, bundle, self.splice, self.fresh.columns, self.fresh.encoded)

    def save_ads(self, folder: Path) -> None:
        """As they are encoded, and their creatives."""
        old, offset = self.old, self.fresh.offset
        self.splice.save(old.folder / ENCODED, self.fresh.encoded, folder)
        lengths = self.splice.rows(np.diff(old.creative_offset), np.diff(offset))
        np.save(folder / OFFSETS, np.concatenate([[0], np.cumsum(lengths)]))
        with (folder / CREATIVES).open("wb") as file:
            for fresh, begin, end in self.splice.runs:
                if fresh:
                    file.write(self.creatives[int(offset[begin]) : int(offset[end])])
                else:
                    file.write(old.stored(begin, end))


def _owners(connection: Connection, changed: Changed, names: Names) -> Owners:
    """Advertisers and campaigns that are new or have other caps."""
    advertisers, campaigns = (
        sorted(changed.get(f"{schema.NEW}{level}", ())) for level in ("advertiser", "campaign")
    )
    owners = reading.owners(connection, (advertisers, campaigns))
    for number, owner in owners.names.advertiser.items():
        if number in names.advertiser and names.advertiser[number].domain != owner.domain:
            raise CannotGrow(f"advertiser {number} has another domain, as have its line items")
    return owners


def _touched(connection: Connection, changed: Changed, line_items: int) -> list[int]:
    """Ids of the line items to read anew, ascending."""
    touched = set(changed.get(f"{schema.NEW}line_item", ()))
    ads = {schema.ad.name: changed.get(f"{schema.NEW}ad", [])}
    touched |= {row.line_item_id for row in changed_rows(connection, schema.ad, ads)}
    if len(touched) > max(MOST * line_items, reading.ROWS):
        raise CannotGrow(f"{len(touched)} of {line_items} line items have changed")
    return sorted(touched)


def _line_items(
    connection: Connection, campaigns: CampaignColumns, names: Names, touched: list[int]
) -> LineItems:
    """CannotGrow where something that belongs together is not all there."""
    try:
        items = reading.line_items(connection, campaigns, touched)
    except Stray as error:
        raise CannotGrow(f"{error}: it was not noted") from error
    if len(items.columns) < len(touched):
        raise CannotGrow("line items are gone")
    strangers = set(items.columns.advertiser.tolist()) - names.advertiser.keys()
    if strangers:
        raise CannotGrow(f"advertiser {min(strangers)} was not noted")
    return items


def merged(old: Columns, fresh: Columns, key: str) -> tuple[Columns, Rows]:
    """Columns in the order of their ids, with the fresh rows instead of old ones or after them; and
    the row of each fresh one. CannotGrow where one belongs between. Ads stay to be counted."""
    ids, new = getattr(old, key), getattr(fresh, key)
    place = np.searchsorted(ids, new)
    added = place == len(ids)
    if (ids[place[~added]] != new[~added]).any():
        raise CannotGrow(f"{key}: some new ones are lower than those there were")
    place[added] = len(ids) + np.arange(added.sum())
    columns = {one.name: getattr(old, one.name).copy() for one in fields(old)}
    for name, column in columns.items():
        if len(column) == len(ids):
            more = getattr(fresh, name)
            columns[name] = np.concatenate([column, np.zeros(added.sum(), column.dtype)])
            columns[name][place] = more
    return type(old)(**columns), place


def _ads(
    connection: Connection, changed: Changed, old: AdColumns, fresh: AdColumns, splice: Splice
) -> AdColumns:
    """With today's pauses; what they bid is not known yet."""
    columns = {
        one.name: splice.rows(getattr(old, one.name), getattr(fresh, one.name))
        for one in fields(AdColumns)
    }
    rows = np.arange(len(splice.start) - 1, dtype=np.int32)
    columns["line_item"] = np.repeat(rows, np.diff(splice.start))
    columns["creative"] = np.arange(splice.start[-1], dtype=np.int32)
    order = np.argsort(columns["ad_id"], kind="stable")
    for row in changed_rows(connection, schema.ad, changed):
        place = place_of(columns["ad_id"], row.id, order)
        if place is not None:
            columns["active"][place] = row.status == reading.ACTIVE
    return AdColumns(**columns)


def _caps(old: Snapshot, owners: Owners, fresh: AdDraft, place: Rows) -> Caps:
    """Of whom has been read anew, what it says now."""
    stated = old.caps.stated()
    start = old.line_items.ad_start
    before = [range(start[row], start[row + 1]) for row in place if row < len(start) - 1]
    ads = {int(old.ads.ad_id[ad]) for part in before for ad in part}
    read: dict[Entity, set[int]] = {
        Entity.AD: ads,
        Entity.LINE_ITEM: set(fresh.items.columns.line_item_id.tolist()),
        Entity.CAMPAIGN: set(owners.campaigns.campaign_id.tolist()),
        Entity.ADVERTISER: set(owners.advertisers.advertiser_id.tolist()),
    }
    kept = {key: caps for key, caps in stated.items() if key[1] not in read.get(key[0], ())}
    return Caps.of(kept | owners.capped | fresh.items.capped | fresh.capped)
