"""The click model in this process: a kernel up to the first hidden layer, ONNX Runtime behind it.

Also what Triton's Python backend runs. Knows versions of the ad table, not where they come from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ranking import kernels
from ranking.bundle import Bundle
from ranking.scorer import Pairs, Refused
from ranking.table import AdTable

CHUNK = 1_024
"""Rows between kernel and network: their uint8 activations (256 KB) stay in the core's cache."""
TABLES = 2
"""Snapshots that can be scored: the newest, and the one that requests in flight began with."""


def session(graph: bytes) -> ort.InferenceSession:
    """One thread, no spinning: workers are processes, and cores are shared with them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class _SplitScorer:
    """What the INT8 scorer and its float twin share. One per thread: the buffer is reused."""

    def __init__(self, bundle: Bundle, graph: bytes, dtype: type[np.generic]) -> None:
        self.bundle = bundle
        self.tables: dict[int, AdTable] = {}
        self._session = session(graph)
        self._input = self._session.get_inputs()[0].name
        self._hidden = np.empty((CHUNK, bundle.first.bias.size), dtype)

    def add(self, version: int, table: AdTable) -> None:
        """Let pairs of this snapshot be scored; the oldest beyond two is forgotten."""
        if table.model != self.bundle.tables_sha256:
            raise Refused(f"the ad table of snapshot {version} was built by another model")
        self.tables[version] = table
        for old in sorted(self.tables)[:-TABLES]:
            del self.tables[old]

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """Log-odds f32[R] before the slot's share; a pair's does not depend on the others."""
        table = self.tables.get(pairs.version)
        if table is None:
            raise Refused(f"snapshot {pairs.version} is not loaded, {sorted(self.tables)} are")
        owner = kernels.owners(pairs.offset)
        half = self._half_request(pairs.vector)
        logit = np.empty(len(pairs.ad), np.float32)
        for start in range(0, len(logit), CHUNK):
            part = slice(start, min(start + CHUNK, len(logit)))
            hidden = self._hidden[: part.stop - part.start]
            self._enter(half, table, pairs.ad[part], owner[part], hidden)
            logit[part] = self._session.run(None, {self._input: hidden})[0]
        kernels.add_dot(
            pairs.vector,
            pairs.bias,
            table.vector,
            table.vector_scale,
            table.bias,
            pairs.ad,
            owner,
            logit,
        )
        return logit

    @abstractmethod
    def _half_request(self, vector: NDArray[np.float32]) -> NDArray[np.float32]: ...

    @abstractmethod
    def _enter(
        self,
        half: NDArray[np.float32],
        table: AdTable,
        ad: NDArray[np.int32],
        owner: NDArray[np.int32],
        hidden: NDArray[Any],
    ) -> None: ...


class LocalScorer(_SplitScorer):
    """The released model: INT8 behind the first layer, which is computed in float and rounded."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, bundle.int8_graph, np.uint8)
        self._inverse = 1.0 / bundle.first.scale

    def _half_request(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        first = self.bundle.first
        half: NDArray[np.float32] = kernels.dense(vector, first.request, first.bias, False)
        half *= np.float32(self._inverse)
        return half

    def _enter(
        self,
        half: NDArray[np.float32],
        table: AdTable,
        ad: NDArray[np.int32],
        owner: NDArray[np.int32],
        hidden: NDArray[Any],
    ) -> None:
        kernels.enter_int8(half, table.half, table.half_scale, self._inverse, ad, owner, hidden)


class LocalScorers:
    """Released models side by side; pairs say which one scores them. One per thread."""

    def __init__(self) -> None:
        self.models: dict[int, LocalScorer] = {}

    def add(self, bundle: Bundle, snapshot: int, table: AdTable) -> None:
        """Let the model score pairs of this snapshot."""
        known = self.models.get(bundle.version)
        if known is None or known.bundle.sha256 != bundle.sha256:
            known = self.models[bundle.version] = LocalScorer(bundle)
        known.add(snapshot, table)

    def keep(self, versions: Collection[int]) -> None:
        """Forget all other models."""
        self.models = {one: self.models[one] for one in self.models if one in versions}

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """As `LocalScorer.score` of the model that the pairs name; Refused if it is not here."""
        model = self.models.get(pairs.model)
        if model is None:
            raise Refused(f"model {pairs.model} is not loaded, {sorted(self.models)} are")
        return model.score(pairs)


class FloatScorer(_SplitScorer):
    """The same model in float behind the same ad table: what INT8 is measured against."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, bundle.fp32_graph, np.float32)

    def _half_request(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        first = self.bundle.first
        half: NDArray[np.float32] = kernels.dense(vector, first.request, first.bias, False)
        return half

    def _enter(
        self,
        half: NDArray[np.float32],
        table: AdTable,
        ad: NDArray[np.int32],
        owner: NDArray[np.int32],
        hidden: NDArray[Any],
    ) -> None:
        kernels.enter_fp32(half, table.half, table.half_scale, ad, owner, hidden)
