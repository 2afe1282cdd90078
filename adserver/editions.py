"""Opens snapshots as editions, and introduces them to the scorer before requests are served."""

from __future__ import annotations

import numpy as np
import structlog
from numpy.typing import NDArray

from adserver.catalogue import schema
from adserver.catalogue.capping import read_caps
from adserver.catalogue.overlay import Overlay
from adserver.catalogue.snapshot import Snapshot
from adserver.deadline import monotonic
from adserver.edition import Edition
from adserver.errors import ConfigError
from adserver.money import Drawer
from adserver.seen import Shelf
from adserver.settings import Settings
from ranking.bundle import Bundle
from ranking.features import RequestFields, encode_requests
from ranking.int8 import LocalScorer
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
log = structlog.get_logger()


class Editions:
    """The bundle, the scorer, and the editions opened for them. One per worker."""

    def __init__(self, settings: Settings) -> None:
        """Call inside the event loop: the connection to Triton belongs to it."""
        self.settings = settings
        self.bundle = Bundle.load(settings.bundle)
        self._database = schema.connect(settings.database)
        self._local = LocalScorer(self.bundle) if settings.scorer == "local" else None
        self.scorer: Scorer = (
            InProcess(self._local)
            if self._local
            else TritonScorer(settings.triton_url, settings.candidates)
        )

    def open(self, now_s: float) -> Edition:
        """The current snapshot, mapped; slow, so off the event loop once requests are served."""
        snapshot = Snapshot.load(self.settings.snapshots)
        if snapshot.manifest.model.sha256 != self.bundle.tables_sha256:
            raise ConfigError(
                [f"snapshot {snapshot.version} was built with another model: catalog build"]
            )
        folder, ads = snapshot.folder, snapshot.ads
        index = TargetingIndex.load(folder / "targeting")
        retriever = Retriever(
            index,
            AdVectors.load(folder / "vectors"),
            snapshot.line_items.ad_start,
            ads.size,
            ads.attributes,
            ads.secure,
            RetrievalSettings(self.settings.candidates),
        )
        overlay = Overlay(snapshot, self._database, now_s, self.settings.viewability_ppm)
        calibrate(retriever, overlay.live, monotonic, self._typical_vectors())
        table = AdTable.load(folder / "ranker")
        shelf = Shelf.of(snapshot, read_caps(self.settings.user_caps))
        return Edition(snapshot, index, retriever, overlay, self.bundle, table, shelf)

    def _typical_vectors(self) -> NDArray[np.float32]:
        """Of plain requests from a few countries, for timing the retrieval plans."""
        fields = [
            RequestFields(country=country, hour=hour) for country in COUNTRIES for hour in HOURS
        ]
        return self.bundle.towers.request(encode_requests(fields))[0]

    async def introduce(self, edition: Edition) -> None:
        """Have the scorer load the edition's table before requests depend on it."""
        if self._local:
            self._local.add(edition.version, edition.table)
        none = np.zeros((1, self.bundle.first.request.shape[0]), np.float32)
        ends = np.array([0, 1], np.int32)
        pairs = Pairs(edition.version, none, none[:, 0], np.zeros(1, np.int32), ends)
        try:
            await self.scorer.score(pairs, INTRODUCE_S)
        except RankerError as error:
            log.warning(
                "the scorer has not loaded this snapshot", version=edition.version, why=error
            )


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
