"""The fallback model: logistic regression, microseconds per request, no other process needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ranking.features import REQUEST_FIELDS, encoded_topic
from ranking.kernels import add_logistic, owners
from ranking.scorer import Pairs

if TYPE_CHECKING:
    from ranking.table import AdTable


@dataclass(frozen=True, slots=True)
class LogisticWeights:
    """log-odds = intercept + Σ request + Σ ad + cross[page topic, ad topic] + counts · count."""

    intercept: float
    request: NDArray[np.float32]
    ad: NDArray[np.float32]
    cross: NDArray[np.float32]
    """[TOPICS, TOPICS]"""
    count: NDArray[np.float32]
    """[COUNTS] weights of the running counts."""

    def save(self, path: Path) -> None:
        np.savez_compressed(
            path,
            intercept=self.intercept,
            request=self.request.astype(np.float16),
            ad=self.ad.astype(np.float16),
            cross=self.cross,
            count=self.count,
        )

    @classmethod
    def load(cls, path: Path) -> LogisticWeights:
        stored = np.load(path)
        names = ("request", "ad", "cross", "count")
        return cls(float(stored["intercept"]), *(stored[name].astype(np.float32) for name in names))


@dataclass(frozen=True, slots=True)
class LogisticScorer:
    """Scores on the full model's scale: before what slot and counts add, and calibration."""

    weights: LogisticWeights

    def score(
        self, request: NDArray[np.int32], pairs: Pairs, table: AdTable
    ) -> NDArray[np.float32]:
        """Log-odds f32[R] of encoded requests i32[B, W] and their pairs; reads no vector."""
        own = self.weights.request[request].sum(axis=1, dtype=np.float32)
        own += np.float32(self.weights.intercept)
        logit = np.empty(len(pairs.ad), np.float32)
        add_logistic(
            own,
            encoded_topic(REQUEST_FIELDS, request),
            self.weights.cross,
            table.logistic,
            table.topic,
            pairs.ad,
            owners(pairs.offset),
            logit,
        )
        return logit
