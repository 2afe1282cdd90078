"""One released model: everything that must change together, checked when it is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.calibration import Calibration
from ranking.counts import CountHead
from ranking.features import FEATURE_SCHEMA
from ranking.logistic import LogisticWeights
from ranking.manifest import MANIFEST, tables_of
from ranking.towers import Towers

FILES = (
    "towers.npz",
    "ctr_ranker.onnx",
    "ctr_ranker_fp32.onnx",
    "logistic.npz",
    "calibration.npz",
)
S8S8 = "ctr_ranker_s8s8.onnx"
"""The network for TensorRT and GPU kernels; a version may lack it, and no worker loads it."""
_CODES, _SCALE = ".codes", ".scale"


class BundleError(Exception):
    """The folder does not hold a whole, unaltered model that fits this program."""


@dataclass(frozen=True, slots=True)
class FirstLayer:
    """The interaction network's first layer, split: relu(u @ request + a @ ad + bias)."""

    request: NDArray[np.float32]
    """[D, H]"""
    ad: NDArray[np.float32]
    """[D, H]"""
    bias: NDArray[np.float32]
    scale: float
    """One step of the layer's uint8 output; its zero is 0."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model version as the server and Triton use it."""

    version: int
    sha256: str
    """Of the manifest, which holds the hash of every other file."""
    tables_sha256: str
    """Of the files that ad tables and ad vectors are computed from: versions that share it, such as
    one and its later calibration, can score each other's snapshots."""
    manifest: dict[str, Any]
    towers: Towers
    first: FirstLayer
    count: CountHead
    logistic: LogisticWeights
    calibration: Calibration
    int8_graph: bytes
    """ONNX: uint8 [rows, H] → log-odds f32 [rows]."""
    fp32_graph: bytes
    """The same network unquantised, for comparison: f32 [rows, H] → f32 [rows]."""

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Raises BundleError on a missing, altered or unfitting file."""
        content = _verified(folder)
        manifest = json.loads(content[MANIFEST])
        weights = expand(dict(np.load(folder / "towers.npz")))
        return cls(
            version=int(manifest["version"]),
            sha256=hashlib.sha256(content[MANIFEST]).hexdigest(),
            tables_sha256=tables_of(manifest),
            manifest=manifest,
            towers=Towers.of(weights),
            first=FirstLayer(
                weights["first.request"],
                weights["first.ad"],
                weights["first.bias"],
                float(weights["first.scale"]),
            ),
            count=CountHead.of(weights),
            logistic=LogisticWeights.load(folder / "logistic.npz"),
            calibration=Calibration.load(folder / "calibration.npz"),
            int8_graph=content["ctr_ranker.onnx"],
            fp32_graph=content["ctr_ranker_fp32.onnx"],
        )


def compact(weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Embeddings as rowwise int8 codes, per-value weights as float16, the rest as it is."""
    from ranking.kernels import quantise_rows  # noqa: PLC0415 - only export packs; loading need not compile it

    packed: dict[str, NDArray[Any]] = {}
    for name, array in weights.items():
        if name.endswith(".embedding"):
            codes = np.empty(array.shape, np.int8)
            packed[name + _SCALE] = quantise_rows(np.ascontiguousarray(array), codes)
            packed[name + _CODES] = codes
        else:
            packed[name] = array.astype(np.float16) if name.endswith(".wide") else array
    return packed


def expand(packed: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The float32 weights of `compact`, within half a step of each row's scale."""
    weights = {}
    for name, array in packed.items():
        if name.endswith(_CODES):
            scale = packed[name.removesuffix(_CODES) + _SCALE]
            weights[name.removesuffix(_CODES)] = array.astype(np.float32) * scale[:, None]
        elif not name.endswith(_SCALE) or name == "first.scale":
            weights[name] = array.astype(np.float32)
    return weights


def files_of(manifest: dict[str, Any]) -> list[str]:
    """All files of a version, its manifest aside: what each one has, and what this one names.

    BundleError for a name that leads out of the folder.
    """
    names = sorted({*FILES, *manifest["files"]})
    for name in names:
        if Path(name).name != name:
            raise BundleError(f"the manifest names {name!r}, which is no file beside it")
    return names


def _verified(folder: Path) -> dict[str, bytes]:
    """The files' bytes, each as the manifest says."""
    try:
        written = (folder / MANIFEST).read_bytes()
        manifest = json.loads(written)
        names = files_of(manifest)
        content = {name: (folder / name).read_bytes() for name in names}
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder}: {error}") from error
    content[MANIFEST] = written
    if manifest["feature_schema"] != FEATURE_SCHEMA:
        raise BundleError(
            f"{folder}: made for feature schema {manifest['feature_schema']}, "
            f"this program encodes {FEATURE_SCHEMA}"
        )
    for name in names:
        found = hashlib.sha256(content[name]).hexdigest()
        if found != manifest["files"].get(name, {}).get("sha256"):
            raise BundleError(f"{folder / name}: sha256 is {found}, not what the manifest says")
    return content
