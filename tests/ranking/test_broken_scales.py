"""Scales that were written wrong, one at a time, and what stops each of them.

A network trained on 30 000 impressions hardly speaks up beside the dot product, so its last layer
is made louder here; unbroken, it passes every limit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from open_gate import OPEN

from feedback.gate_pages import PageSettings, pages_of
from feedback.gate_replay import replay_of
from ranking import gate, reference
from ranking.bundle import Bundle
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.export import export, judge_export
from ranking.gate import GateRefused, GateSettings, Replay
from ranking.manifest import fingerprint

LIMITS = replace(GateSettings(), ece=1.0, ece_share=1.0)
"""The usual ones; some hundred clicks of a model that was made louder say nothing of its ECE."""


@dataclass(frozen=True)
class Loud:
    folder: Path
    weights: dict[str, np.ndarray]
    test: Impressions
    replay: Replay

    def report(self, bundle: Bundle) -> gate.Report:
        judged = judge_export(bundle, self.weights, self.calibration, self.test, self.replay)
        return gate.quantisation(judged.numbers, judged.replayed, LIMITS)

    @property
    def calibration(self) -> Calibration:
        return Bundle.load(self.folder).calibration


@pytest.fixture(scope="module")
def loud(checkpoint: Path, table: Impressions, tmp_path_factory: pytest.TempPathFactory) -> Loud:
    run = shutil.copytree(checkpoint, tmp_path_factory.mktemp("loud") / "run")
    weights = dict(np.load(run / "weights.npz"))
    weights["last.weight"] *= 30
    np.savez(run / "weights.npz", **weights)
    folder = run.parent / "1"
    export(run, folder, settings=OPEN)
    test = table.part(0, 9_000)
    return Loud(folder, weights, test, replay_of(pages_of(test, PageSettings(pages=2_000))))


def rescaled(graph: bytes, name: str, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """The graph with one stored array changed."""
    model = onnx.load_from_string(graph)
    (stored,) = [one for one in model.graph.initializer if one.name == name]
    changed = change(numpy_helper.to_array(stored).copy())
    stored.CopyFrom(numpy_helper.from_array(changed, name))
    return model.SerializeToString()


def loudest(loud: Loud) -> int:
    """The channel of the third layer that moves the log-odds most."""
    weights, table = loud.weights, loud.test
    hidden = reference.activations(weights, table, np.arange(0, len(table), 5))
    for name in ("second", "third"):
        hidden = np.maximum(hidden @ weights[f"{name}.weight"] + weights[f"{name}.bias"], 0.0)
    return int(np.argmax(np.abs(weights["last.weight"][:, 0]) * hidden.std(axis=0)))


def test_unbroken_it_passes(loud: Loud):
    loud.report(Bundle.load(loud.folder)).require()


def test_one_channels_scale_eight_times_too_large_is_refused(loud: Loud):
    sound = Bundle.load(loud.folder)
    factor = np.ones(64, np.float32)
    factor[loudest(loud)] = 8
    graph = rescaled(sound.int8_graph, "third.weight_scale", lambda scale: scale * factor)

    with pytest.raises(GateRefused, match=r"INT8 is refused: .*[+-]0\.\d+ \(limit"):
        loud.report(replace(sound, int8_graph=graph)).require()


def test_a_layers_activations_cut_at_a_quarter_are_refused(loud: Loud):
    sound = Bundle.load(loud.folder)
    graph = rescaled(sound.int8_graph, "second.relu_scale", lambda scale: scale / np.float32(4))

    with pytest.raises(GateRefused):
        loud.report(replace(sound, int8_graph=graph)).require()


def test_the_first_layers_scale_is_no_exception(loud: Loud):
    """It is the only one that the worker's kernel applies, not the graph."""
    sound = Bundle.load(loud.folder)
    first = replace(sound.first, scale=sound.first.scale / 4)

    with pytest.raises(GateRefused):
        loud.report(replace(sound, first=first)).require()


def test_a_block_of_embedding_rows_with_a_wrong_scale_is_refused(loud: Loud, tmp_path: Path):
    """A twentieth of the words' rows: the AUC hardly sees it, the auctions do."""
    folder = shutil.copytree(loud.folder, tmp_path / "1")
    packed = dict(np.load(folder / "towers.npz"))
    used = np.flatnonzero(packed["ad.embedding.scale"])
    packed["ad.embedding.scale"][used[: len(used) // 20]] *= 8
    np.savez_compressed(folder / "towers.npz", **packed)
    resigned(folder)

    with pytest.raises(GateRefused):
        loud.report(Bundle.load(folder)).require()


def resigned(folder: Path) -> None:
    """The manifest vouches for the broken file: the hash is not what stops it."""
    import json

    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["towers.npz"] = fingerprint(folder / "towers.npz")
    (folder / "manifest.json").write_text(json.dumps(manifest))
