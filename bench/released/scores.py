"""Whether each logged click rate is what the model that its decision names gives these features.

From the feature log, the event log and the models' files alone: encoded request, ad, slot and
counts of a row go through one version's tables, network and calibration from end to end. A rate
that no single version gives is a mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adserver.eventlog import read as read_events
from adserver.features.log import read as read_features
from adserver.features.rows import matrix
from adserver.records import DecisionRecord
from adserver.releases.registry import Registry
from ranking.bundle import Bundle
from ranking.int8 import LocalScorer
from ranking.scorer import FALLBACK, Pairs
from ranking.table import AdTable

RELATIVE, ABSOLUTE = 1e-3, 2e-6
"""Two machines' floats and the rounding to millionths differ by less."""
CHUNK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Scored:
    """What was compared, and what came of it."""

    rows: int
    mixtures: int
    """Rates that the named model does not give, or names that the two logs disagree on."""
    told_apart: float
    """Share of the rows whose rate another version would visibly not have given."""
    by_model: dict[str, int]
    degraded: int
    """Rows of the fallback model, which are not compared."""


def scored(data: Path, registry: Registry) -> Scored:
    """All sold slots in the logs under `data`."""
    table = read_features(data / "features")
    full = table.filter(table["quality"].to_numpy() < FALLBACK)
    model, rate = full["model"].to_numpy(), full["pctr"].to_numpy()
    versions = sorted(set(model.tolist()))
    by = {version: rates(Bundle.load(registry.folder(version)), full) for version in versions}
    own = np.select([model == version for version in versions], list(by.values()), np.nan)
    others = [
        _differs(by[version], rate) | (model == version) for version in versions if len(by) > 1
    ]
    wrong = _differs(own, rate) | (_named(data, full["decision"].to_numpy()) != model)
    return Scored(
        rows=len(full),
        mixtures=int(wrong.sum()),
        told_apart=float(np.mean(np.logical_and.reduce(others))) if others else 0.0,
        by_model={str(version): int((model == version).sum()) for version in versions},
        degraded=len(table) - len(full),
    )


def _differs(rate: NDArray[Any], logged: NDArray[Any]) -> NDArray[np.bool_]:
    same = np.isclose(rate, logged, rtol=RELATIVE, atol=ABSOLUTE)
    return np.asarray(~same, np.bool_)


def _named(data: Path, decisions: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The version that the event log names of each decision; 0 where it has none."""
    named = {
        int(record.id, 16): int(record.model.rpartition("/")[2])
        for record in read_events(data / "events")
        if isinstance(record, DecisionRecord) and record.model
    }
    return np.array([named.get(one, 0) for one in decisions.tolist()], np.int64)


def rates(bundle: Bundle, table: Any) -> NDArray[np.float32]:
    """[n] click rates that one model gives the logged rows."""
    parts = [_rates(bundle, table.slice(at, CHUNK)) for at in range(0, len(table), CHUNK)]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _rates(bundle: Bundle, table: Any) -> NDArray[np.float32]:
    request, ads, slot, counts = (
        matrix(table[name], name) for name in ("request", "ads", "slot_ids", "counts")
    )
    scorer = LocalScorer(bundle)
    scorer.add(1, AdTable.build(bundle, ads))
    vector, bias = bundle.towers.request(request)
    each = np.arange(len(table) + 1, dtype=np.int32)
    logit = scorer.score(Pairs(1, vector, bias, each[:-1], each))
    return bundle.calibration(logit + bundle.towers.slot_bias(slot) + bundle.count(counts))
