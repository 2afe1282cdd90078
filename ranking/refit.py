"""A new calibration map behind a released model: a release of its own, in seconds.

Nothing else of the version changes, so the ad tables of running snapshots stay valid
(`Bundle.tables_sha256`), and no training and no quantisation is needed.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranking import gate, judge
from ranking.bundle import Bundle, files_of
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.export import USUAL, Progress, publish, unheard
from ranking.gate import GateSettings
from ranking.manifest import GATE, Manifest, write_json, write_manifest

JUDGES = 4
"""One request in so many judges the map, the others make it."""


def refit(
    folder: Path,
    newest: Impressions,
    out: Path,
    version: int,
    settings: GateSettings = USUAL,
    progress: Progress = unheard,
) -> Manifest:
    """Write the version in `folder` with a map fitted to `newest` into `out`, or raise GateRefused.

    What is calibrated are the scores as served. Requests are dealt, three to fit and one to judge,
    so that both cover the same time, up to now. Returns the manifest.
    """
    bundle = Bundle.load(folder)
    progress("score", 0.0)
    logit = judge.served(bundle)(newest)
    progress("score", 1.0)
    judging = newest.of % JUDGES == JUDGES - 1
    weight = judge.weight_of(newest)
    fitted = Calibration.fit(
        logit[~judging], newest.click[~judging], None if weight is None else weight[~judging]
    )
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        for name in files_of(bundle.manifest):
            shutil.copyfile(folder / name, made / name)
        fitted.save(made / "calibration.npz")
        about = _judged(bundle, newest.where(judging), logit[judging], fitted, settings)
        progress("judge", 1.0)
        write_json(made / GATE, about["gate"])
        kept = {name: one for name, one in bundle.manifest.items() if name != "files"}
        lineage = kept.get("lineage", {}) | {"calibration_of": bundle.version}
        made_of = {"version": version, "lineage": lineage, "calibration_rows": len(newest)}
        manifest = write_manifest(made, kept | made_of | about, files_of(bundle.manifest))
        publish(made, out)
    return manifest


def _judged(
    bundle: Bundle,
    test: Impressions,
    logit: NDArray[np.float32],
    fitted: Calibration,
    settings: GateSettings,
) -> Manifest:
    """The manifest's findings; GateRefused if the map is not good enough."""
    numbers = judge.compared(test, (logit, logit), (bundle.calibration, fitted))
    report = gate.calibration(numbers, settings)
    report.require()
    metrics = bundle.manifest["metrics"] | {"int8": asdict(numbers.after)}
    return {"metrics": metrics, "gate": report.as_json()}
