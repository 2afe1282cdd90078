"""Opens snapshots for models, and introduces these editions to the scorer before they serve."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue import schema
from adserver.catalogue.capping import read_caps
from adserver.catalogue.overlay import Overlay
from adserver.catalogue.snapshot import Snapshot
from adserver.catalogue.tables import add_tables, check_schema, verify_tables
from adserver.deadline import monotonic
from adserver.edition import Edition
from adserver.money import Drawer
from adserver.seen import Shelf
from adserver.settings import Settings
from ranking.bundle import Bundle
from ranking.features import RequestFields, encode_requests
from ranking.int8 import LocalScorers
from ranking.scorer import InProcess, Pairs, RankerError, Scorer
from ranking.table import AdTable
from ranking.triton import TritonScorer
from retrieval.calibration import calibrate
from retrieval.planner import Retriever
from retrieval.settings import RetrievalSettings
from retrieval.targeting import TargetingIndex
from retrieval.vectors import AdVectors

INTRODUCE_S = 5.0
"""A scorer may take this long to open a new snapshot's table; then it is served all the same,
by the fallback model until the table is there."""
COUNTRIES = ("USA", "DEU", "IND", "BRA", "JPN")
HOURS = (3, 11, 19)


class Editions:
    """The scorer, its models, and the editions opened for them. One per worker."""

    def __init__(self, settings: Settings) -> None:
        """Call inside the event loop: the connection to Triton belongs to it."""
        self.settings = settings
        self.registry = settings.registry
        self._bundles: dict[int, Bundle] = {}
        self._database = schema.connect(settings.database)
        self._local = LocalScorers() if settings.scorer == "local" else None
        self.scorer: Scorer = (
            InProcess(self._local)
            if self._local
            else TritonScorer(settings.triton_url, settings.candidates)
        )

    def open(self, now_s: float, version: int | None = None, verify: bool = True) -> Edition:
        """The current snapshot for a model, that in production if none is named.

        Without `verify` of files only their lengths are checked: reading all of them is most of
        what opening costs, and those of this machine that were made since it was started are as
        they were written.

        Slow, so off the event loop once requests are served; slower where the model's tables are
        not there yet. BundleError, ConfigError or SnapshotError where they do not fit together.
        """
        snapshot = Snapshot.load(self.settings.snapshots, verify)
        shelf = Shelf.of(snapshot, read_caps(self.settings.user_caps))
        model = version or self.registry.traffic().production
        return self._opened(snapshot, shelf, model, now_s, verify)

    def beside(self, edition: Edition, version: int, now_s: float) -> Edition:
        """The same snapshot for another model."""
        return self._opened(edition.snapshot, edition.shelf, version, now_s)

    def bundle(self, version: int) -> Bundle:
        """One released model; BundleError where it is not whole or has another schema."""
        known = self._bundles.get(version)
        if known is None:
            known = self._bundles[version] = Bundle.load(self.registry.folder(version))
        return known

    def keep(self, versions: Collection[int]) -> None:
        """Forget all other models."""
        self._bundles = {one: self._bundles[one] for one in self._bundles if one in versions}
        if self._local:
            self._local.keep(versions)

    def _opened(
        self, snapshot: Snapshot, shelf: Shelf, version: int, now_s: float, verify: bool = True
    ) -> Edition:
        bundle, ads = self.bundle(version), snapshot.ads
        check_schema(snapshot)
        add_tables(snapshot.folder, bundle)
        folder = verify_tables(snapshot.folder, bundle, verify)
        table = AdTable.load(folder / "ranker")
        index = TargetingIndex.load(snapshot.folder / "targeting")
        retriever = Retriever(
            index,
            AdVectors.load(folder / "vectors"),
            snapshot.line_items.ad_start,
            ads.size,
            ads.attributes,
            ads.secure,
            RetrievalSettings(self.settings.candidates),
        )
        viewability = self.settings.viewability_ppm
        overlay = Overlay(snapshot, self._database, now_s, viewability, table.bias)
        calibrate(retriever, overlay.live, monotonic, _typical_vectors(bundle))
        retriever.retrieve([], overlay.live, self.settings.candidates)  # what it makes once
        return Edition(snapshot, index, retriever, overlay, bundle, table, shelf)

    async def introduce(self, edition: Edition) -> str:
        """Have the scorer load the edition's table before requests depend on it; why it has not,
        or nothing."""
        bundle = edition.bundle
        if self._local:
            self._local.add(bundle, edition.version, edition.table)
        none = np.zeros((1, bundle.first.request.shape[0]), np.float32)
        rows = self.settings.candidates  # as many as in earnest, from all over the table
        ad = np.linspace(0, len(edition.table) - 1, rows).astype(np.int32)
        ends = np.array([0, rows], np.int32)
        pairs = Pairs(edition.version, none, none[:, 0], ad, ends, bundle.version)
        try:
            await self.scorer.score(pairs, INTRODUCE_S)
        except RankerError as error:
            return f"{type(error).__name__}: {error}"
        return ""


def _typical_vectors(bundle: Bundle) -> NDArray[np.float32]:
    """Of plain requests from a few countries, for timing the retrieval plans."""
    fields = [RequestFields(country=country, hour=hour) for country in COUNTRIES for hour in HOURS]
    vectors: NDArray[np.float32] = bundle.towers.request(encode_requests(fields))[0]
    return vectors


def refresh(edition: Edition, drawer: Drawer, now_s: float) -> None:
    """Apply what changed in the catalogue's database, and the money that is left."""
    overlay = edition.overlay
    limits = overlay.limits
    overlay.refresh(now_s, drawer.remaining)
    if overlay.limits is not limits:
        set_limits(edition, drawer, now_s)
        overlay.refresh(now_s, drawer.remaining)


def set_limits(edition: Edition, drawer: Drawer, now_s: float) -> None:
    """Tell the books what may be spent; every id of the edition is an account from now on."""
    limits = edition.overlay.limits
    drawer.limit(limits.account, limits.daily_micros, limits.lifetime_micros, now_s)
