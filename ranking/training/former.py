"""A run that another one goes on from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranking.features import FEATURE_SCHEMA
from ranking.logistic import LogisticWeights

Weights = dict[str, NDArray[np.float32]]


UNTRAINED = "untrained"


class NotTrainable(Exception):
    """The table, the settings or the run to start from do not allow a training; says which."""


@dataclass(frozen=True, slots=True)
class Former:
    """What is continued of an earlier run."""

    name: str
    weights: Weights
    logistic: LogisticWeights
    learnt: bool
    """False of an untrained run, from which there is nothing to continue."""

    @classmethod
    def load(cls, folder: Path) -> Former:
        """NotTrainable if there is no run, or one of other features."""
        try:
            about = json.loads((folder / "checkpoint.json").read_text())
            weights = dict(np.load(folder / "weights.npz"))
            logistic = LogisticWeights.load(folder / "logistic.npz")
        except (OSError, ValueError) as error:
            raise NotTrainable(f"start: {folder} holds no run: {error}") from error
        if about["feature_schema"] != FEATURE_SCHEMA:
            raise NotTrainable(
                f"start: {folder} was made for feature schema {about['feature_schema']}, "
                f"this program encodes {FEATURE_SCHEMA}"
            )
        return cls(folder.name, weights, logistic, about.get("kind") != UNTRAINED)
