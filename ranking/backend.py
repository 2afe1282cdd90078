"""The click model as Triton's Python backend runs it.

Takes row ids and request vectors, never features: the ads' side of the model lies ready in the ad
table of each snapshot, which is mapped when its version is first asked for.

Tensors cross by DLPack only. The backend's bindings are older than numpy 2, with which their own
conversions give empty arrays without a word.
"""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from ranking.accelerated import scorer_of
from ranking.bundle import Bundle
from ranking.features import AD_FIELDS, width
from ranking.scorer import Pairs, Refused
from ranking.table import AdTable, table_folder

Rows = NDArray[np.int32]
Vectors = NDArray[np.float32]

SNAPSHOTS = "ADSERVER_SNAPSHOTS"
"""Environment variable: the folder of snapshots, which we share with the ad server."""
WARM_UP = 0
"""A version that no snapshot has."""

USED = b"used_dltensor"
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = (ctypes.py_object, ctypes.c_char_p)
"""The backend marks a tensor that it took over with a name of its own; numpy knows only DLPack's,
and would print a traceback for each answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One caller's rows."""

    ad: Rows
    """[N, K], -1 where a row has no more."""
    request: Vectors
    """[N, D + 1]"""
    version: int

    @classmethod
    def of(cls, request: Any) -> Ask:
        ad, vector, version = (  # typed by the configuration of the model's inputs
            np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))
            for name in ("AD", "REQUEST", "VERSION")
        )
        if (version != version[0]).any():
            raise Refused("one call asks for several snapshots")
        return cls(cast(Rows, ad), cast(Vectors, vector), int(version[0, 0]))


class TritonPythonModel:
    """What the backend calls: `initialize` once, then `execute` with whatever was waiting."""

    def initialize(self, args: dict[str, str]) -> None:
        self.snapshots = Path(os.environ[SNAPSHOTS])
        bundle = Bundle.load(Path(args["model_repository"]) / args["model_version"])
        self.width = bundle.first.request.shape[0] + 1
        given = json.loads(args["model_config"]).get("parameters", {})
        on_gpu = args["model_instance_kind"] == "GPU"
        self.scorer = scorer_of(
            bundle,
            {name: one["string_value"] for name, one in given.items()},
            int(args["model_instance_device_id"]) if on_gpu else None,
        )
        self._warm_up(bundle)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in order; a bad request costs nobody else their scores."""
        asks = [self._read(request) for request in requests]
        answers = [_refusal(ask) if isinstance(ask, Refused) else None for ask in asks]
        good = {place: ask for place, ask in enumerate(asks) if isinstance(ask, Ask)}
        for version in {ask.version for ask in good.values()}:
            group = {place: ask for place, ask in good.items() if ask.version == version}
            for place, answer in zip(group, self._answers(version, group.values()), strict=True):
                answers[place] = answer
        return answers

    def _read(self, request: Any) -> Ask | Refused:
        try:
            return self._checked(Ask.of(request))
        except Refused as reason:
            return reason

    def _checked(self, ask: Ask) -> Ask:
        """The kernels read where they are told to; so every row id is looked at first."""
        if ask.request.shape[1] != self.width:
            raise Refused(f"REQUEST has {ask.request.shape[1]} columns, the model {self.width}")
        ads = len(self._table(ask.version))
        if ask.ad.size and not -1 <= ask.ad.min() <= ask.ad.max() < ads:
            raise Refused(f"AD must be from -1 to {ads - 1} in snapshot {ask.version}")
        return ask

    def _table(self, version: int) -> AdTable:
        if version not in self.scorer.tables:
            snapshot, model = self.snapshots / str(version), self.scorer.bundle.tables_sha256
            try:
                self.scorer.add(version, AdTable.load(table_folder(snapshot, model)))
            except (OSError, ValueError, KeyError, EOFError) as error:
                raise Refused(f"snapshot {version} cannot be loaded: {error}") from error
        if version not in self.scorer.tables:
            raise Refused(f"snapshot {version} is older than those that are kept")
        return self.scorer.tables[version]

    def _answers(self, version: int, asks: Collection[Ask]) -> list[Any]:
        try:
            return [_answer(logit) for logit in self._score(version, asks)]
        except Refused as reason:  # a newer snapshot of the same batch took its place
            return [_refusal(reason)] * len(asks)

    def _score(self, version: int, asks: Collection[Ask]) -> list[NDArray[np.float32]]:
        """Each caller's log-odds [N, K], all computed as one batch."""
        ad = np.concatenate([ask.ad for ask in asks])
        request = np.concatenate([ask.request for ask in asks])
        present = ad >= 0
        offset = np.zeros(len(ad) + 1, np.int32)
        np.cumsum(present.sum(axis=1), out=offset[1:])
        vector = np.ascontiguousarray(request[:, :-1])
        bias = np.ascontiguousarray(request[:, -1])
        logit = np.zeros(ad.shape, np.float32)
        logit[present] = self.scorer.score(Pairs(version, vector, bias, ad[present], offset))
        ends = np.cumsum([len(ask.ad) for ask in asks])
        return np.split(logit, ends[:-1])

    def _warm_up(self, bundle: Bundle) -> None:
        """Compiles and touches all of the path once, over a mapped table as in earnest."""
        ids = np.zeros((8, width(AD_FIELDS)), np.int32)
        with tempfile.TemporaryDirectory() as folder:
            AdTable.build(bundle, ids).save(Path(folder))
            self.scorer.add(WARM_UP, AdTable.load(Path(folder)))
        ask = Ask(
            ad=np.tile(np.arange(8, dtype=np.int32), (32, 32)),
            request=np.zeros((32, self.width), np.float32),
            version=WARM_UP,
        )
        self._score(WARM_UP, [ask, ask])
        del self.scorer.tables[WARM_UP]


def _answer(logit: NDArray[np.float32]) -> Any:
    capsule = logit.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack("LOGIT", capsule)
    _rename(capsule, USED)
    return pb_utils.InferenceResponse(output_tensors=[tensor])


def _refusal(reason: Refused) -> Any:
    error = pb_utils.TritonError(str(reason), pb_utils.TritonError.INVALID_ARG)
    return pb_utils.InferenceResponse(output_tensors=[], error=error)
