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
from open_gate import OPEN

from ranking.bundle import FILES, S8S8, Bundle, BundleError, compact, expand
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.export import export
from ranking.gate import Compared, GateRefused, GateSettings, quantisation
from ranking.int8 import LocalScorer
from ranking.metrics import Metrics
from ranking.table import AdTable


def test_a_released_model_says_where_it_comes_from(released: Path, table: Impressions):
    manifest = Bundle.load(released).manifest

    assert manifest["seed"] == 1
    assert manifest["window"]["requests"] == len(table.request)
    assert manifest["dense_parameters"] <= 200_000
    assert 0 < manifest["metrics"]["int8"]["logloss"] < 1
    assert set(manifest["metrics"]) == {"fp32", "int8", "fallback"}


def test_a_released_model_carries_its_gate(released: Path):
    manifest = Bundle.load(released).manifest
    report = json.loads((released / "gate.json").read_text())

    assert manifest["gate"] == report
    assert report["passed"]
    assert {"AUC change", "COPC change", "ECE beyond chance"} <= {
        one["name"] for one in report["checks"]
    }
    low, high = (report["checks"][0][end] for end in ("low", "high"))
    assert low <= report["checks"][0]["value"] <= high
    assert report["data"]["rows"] > 1_000


def test_the_released_graph_takes_bytes_and_gives_floats(bundle: Bundle):
    graph = onnx.load_from_string(bundle.int8_graph).graph
    weights = [one for one in graph.initializer if one.data_type == TensorProto.INT8 and one.dims]

    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert len([one for one in weights if len(one.dims) == 2]) == 3
    assert not [node for node in graph.node if node.op_type.startswith("Dynamic")]


def test_a_refused_model_leaves_no_file(checkpoint: Path, tmp_path: Path):
    with pytest.raises(GateRefused, match=r"INT8 is refused: AUC change [+-]\d"):
        export(checkpoint, tmp_path / "1", settings=replace(OPEN, auc_drop=-1.0))

    assert not (tmp_path / "1").exists()
    report = json.loads((checkpoint / "gate.json").read_text())
    assert not report["passed"]
    assert report["checks"][0]["least"] == 1.0


def test_exporting_twice_gives_the_same_model(released: Path, checkpoint: Path, tmp_path: Path):
    export(checkpoint, tmp_path / "1", settings=OPEN)

    for name in ("ctr_ranker.onnx", "ctr_ranker_fp32.onnx", "ctr_ranker_s8s8.onnx", "towers.npz"):
        assert (tmp_path / "1" / name).read_bytes() == (released / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    [*FILES, S8S8],
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
    fp32, int8 = (Metrics(**bundle.manifest["metrics"][form]) for form in ("fp32", "int8"))

    assert bundle.manifest["dense_parameters"] <= 200_000
    same = Compared(fp32, int8, {}, {}, 0.0, bundle.manifest["click_rate"], 0, 0, 1.0)
    quantisation(same, None, GateSettings()).require()


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
