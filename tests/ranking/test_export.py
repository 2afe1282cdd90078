"""A model is released whole, judged and signed for, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from ranking.bundle import Bundle, BundleError, compact, expand
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.export import GateRefused, GateSettings, check, export, judge
from ranking.int8 import LocalScorer
from ranking.metrics import Metrics
from ranking.table import AdTable


def test_a_released_model_says_where_it_comes_from(released: Path):
    manifest = Bundle.load(released).manifest

    assert manifest["seed"] == 1
    assert manifest["window"]["requests"] == 18_000
    assert manifest["dense_parameters"] <= 200_000
    assert 0 < manifest["metrics"]["int8"]["logloss"] < 1
    assert set(manifest["metrics"]) == {"fp32", "int8", "fallback"}


def test_the_released_graph_takes_bytes_and_gives_floats(bundle: Bundle):
    graph = onnx.load_from_string(bundle.int8_graph).graph
    weights = [one for one in graph.initializer if one.data_type == TensorProto.INT8 and one.dims]

    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert len([one for one in weights if len(one.dims) == 2]) == 3
    assert not [node for node in graph.node if node.op_type.startswith("Dynamic")]


def test_a_broken_scale_is_refused(checkpoint: Path, table: Impressions, tmp_path: Path):
    """As if calibration had seen activations a hundred times too small.

    A network trained on 30 000 impressions hardly speaks up beside the dot product, so that its
    last layer is made louder here; unbroken, it passes.
    """
    loud = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    weights = dict(np.load(loud / "weights.npz"))
    weights["last.weight"] *= 30
    np.savez(loud / "weights.npz", **weights)
    export(loud, tmp_path / "1", gate=GateSettings(0.05, 0.9, 0.05, 0.05))
    sound, test = Bundle.load(tmp_path / "1"), table.part(0, 9_000)
    broken = replace(sound, first=replace(sound.first, scale=sound.first.scale / 100))

    check(judge(sound, weights, sound.calibration, test), GateSettings())
    judged = judge(broken, weights, sound.calibration, test)

    with pytest.raises(GateRefused, match=r"INT8 is refused: .*[+-]0\.\d"):
        check(judged, GateSettings())


def test_the_gate_names_every_limit_that_is_passed():
    fp32 = Metrics(auc=0.75, logloss=0.05, normalised_entropy=0.9, ece=0.001, copc=1.0)
    worse = Metrics(auc=0.7, logloss=0.06, normalised_entropy=0.95, ece=0.01, copc=0.9)
    judged = judge_of(fp32, worse)

    with pytest.raises(GateRefused) as refusal:
        check(judged, GateSettings())

    for name in ("AUC change", "AUC ratio", "logloss rise", "COPC change"):
        assert name in str(refusal.value)
    check(judge_of(fp32, fp32), GateSettings())


def judge_of(fp32: Metrics, int8: Metrics):
    from ranking.export import Judged

    return Judged(fp32, int8, int8)


def test_a_refused_model_leaves_no_file(checkpoint: Path, tmp_path: Path):
    with pytest.raises(GateRefused):
        export(checkpoint, tmp_path / "1", gate=GateSettings(auc_drop=-1.0))

    assert not (tmp_path / "1").exists()


def test_exporting_twice_gives_the_same_model(released: Path, checkpoint: Path, tmp_path: Path):
    export(checkpoint, tmp_path / "1", gate=GateSettings(0.05, 0.9, 0.05, 0.05))

    for name in ("ctr_ranker.onnx", "ctr_ranker_fp32.onnx"):
        assert (tmp_path / "1" / name).read_bytes() == (released / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["towers.npz", "ctr_ranker.onnx", "ctr_ranker_fp32.onnx", "logistic.npz", "calibration.npz"],
)
def test_an_altered_file_is_refused(released: Path, tmp_path: Path, name: str):
    folder = shutil.copytree(released, tmp_path / "1")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(BundleError, match=name):
        Bundle.load(folder)


def test_a_missing_file_is_refused(released: Path, tmp_path: Path):
    folder = shutil.copytree(released, tmp_path / "1")
    (folder / "logistic.npz").unlink()

    with pytest.raises(BundleError, match="logistic"):
        Bundle.load(folder)


def test_a_model_of_other_features_is_refused(released: Path, tmp_path: Path):
    folder = shutil.copytree(released, tmp_path / "1")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"feature_schema": "0" * 16}))

    with pytest.raises(BundleError, match="feature schema"):
        Bundle.load(folder)


def test_embeddings_keep_their_values_within_half_a_step(rng: np.random.Generator):
    embedding = rng.normal(size=(50, 16)).astype(np.float32)
    embedding[0] = 0

    restored = expand(compact({"ad.embedding": embedding}))["ad.embedding"]

    step = np.abs(embedding).max(axis=1, keepdims=True) / 127
    assert (np.abs(restored - embedding) <= 0.501 * step).all()
    assert not restored[0].any()


def test_the_committed_model_is_whole_and_fits_this_program():
    bundle = Bundle.load(Path(__file__).parents[2] / "model_repository" / "ctr_ranker" / "1")
    fp32, int8 = bundle.manifest["metrics"]["fp32"], bundle.manifest["metrics"]["int8"]

    assert bundle.manifest["dense_parameters"] <= 200_000
    check(judge_of(Metrics(**fp32), Metrics(**int8)), GateSettings())


def test_another_calibration_keeps_the_ad_tables(released: Path, tmp_path: Path, ads: AdTable):
    """A snapshot takes minutes to build; a new map behind the same towers needs none."""
    folder = shutil.copytree(released, tmp_path / "2")
    Calibration.plain().save(folder / "calibration.npz")
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "calibration.npz").read_bytes()
    manifest["files"]["calibration.npz"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))

    old, new = Bundle.load(released), Bundle.load(folder)

    assert new.sha256 != old.sha256
    assert new.tables_sha256 == old.tables_sha256 == ads.model
    LocalScorer(new).add(1, ads)
