"""From a checkpoint to a released model: static INT8, calibration, a gate, a manifest.

The gate scores the newest impressions with the released files themselves, as serving will, and
refuses with the numbers when INT8 costs more than it may.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking import reference
from ranking.bundle import FILES, Bundle, compact
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.features import FEATURE_SCHEMA, REQUEST_FIELDS
from ranking.int8 import LocalScorer
from ranking.logistic import LogisticScorer
from ranking.metrics import Metrics, measure
from ranking.quantise import float_graph, int8_graph
from ranking.scorer import Pairs
from ranking.table import AdTable

Weights = dict[str, NDArray[np.float32]]
CALIBRATION_ROWS = 65_536
"""Pairs whose activations set the quantisation ranges."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """How much INT8 may cost. MLPerf asks for 99.9 % of the float AUC; the rest is for money."""

    auc_drop: float = 0.0005
    auc_ratio: float = 0.999
    logloss_rise: float = 0.001
    """As a share."""
    copc_change: float = 0.005
    """As a share: predicted clicks are what bids are multiplied with."""


class GateRefused(Exception):
    """The INT8 model is too far from the float one; the message has the numbers."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Both forms of one model on the same impressions, both through the same calibration map."""

    fp32: Metrics
    int8: Metrics
    fallback: Metrics


def export(
    checkpoint: Path,
    folder: Path,
    version: int = 1,
    gate: GateSettings | None = None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> dict[str, Any]:
    """Write the model files and the manifest into `folder`, or raise GateRefused and write none.

    Files of other owners in the folder (Triton's model.py) stay. Returns the manifest.
    """
    about = json.loads((checkpoint / "checkpoint.json").read_text())
    newest = Impressions.load(checkpoint / "calibration_slice.npz")
    test = Impressions.load(checkpoint / "test_slice.npz")
    weights: Weights = dict(np.load(checkpoint / "weights.npz"))
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        progress("quantise", 0.0)
        calibration = _write(made, checkpoint, weights, newest)
        progress("judge", 0.4)
        _manifest(made, version, about, None)
        judged = judge(Bundle.load(made), weights, calibration, test)
        check(judged, gate or GateSettings())
        manifest = _manifest(made, version, about, judged)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*FILES, "manifest.json"):
            shutil.copyfile(made / name, folder / name)
    progress("judge", 1.0)
    return manifest


def _write(folder: Path, checkpoint: Path, weights: Weights, newest: Impressions) -> Calibration:
    """All files but the manifest."""
    float_graph(weights, folder / "ctr_ranker_fp32.onnx")
    scale = int8_graph(
        folder / "ctr_ranker_fp32.onnx", folder / "ctr_ranker.onnx", _sample(weights, newest)
    )
    serving = {name: one for name, one in weights.items() if name.split(".")[0] not in _NETWORK}
    packed = compact(serving) | {"first.scale": np.float32(scale)}
    np.savez_compressed(folder / "towers.npz", **packed)  # type: ignore[arg-type] # stub: allow_pickle
    calibration = Calibration.fit(reference.score(weights, newest).full, newest.click)
    calibration.save(folder / "calibration.npz")
    shutil.copyfile(checkpoint / "logistic.npz", folder / "logistic.npz")
    return calibration


_NETWORK = ("second", "third", "last")
"""Layers that live in the ONNX graphs."""


def _sample(weights: Weights, table: Impressions) -> NDArray[np.float32]:
    """[n, H] the first layer's output on evenly spaced impressions."""
    row = np.linspace(0, len(table) - 1, min(len(table), CALIBRATION_ROWS)).astype(np.int64)
    return reference.activations(weights, table, row)


def judge(bundle: Bundle, weights: Weights, calibration: Calibration, test: Impressions) -> Judged:
    """Float weights by plain products against the bundle's files by the serving path."""
    table = AdTable.build(bundle, test.catalogue)
    scorer = LocalScorer(bundle)
    scorer.add(0, table)
    pairs = _pairs(bundle, test)
    slot = bundle.towers.slot_bias(test.slot)
    fallback = LogisticScorer(bundle.logistic).score(test.request, pairs, table)
    logits = (
        reference.score(weights, test).full,
        scorer.score(pairs) + slot + bundle.count(test.counts),
        fallback + slot + test.counts @ bundle.logistic.count,
    )
    return Judged(*(measure(test.click, calibration(logit)) for logit in logits))


def _pairs(bundle: Bundle, table: Impressions) -> Pairs:
    vector, bias = bundle.towers.request(table.request)
    return Pairs(0, vector, bias, table.ad, table.starts().astype(np.int32))


def check(judged: Judged, gate: GateSettings) -> None:
    """Raise GateRefused, naming each limit that is passed and by how much."""
    fp32, int8 = judged.fp32, judged.int8
    limits = [
        ("AUC change", int8.auc - fp32.auc, int8.auc - fp32.auc >= -gate.auc_drop),
        ("AUC ratio", int8.auc / fp32.auc, int8.auc / fp32.auc >= gate.auc_ratio),
        (
            "logloss rise",
            int8.logloss / fp32.logloss - 1,
            int8.logloss <= fp32.logloss * (1 + gate.logloss_rise),
        ),
        (
            "COPC change",
            int8.copc / fp32.copc - 1,
            abs(int8.copc / fp32.copc - 1) <= gate.copc_change,
        ),
    ]
    passed = [f"{name} {value:+.5f}" for name, value, within in limits if not within]
    if passed:
        raise GateRefused(f"INT8 is refused: {', '.join(passed)} (limits: {gate})")


def _manifest(
    folder: Path, version: int, about: dict[str, Any], judged: Judged | None
) -> dict[str, Any]:
    manifest = {
        "name": "ctr_ranker",
        "version": version,
        "feature_schema": FEATURE_SCHEMA,
        "seed": about["seed"],
        "window": about["window"],
        "click_rate": about["click_rate"],
        "dense_parameters": about["dense_parameters"],
        "request_width": sum(field.width for field in REQUEST_FIELDS),
        "training": about["metrics"],
        "metrics": asdict(judged) if judged else {},
        "files": {name: _fingerprint(folder / name) for name in FILES},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _fingerprint(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
