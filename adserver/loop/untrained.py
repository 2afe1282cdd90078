"""The model that a run begins with: it has seen nothing and takes all ads for equally good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ranking import reference
from ranking.bundle import FILES, S8S8
from ranking.calibration import Calibration
from ranking.export import write_files
from ranking.features import AD_FIELDS, FEATURE_SCHEMA, REQUEST_FIELDS, Field, width
from ranking.live import Live
from ranking.manifest import write_manifest
from ranking.model import ClickModel, Shape, arrays
from ranking.training.fallback import nothing

Weights = dict[str, NDArray[np.float32]]
SILENT = ("request.w2", "request.b2", "ad.w2", "ad.b2", "count.w2")
"""With these at zero, vectors, biases and counts add nothing: every pair's log-odds are equal."""


def write_untrained(folder: Path, rate: float, seed: int) -> None:
    """A version's files, its manifest last, that expect `rate` clicks of every impression.

    No gate has passed it: there is nothing yet to be better or worse than.
    """
    folder.mkdir(parents=True)
    weights = _weights(rate, seed)
    beside = nothing(rate, weights)
    write_files(folder, weights, _hidden(weights), Calibration.plain(), beside)
    about = {
        "name": "ctr_ranker",
        "version": 1,
        "feature_schema": FEATURE_SCHEMA,
        "lineage": {"run": "untrained"},
        "seed": seed,
        "window": {"requests": 0, "impressions": 0},
        "click_rate": rate,
        "request_width": width(REQUEST_FIELDS),
        "metrics": {},
    }
    write_manifest(folder, about, (*FILES, S8S8))


def _weights(rate: float, seed: int) -> Weights:
    torch.manual_seed(seed)
    weights = arrays(ClickModel(Shape(), _nobody(REQUEST_FIELDS), _nobody(AD_FIELDS)))
    for name in SILENT:
        weights[name][...] = 0.0
    says = reference.network(weights, _hidden(weights))[0]
    weights["ad.b2"][-1] = _odds(rate) - says
    return weights


def _nobody(fields: Sequence[Field]) -> Live:
    """Live rows of no data: all tables are zeros."""
    return Live.of(fields, np.zeros((1, width(fields)), np.int32))


def _hidden(weights: Weights) -> NDArray[np.float32]:
    """[1, H] what the first layer makes of any pair."""
    nothing = np.zeros((1, len(weights["first.ad"])), np.float32)
    return reference.first_layer(weights, nothing, nothing)


def _odds(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))
