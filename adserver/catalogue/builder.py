"""Builds a snapshot: database in, immutable folder out.

Whoever reads a snapshot never sees an unfinished one: the folder is filled under a temporary
name, renamed when whole, and only then named by CURRENT. One builder at a time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from adserver.catalogue import offers, reading, schema
from adserver.catalogue.ads import AdDraft
from adserver.catalogue.columns import (
    CampaignColumns,
    Manifest,
    MarketRows,
    ModelFact,
)
from adserver.catalogue.currency import Rates
from adserver.catalogue.reading import LineItems
from adserver.catalogue.snapshot import CURRENT, MANIFEST, current_version
from adserver.catalogue.tables import Progress, add_tables, facts_of, silent, write_tables
from adserver.errors import ConfigError
from auction.caps import Caps
from ranking.bundle import Bundle
from ranking.features import FEATURE_SCHEMA
from retrieval.targeting import TargetingIndex, Term

KEPT = 3
"""Snapshots kept. Two builds must pass before one goes, which gives its last readers the time to
open it; whoever has opened it keeps it anyhow."""


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
    root.mkdir(parents=True, exist_ok=True)
    engine = schema.connect(database_url)
    try:
        with _only_builder(root), schema.one_state(engine) as connection:
            return _build(connection, root, bundles, now, progress)
    finally:
        engine.dispose()


@contextmanager
def _only_builder(root: Path) -> Iterator[None]:
    """Waits for another builder of the same root; what a dead one left is removed."""
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_all(root.glob(".building-*"))
        yield


def _build(
    connection: Connection, root: Path, bundles: Sequence[Bundle], now: float, progress: Progress
) -> int:
    version = max(_versions(root), default=0) + 1
    folder = root / f".building-{version}"
    folder.mkdir()
    revision = reading.current_revision(connection)
    bundle = bundles[0]
    counts = _write(connection, folder, bundle, progress)
    manifest = Manifest(
        version=version,
        created=now,
        revision=revision,
        counts=counts,
        model=ModelFact("ctr_ranker", bundle.version, bundle.tables_sha256),
        feature_schema=FEATURE_SCHEMA,
        files=dict(facts_of(folder)),
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    for other in bundles[1:]:
        add_tables(folder, other, progress)
    folder.rename(root / str(version))
    publish(root, version)
    remove_old(root)
    return version


def _write(
    connection: Connection, folder: Path, bundle: Bundle, progress: Progress
) -> dict[str, int]:
    """All files but the manifest; gives how many of each thing they hold."""
    owners = reading.owners(connection)
    advertisers, campaigns = owners.advertisers, owners.campaigns
    market = reading.market(connection)
    rates = rates_for(market, campaigns)
    items = reading.line_items(connection, campaigns)
    progress("read line items", len(items.columns), len(items.columns))
    placements = reading.placements(connection)
    ads = AdDraft.read(connection, items, folder, progress)
    rate = offers.rates_of(campaigns, rates)
    owner = np.searchsorted(campaigns.campaign_id, items.columns.campaign)
    events = offers.event_rates(items.columns, offers.PRIOR_VIEWABILITY_PPM)
    bid = offers.bids(items.columns, rate[owner], events)  # the server knows better and bids anew
    ads.columns.bid_micros[:] = bid[ads.columns.line_item]

    _save_json(folder / "sizes.json", ads.sizes)
    _save_json(folder / "placements.json", placements)
    _save_json(folder / "names.json", owners.names)
    _save_json(folder / "market.json", market)
    _save_json(folder / "templates.json", reading.templates(connection))
    _save_columns(folder / "ads", ads.columns)
    _save_columns(folder / "line_items", items.columns)
    np.savez(folder / "campaigns.npz", **_by_name(campaigns))
    np.savez(folder / "advertisers.npz", **_by_name(advertisers))
    np.savez(folder / "caps.npz", **_by_name(Caps.of(owners.capped | items.capped | ads.capped)))
    _save_targeting(folder, items, ads, owners.names.advertiser)
    progress("index targeting", len(items.columns), len(items.columns))
    np.save(folder / "encoded_ads.npy", ads.features)
    write_tables(folder, bundle, ads.columns, ads.features, progress)
    return {
        "ads": len(ads.columns),
        "line_items": len(items.columns),
        "campaigns": len(campaigns.campaign_id),
        "advertisers": len(advertisers.advertiser_id),
        "placements": len(placements),
    }


def rates_for(market: MarketRows, campaigns: CampaignColumns) -> Rates:
    """The rates in force; ConfigError, naming each currency that somebody bids in without one."""
    rates = Rates(market.rates_version, market.per_usd_ppm)
    used = set(campaigns.currency.tolist())
    used |= {deal.currency for deal in market.deals} | {rule.currency for rule in market.floors}
    unknown = sorted(currency for currency in used if not rates.knows(currency))
    if unknown:
        raise ConfigError([f"rates: there is none for {currency}" for currency in unknown])
    return rates


def _save_targeting(folder: Path, items: LineItems, ads: AdDraft, owners: dict[int, Any]) -> None:
    columns = items.columns
    index = TargetingIndex.build(
        len(columns),
        (
            Term(dimension, value, np.array(rows, np.int32), exclude)
            for (dimension, value, exclude), rows in items.terms.items()
        ),
        ((category, np.array(sorted(rows), np.int32)) for category, rows in ads.category.items()),
        _own_domains(columns.advertiser, owners),
        ((key, np.array(rows, np.int32)) for key, rows in items.placements.items()),
    )
    index.save(folder / "targeting")


def _own_domains(
    advertiser: NDArray[np.int32], owners: dict[int, Any]
) -> Iterator[tuple[str, NDArray[np.int32]]]:
    order = np.argsort(advertiser, kind="stable").astype(np.int32)
    ids, start = np.unique(advertiser[order], return_index=True)
    ends = [*start[1:], len(order)][: len(start)]
    for advertiser_id, first, end in zip(ids.tolist(), start, ends, strict=True):
        yield owners[advertiser_id].domain, order[first:end]


def _save_columns(folder: Path, columns: Any) -> None:
    folder.mkdir()
    for name, column in _by_name(columns).items():
        np.save(folder / f"{name}.npy", column)


def _by_name(columns: Any) -> dict[str, Any]:
    return {one.name: getattr(columns, one.name) for one in fields(columns)}


def _save_json(file: Path, value: Any) -> None:
    file.write_bytes(msgspec.json.encode(value))


def publish(root: Path, version: int) -> None:
    """Name this version CURRENT, at once for every reader, also after a power failure."""
    draft = root / f".{CURRENT}"
    with draft.open("w") as file:
        file.write(str(version))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(root / CURRENT)
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _versions(root: Path) -> list[int]:
    return sorted(int(one.name) for one in root.iterdir() if one.name.isdigit())


def remove_old(root: Path) -> None:
    """All but the newest KEPT; never the one that CURRENT names."""
    current = current_version(root)
    _remove_all(root / str(version) for version in _versions(root)[:-KEPT] if version != current)


def _remove_all(folders: Iterator[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder)
