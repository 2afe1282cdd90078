"""What a model was trained on, as histograms by hour: what later hours are compared with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feedback.drift.bins import Bins, learn
from feedback.drift.columns import columns
from feedback.drift.hours import Hours, summed
from feedback.drift.measures import psi, shares
from ranking.dataset import Impressions

NAME = "drift_reference.npz"
"""Of the file in a run's and a model version's folder."""
AXES = 16
"""Principal axes that request vectors are watched along."""
LEAST_VARIANCE = 1e-4
"""Of an axis, as a share of the first one's."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reference:
    bins: Bins
    hours: Hours
    weight: Floats
    """[F] what each feature tells of clicks: the PSI between clicked and all impressions (its
    information value)."""
    axes: NDArray[np.float32]
    """[V, P] unit vectors that request vectors are projected on; [0, 0] without any."""

    def observe(
        self,
        table: Impressions,
        score: NDArray[np.floating],
        vector: NDArray[np.floating] | None = None,
    ) -> Hours:
        """Later impressions, counted as the reference was; `vector` [Q, V] of the requests."""
        return summed(self.bins, table, score, None if vector is None else vector @ self.axes)

    @property
    def nothing(self) -> Hours:
        """Hours of which there are none."""
        return self.hours.where(np.zeros(len(self.hours), np.bool_))

    @property
    def fingerprint(self) -> str:
        """Of what hours are counted by: hours of different ones must not be merged."""
        parts = (self.bins.name, self.bins.start, self.bins.cut, self.bins.known, self.axes)
        return sha256(b"".join(one.tobytes() for one in parts)).hexdigest()[:16]

    def save(self, path: Path) -> None:
        parts: dict[str, Bins | Hours] = {"bins": self.bins, "hours": self.hours}
        arrays = {
            f"{part}.{field.name}": getattr(value, field.name)
            for part, value in parts.items()
            for field in fields(value)
        }
        np.savez_compressed(path, weight=self.weight, axes=self.axes, **arrays)

    @classmethod
    def load(cls, path: Path) -> Reference:
        stored = np.load(path)

        def part(name: str, kind: type[Bins] | type[Hours]) -> dict[str, NDArray[np.generic]]:
            return {field.name: stored[f"{name}.{field.name}"] for field in fields(kind)}

        bins, hours = Bins(**part("bins", Bins)), Hours(**part("hours", Hours))  # type: ignore[arg-type]
        return cls(bins, hours, stored["weight"], stored["axes"])


def reference_of(
    table: Impressions,
    score: NDArray[np.floating],
    vector: NDArray[np.floating] | None = None,
) -> Reference:
    """The reference of a training window: its impressions with their dates, the click rates [R]
    that the new model predicts of them, and its request vectors [Q, V] if it has any.

    Whole days, two at least: their differences say how much difference is usual.
    """
    watched = columns(table, score)
    bins = learn(watched, table)
    axes = _principal(vector) if vector is not None else np.empty((0, 0), np.float32)
    hours = summed(bins, table, score, None if vector is None else vector @ axes)
    return Reference(bins, hours, _telling(bins, table, score), axes)


def _telling(bins: Bins, table: Impressions, score: NDArray[np.floating]) -> Floats:
    """[F] PSI between the clicked impressions and all."""
    count = np.zeros((2, int(bins.start[-1])))
    for feature, column in enumerate(columns(table, score)):
        values = column.values[table.of] if column.of_requests else column.values
        place = bins.place(feature, values)
        count[0] += np.bincount(place, minlength=count.shape[1])
        count[1] += np.bincount(place, table.click, count.shape[1])
    return psi(shares(count[1], bins.start), shares(count[0], bins.start), bins.start)


def _principal(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    """[V, P] the directions in which the vectors differ most; none in which they hardly do, where
    rounding would count as movement."""
    centred = vector - vector.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    kept = np.argsort(-values, kind="stable")[:AXES]
    kept = kept[values[kept] > LEAST_VARIANCE * values[kept[0]]]
    return np.ascontiguousarray(directions[:, kept], np.float32)
