"""Builds a snapshot: the whole database in, immutable folder out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from adserver.catalogue import reading, schema, small_tables
from adserver.catalogue.ads import AdDraft
from adserver.catalogue.contents import Contents
from adserver.catalogue.indexed import Told
from adserver.catalogue.progress import Progress, silent
from adserver.catalogue.publishing import Draft, only_builder
from adserver.catalogue.snapshot import CREATIVES, ENCODED, OFFSETS
from adserver.catalogue.tables import add_tables, write_tables
from auction.caps import Caps
from ranking.bundle import Bundle
from retrieval import indexing


def build_snapshot(
    database_url: str,
    root: Path,
    bundle_folder: Path,
    now: float,
    progress: Progress = silent,
    others: Sequence[Path] = (),
) -> int:
    """Publish the catalogue as it is now and give the new version.

    `others` are models that are to serve it beside the first. ConfigError if targeting is
    malformed, BundleError if a model is not whole; then nothing is published and CURRENT stays as
    it was.
    """
    bundles = [Bundle.load(folder) for folder in (bundle_folder, *others)]
    engine = schema.connect(database_url)
    try:
        with only_builder(root), schema.one_state(engine) as connection:
            draft = Draft.begin(root)
            revision = reading.current_revision(connection)
            contents, encoded = _read(connection, draft.folder, progress)
            contents.save(draft.folder)
            np.save(draft.folder / ENCODED, encoded)
            write_tables(draft.folder, bundles[0], contents.ads, encoded, progress)
            draft.seal(now, revision, contents.counts, bundles[0])
            for other in bundles[1:]:
                add_tables(draft.folder, other, progress)
            return draft.publish()
    finally:
        engine.dispose()


def _read(
    connection: Connection, folder: Path, progress: Progress
) -> tuple[Contents, NDArray[np.int32]]:
    """Everything, with the encoded ads, but the creatives, which go straight to the folder."""
    owners = reading.owners(connection)
    items = reading.line_items(connection, owners.campaigns)
    progress("read line items", len(items.columns), len(items.columns))
    with (folder / CREATIVES).open("wb") as creatives:
        ads = AdDraft.read(connection, items, creatives, progress)
    np.save(folder / OFFSETS, ads.offset)
    count = len(items.columns)
    told = Told.of(ads, owners.names.advertiser, np.arange(count, dtype=np.int32))
    index = indexing.build(count, *told)
    progress("index targeting", count, count)
    contents = Contents(
        advertisers=owners.advertisers,
        campaigns=owners.campaigns,
        names=owners.names,
        market=small_tables.market(connection),
        placements=small_tables.placements(connection),
        templates=small_tables.templates(connection),
        line_items=items.columns,
        ads=ads.columns,
        sizes=ads.sizes,
        labels=ads.labels.names,
        caps=Caps.of(owners.capped | items.capped | ads.capped),
        index=index,
    )
    contents.set_bids()
    return contents, ads.encoded
