"""From a trained run to a released model: static INT8, calibration, a gate, a manifest.

The gate scores the newest impressions with the released files themselves, as serving will, and
refuses with the numbers when INT8 costs more than it may.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ranking import gate, judge, reference
from ranking.bundle import FILES, S8S8, Bundle, compact
from ranking.calibration import Calibration
from ranking.challenge import CHALLENGE, challenge, told
from ranking.dataset import Impressions, Unreadable
from ranking.features import FEATURE_SCHEMA, REQUEST_FIELDS
from ranking.gate import Compared, GateRefused, GateSettings, Replay, Replayed
from ranking.logistic import LogisticWeights
from ranking.manifest import GATE, MANIFEST, Manifest, fingerprint, write_json, write_manifest
from ranking.metrics import Metrics, measure
from ranking.quantise import float_graph, int8_graph, s8s8_graph

__all__ = ["GateRefused", "GateSettings", "export"]
Weights = dict[str, NDArray[np.float32]]
Progress = Callable[[str, float], None]
CALIBRATION_ROWS = 65_536
"""Pairs whose activations set the quantisation ranges."""
ALL = (*FILES, S8S8)
USUAL = GateSettings()


def unheard(_stage: str, _share: float) -> None:
    """Nobody watches."""


def export(
    run: Path,
    out: Path,
    version: int = 1,
    settings: GateSettings = USUAL,
    replay: Replay | None = None,
    progress: Progress = unheard,
    incumbent: Bundle | None = None,
) -> Manifest:
    """Write the model files and the manifest into `out`, or raise GateRefused and write none there.

    The gate's report is left in the run's folder as gate.json either way; challenge.json too where
    there is an incumbent, which the new model must not rank worse than. Without `replay` no pages
    are sold, and what they would show is not judged. Files of other owners in `out` (Triton's
    model.py) stay. Returns the manifest. Unreadable where `run` is no trained run.
    """
    test, weights = _run(run)
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        calibration = _write(made, run, weights, progress)
        about = _about(run, version)
        write_manifest(made, about, ALL)
        progress("judge", 0.0)
        bundle = Bundle.load(made)
        judged = judge_export(bundle, weights, calibration, test, replay)
        report = gate.quantisation(judged.numbers, judged.replayed, settings)
        write_json(run / GATE, report.as_json())
        progress("judge", 1.0)
        report.require()
        write_json(made / GATE, report.as_json())
        challenged = _challenged(bundle, incumbent, (run, test), settings, replay)
        findings = {
            "metrics": judged.metrics,
            "gate": report.as_json(),
            "challenge": challenged,
            "embedding_version": bundle.tables_sha256[:16],
        }
        manifest = write_manifest(made, about | findings, ALL)
        publish(made, out)
    return manifest


def _run(run: Path) -> tuple[Impressions, Weights]:
    """What a training wrote last, and first; Unreadable where it is not whole."""
    test = Impressions.load(run / "test_slice.npz")
    try:
        json.loads((run / "checkpoint.json").read_text())
        return test, dict(np.load(run / "weights.npz"))
    except (OSError, ValueError, BadZipFile) as error:
        raise Unreadable(f"{run} is no trained run: {error}") from None


def _challenged(
    bundle: Bundle,
    incumbent: Bundle | None,
    judged_on: tuple[Path, Impressions],
    settings: GateSettings,
    replay: Replay | None,
) -> Manifest:
    """What the manifest says of it; GateRefused."""
    if incumbent is None:
        return {"skipped": "there was no incumbent to compare with"}
    run, test = judged_on
    report = challenge(bundle, incumbent, test, settings, replay)
    about = told(report, incumbent)
    write_json(run / CHALLENGE, about)
    report.require()
    return about


def publish(made: Path, out: Path) -> None:
    """Copy a version's files to where it is loaded from, the manifest last."""
    out.mkdir(parents=True, exist_ok=True)
    for one in sorted(made.iterdir(), key=lambda path: path.name == MANIFEST):
        shutil.copyfile(one, out / one.name)


def _write(folder: Path, run: Path, weights: Weights, progress: Progress) -> Calibration:
    """All files but the manifest."""
    newest = Impressions.load(run / "calibration_slice.npz")
    progress("quantise", 0.0)
    logit = reference.score(weights, newest).full
    calibration = Calibration.fit(logit, newest.click, judge.weight_of(newest))
    beside = LogisticWeights.load(run / "logistic.npz")
    write_files(folder, weights, _sample(weights, newest), calibration, beside)
    progress("quantise", 1.0)
    return calibration


def write_files(
    folder: Path,
    weights: Weights,
    hidden: NDArray[np.float32],
    calibration: Calibration,
    beside: LogisticWeights,
) -> None:
    """All files of a version but its manifest; `hidden` [n, H], outputs of the first layer, set the
    quantisation ranges."""
    source = folder / "ctr_ranker_fp32.onnx"
    float_graph(weights, source)
    scale = int8_graph(source, folder / "ctr_ranker.onnx", hidden)
    s8s8_graph(source, folder / S8S8, hidden)
    serving = {name: one for name, one in weights.items() if name.split(".")[0] not in _NETWORK}
    packed = compact(serving) | {"first.scale": np.float32(scale)}
    np.savez_compressed(folder / "towers.npz", **packed)  # type: ignore[arg-type] # stub: allow_pickle
    calibration.save(folder / "calibration.npz")
    beside.save(folder / "logistic.npz")


_NETWORK = ("second", "third", "last")
"""Layers that live in the ONNX graphs."""


def _sample(weights: Weights, table: Impressions) -> NDArray[np.float32]:
    """[n, H] the first layer's output on evenly spaced impressions."""
    row = np.linspace(0, len(table) - 1, min(len(table), CALIBRATION_ROWS)).astype(np.int64)
    return reference.activations(weights, table, row)


@dataclass(frozen=True, slots=True)
class Judged:
    """The forms of one model on the same impressions, all through the same calibration map."""

    numbers: Compared
    replayed: Replayed | None
    fallback: Metrics

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        forms = {"fp32": self.numbers.before, "int8": self.numbers.after, "fallback": self.fallback}
        return {name: asdict(one) for name, one in forms.items()}


def judge_export(
    bundle: Bundle,
    weights: Weights,
    calibration: Calibration,
    test: Impressions,
    replay: Replay | None = None,
) -> Judged:
    """Float weights by plain products against the bundle's files by the serving path."""
    float_, int8 = judge.plain(weights), judge.served(bundle)
    small = calibration(judge.fallback(bundle)(test))
    return Judged(
        judge.compared(test, (float_(test), int8(test)), (calibration, calibration)),
        replay(judge.rate(float_, calibration), judge.rate(int8, calibration)) if replay else None,
        measure(test.click, small, judge.weight_of(test)),
    )


def _about(run: Path, version: int) -> Manifest:
    """What the manifest says of where the model comes from."""
    known = json.loads((run / "checkpoint.json").read_text())
    return {
        "name": "ctr_ranker",
        "version": version,
        "feature_schema": FEATURE_SCHEMA,
        "lineage": {"run": run.name, "weights_sha256": fingerprint(run / "weights.npz")["sha256"]},
        "seed": known["seed"],
        "window": known["window"],
        "click_rate": known["click_rate"],
        "dense_parameters": known["dense_parameters"],
        "request_width": sum(field.width for field in REQUEST_FIELDS),
        "training": known["metrics"],
        "metrics": {},
    }
