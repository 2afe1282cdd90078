"""The selector as Triton's Python backend runs it.

Keeps what was asked for last resident: the newest snapshot, and the one that requests in flight
began with. A new one is loaded by a thread of its own while requests are answered from the others.
Tensors cross by DLPack only, as in `ranking.backend`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from adserver.selection.loaded import CPU, Loaded
from adserver.selection.message import ASK, OUTPUTS, Change, Garbled, Key
from ranking.accelerated import device_for
from ranking.backend import SNAPSHOTS, USED, _rename
from ranking.bundle import Bundle, BundleError
from ranking.scorer import Refused
from retrieval.gpu.asks import Asks, Malformed
from retrieval.gpu.selector import Ranked

KEPT: Final = 4
"""Of the newest snapshot and of the one before it: a model in production and one on trial."""
TROUBLE = (Refused, Malformed, Garbled)


@dataclass(frozen=True, slots=True)
class Message:
    """One caller's."""

    whole: NDArray[np.int32]
    floats: NDArray[np.float32]
    key: Key
    kind: int

    @classmethod
    def of(cls, request: Any) -> Message:
        whole, floats, about = (
            np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))
            for name in ("ASK", "VECTOR", "VERSION")
        )
        if (about != about[0]).any():
            raise Refused("one call asks for several snapshots")
        snapshot, model, kind = (int(number) for number in about[0])
        vector = cast(NDArray[np.float32], floats)  # typed by the model's configuration
        return cls(cast(NDArray[np.int32], whole), vector, (snapshot, model), kind)


class Shelf:
    """What is resident, and what is on its way."""

    def __init__(self, snapshots: Path, models: Path, device: torch.device) -> None:
        self._snapshots, self._models, self._device = snapshots, models, device
        self._loading: dict[Key, Future[Loaded]] = {}
        self._loaded: dict[Key, Loaded] = {}
        self._loader = ThreadPoolExecutor(1, "loader")

    def __getitem__(self, key: Key) -> Loaded:
        """Refused while it is not there; asking has it brought."""
        if key not in self._loaded:
            self._bring(key)
        found = self._loaded[key] = self._loaded.pop(key)  # those not asked for go first
        return found

    def close(self) -> None:
        self._loader.shutdown(cancel_futures=True)

    def _bring(self, key: Key) -> None:
        if key not in self._loading:
            self._loading[key] = self._loader.submit(self._open, key)
        if not self._loading[key].done():
            raise Refused(f"snapshot {key[0]} for model {key[1]} is being loaded")
        future = self._loading.pop(key)
        try:
            self._loaded[key] = future.result()
        except (OSError, ValueError, KeyError, EOFError, BundleError) as error:
            raise Refused(f"snapshot {key[0]} cannot be loaded: {error}") from error
        for old in list(self._loaded)[:-KEPT]:
            del self._loaded[old]

    def _open(self, key: Key) -> Loaded:
        bundle = Bundle.load(self._models / str(key[1]))
        return Loaded.open(self._snapshots / str(key[0]), bundle, self._device)


class TritonPythonModel:
    """What the backend calls: `initialize` once, then `execute` with whatever was waiting."""

    def initialize(self, args: dict[str, str]) -> None:
        given = json.loads(args["model_config"])["parameters"]
        parameters = {name: one["string_value"] for name, one in given.items()}
        self.candidates, self.best = (int(parameters[name]) for name in ("candidates", "best"))
        on_gpu = args["model_instance_kind"] == "GPU"
        number = int(args["model_instance_device_id"]) if on_gpu else None
        device = device_for(parameters, number) or CPU
        models = Path(args["model_repository"]).parent / "ctr_ranker"
        self.shelf = Shelf(Path(os.environ[SNAPSHOTS]), models, device)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in order; a bad request costs nobody else their ads.

        Changes are brought in before any of the batch's requests is answered.
        """
        answers: list[Any] = [None] * len(requests)
        asks: dict[Key, list[tuple[int, Message]]] = {}
        for place, request in enumerate(requests):
            try:
                message = Message.of(request)
                if message.kind == ASK:
                    self._checked(message)
                    asks.setdefault(message.key, []).append((place, message))
                else:
                    self._take(message)
                    answers[place] = _answer([np.full((1, 1), -1)] * len(OUTPUTS))
            except TROUBLE as reason:
                answers[place] = _refusal(reason)
        for key, some in asks.items():
            for (place, _), answer in zip(some, self._answers(key, some), strict=True):
                answers[place] = answer
        return answers

    def finalize(self) -> None:
        self.shelf.close()

    def _take(self, message: Message) -> None:
        resident = self.shelf[message.key].resident
        change = Change.of(message.whole[0], message.floats[0])
        change.check(resident.columns.ads, -(-resident.columns.line_items // 64))
        resident.write(change.ad.astype(np.intp), change.alive, change.base)
        resident.take_lines(change.running, change.first, change.last)

    def _checked(self, message: Message) -> None:
        self.shelf[message.key].check(Asks(message.whole, message.floats))

    def _answers(self, key: Key, some: Sequence[tuple[int, Message]]) -> list[Any]:
        """All of one snapshot as one batch."""
        try:
            ranked = self.shelf[key].rank(
                Asks(
                    np.concatenate([message.whole for _, message in some]),
                    np.concatenate([message.floats for _, message in some]),
                ),
                self.candidates,
                self.best,
            )
        except Refused as reason:  # a newer snapshot of the same batch took its place
            return [_refusal(reason)] * len(some)
        ends = np.cumsum([len(message.whole) for _, message in some])[:-1]
        columns = [np.split(column, ends) for column in _columns(ranked)]
        return [_answer(parts) for parts in zip(*columns, strict=True)]


def _columns(ranked: Ranked) -> list[NDArray[Any]]:
    slots, eligible = ranked.slots.view(np.int32), ranked.eligible[:, None]
    return [ranked.ad, ranked.value, ranked.logit, ranked.worth, slots, eligible]


def _answer(parts: Sequence[NDArray[Any]]) -> Any:
    tensors = []
    for name, part in zip(OUTPUTS, parts, strict=True):
        capsule = np.array(part, OUTPUTS[name], order="C").__dlpack__()
        tensors.append(pb_utils.Tensor.from_dlpack(name, capsule))
        _rename(capsule, USED)
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _refusal(reason: Exception) -> Any:
    error = pb_utils.TritonError(str(reason), pb_utils.TritonError.INVALID_ARG)
    return pb_utils.InferenceResponse(output_tensors=[], error=error)
