"""Recorded pages scored again by another model, from what the one that decided was given.

Requests, slots and counts are those of the record; ads are encoded as the current snapshot has
them, which changes for an ad with its line item only. Knows nothing of what is made of the rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from adserver.catalogue.snapshot import Snapshot
from adserver.catalogue.tables import add_tables, check_schema, verify_tables
from adserver.settings import Settings
from ranking.bundle import Bundle
from ranking.counts import COUNTS
from ranking.features import REQUEST_FIELDS, width
from ranking.int8 import LocalScorers
from ranking.scorer import Pairs
from ranking.table import AdTable


@dataclass(frozen=True, slots=True)
class OtherModel:
    """One version of the click model and the ads of the current snapshot."""

    bundle: Bundle
    scorer: LocalScorers
    snapshot: int
    ad_id: NDArray[np.int64]
    """[N] catalogue ids, ascending,"""
    row: NDArray[np.int64]
    """[N] and their rows in the snapshot."""

    @classmethod
    def open(cls, settings: Settings, version: int) -> OtherModel:
        """RegistryError, BundleError or SnapshotError where it cannot score this catalogue."""
        bundle = Bundle.load(settings.registry.folder(version))
        snapshot = Snapshot.load(settings.snapshots)
        check_schema(snapshot)
        add_tables(snapshot.folder, bundle)
        table = AdTable.load(verify_tables(snapshot.folder, bundle) / "ranker")
        scorer = LocalScorers()
        scorer.add(bundle, snapshot.version, table)
        order = np.argsort(snapshot.ads.ad_id)
        return cls(bundle, scorer, snapshot.version, snapshot.ads.ad_id[order], order)

    def rates(self, page: AuctionRecord) -> NDArray[np.int64] | None:
        """[R, S] millionths on one page; None where the record does not say enough, is of another
        feature schema, or has an ad that is gone."""
        context, rows = page.context, self._rows(page.notes.ad_id)
        ppm = page.bids.pctr_ppm.copy()
        if not len(ppm):
            return ppm
        if context is None or rows is None:
            return None
        if context.features.shape[1] != width(REQUEST_FIELDS):
            return None
        towers, slots = self.bundle.towers, len(page.slots.floor_micros)
        vector, bias = towers.request(context.features)
        ends = np.array([0, len(rows)], np.int32)
        pairs = Pairs(self.snapshot, vector, bias, rows, ends, self.bundle.version)
        counts = context.counts.reshape(len(rows), -1, COUNTS)[:, :slots]
        odds = self.scorer.score(pairs)[:, None] + towers.slot_bias(context.slot_ids)[None, :]
        odds = (odds + self.bundle.count(counts)).astype(np.float32)
        ppm[:, :slots] = self.bundle.calibration.ppm(odds)
        return ppm

    def _rows(self, ad_id: NDArray[np.int64]) -> NDArray[np.int32] | None:
        place = np.minimum(np.searchsorted(self.ad_id, ad_id), len(self.ad_id) - 1)
        if not (self.ad_id[place] == ad_id).all():
            return None
        found: NDArray[Any] = self.row[place].astype(np.int32)
        return found
