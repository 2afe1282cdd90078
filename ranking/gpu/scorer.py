"""The click model on a GPU: what `ranking.int8.LocalScorer` is on a CPU, with the same scores.

The newest two snapshots lie ready beside each other, so that requests go on with the one that they
began with while a new one comes in.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ranking.gpu.batch import SIZES, Layout, Size, parts
from ranking.gpu.launch import Launch, Want
from ranking.gpu.network import Model
from ranking.gpu.record import Columns
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.tiling import USUAL, Tiling
from ranking.scorer import Pairs, Refused

Floats = NDArray[np.float32]
TABLES = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How the device is used."""

    device: torch.device
    tiling: Tiling = USUAL
    sizes: tuple[Size, ...] = SIZES
    """Ascending; each has buffers and a graph of its own for each snapshot."""
    want: Want = field(default_factory=Want)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    ads: Ads
    launches: tuple[Launch, ...]


class GpuScorer:
    """One model's scores of pairs; for one thread, but `add` may run on another meanwhile."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self._constants = Constants.of(model, settings.device)
        self._snapshots: dict[int, _Snapshot] = {}
        cuda = settings.device.type == "cuda"
        # a table that comes in does not stand in the way of requests
        self._serving, self._loading = (
            torch.cuda.Stream(settings.device) if cuda else None  # type: ignore[no-untyped-call]
            for _ in range(2)
        )

    @property
    def versions(self) -> list[int]:
        """Snapshots that can be scored."""
        return sorted(self._snapshots)

    def add(self, version: int, table: Columns) -> None:
        """Let pairs of this snapshot be scored: returns when it can be, at full speed.

        The oldest beyond two is forgotten. Memory for a third is taken while it comes in.
        """
        if table.model != self.model.tables:
            raise Refused(f"the ad table of snapshot {version} was built by another model")
        with _on(self._loading):
            ads = Ads.of(table, self.model.network.scale, self.settings.device)
            made = _Snapshot(ads, tuple(self._launches(ads)))
        kept = sorted({**self._snapshots, version: made})[-TABLES:]
        self._snapshots = {
            one: made if one == version else self._snapshots[one] for one in kept
        }  # at once: a reader has the old or the new

    def score(self, pairs: Pairs) -> Floats:
        """Log-odds f32[R] before the slot's share, as `LocalScorer.score`; NaN for no ad's row."""
        return self.rates(pairs)[0]

    def rates(
        self, pairs: Pairs, added: Floats | None = None
    ) -> tuple[Floats, NDArray[np.int32] | None]:
        """Log-odds as `score`, and click rates i32[R] in millionths where settings want them.

        `added` f32[R] (the slot's share, counts) enters the rates and not the log-odds.
        """
        snapshot = self._snapshots.get(pairs.version)
        if snapshot is None:
            raise Refused(f"snapshot {pairs.version} is not loaded, {self.versions} are")
        want, count = self.settings.want, len(pairs.ad)
        logit = np.empty(count, np.float32)
        ppm = np.empty(count, np.int32) if want.calibrated else None
        for rows, part in parts(pairs, self.settings.sizes[-1]):
            launch = next(one for one in snapshot.launches if one.layout.size.holds(part))
            own = added[rows] if want.added and added is not None else None
            with _on(self._serving):
                logit[rows], found = launch.score(part, own)
            if ppm is not None and found is not None:
                ppm[rows] = found
        return logit, ppm

    def _launches(self, ads: Ads) -> list[Launch]:
        settings, dim = self.settings, self._constants.dim
        return [
            Launch(
                self._constants,
                ads,
                Layout(size, settings.tiling.block, dim),
                settings.tiling,
                settings.want,
            )
            for size in settings.sizes
        ]


def _on(stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
    """Where what follows is queued."""
    return torch.cuda.stream(stream) if stream is not None else nullcontext()
