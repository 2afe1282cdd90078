"""The click model behind a Triton Inference Server, over gRPC.

The only file that touches Triton's protocol. It knows neither the model nor who starts the server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from ranking.scorer import Broken, Gone, Late, Pairs, RankerError, Refused

MODEL: Final = "ctr_ranker"
ROWS: Final = 64
"""`max_batch_size` of the model's configuration."""
READY_WITHIN_S: Final = 1.0
LOADED_WITHIN_S: Final = 120.0
ABANDONED_S: Final = 2.0
"""A late call is left to end by itself within this. Cancelling it, as a deadline on the wire would,
can crash Triton 2.51: its gRPC handler races with the model's answer."""

OPTIONS: Final = (
    # A server that was killed and started again is found within half a second; gRPC's own
    # waiting times grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    # Scores never leave through a proxy that the environment names for the web.
    ("grpc.enable_http_proxy", 0),
)

MEANING: Final = MappingProxyType(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED: Late,
        grpc.StatusCode.UNAVAILABLE: Gone,
        grpc.StatusCode.CANCELLED: Gone,
        grpc.StatusCode.RESOURCE_EXHAUSTED: Refused,
        grpc.StatusCode.NOT_FOUND: Refused,
        grpc.StatusCode.INVALID_ARGUMENT: Refused,
        grpc.StatusCode.FAILED_PRECONDITION: Refused,
        grpc.StatusCode.OUT_OF_RANGE: Refused,
        grpc.StatusCode.ALREADY_EXISTS: Refused,
        grpc.StatusCode.PERMISSION_DENIED: Refused,
        grpc.StatusCode.UNAUTHENTICATED: Refused,
        grpc.StatusCode.ABORTED: Refused,
        grpc.StatusCode.UNIMPLEMENTED: Broken,
        grpc.StatusCode.INTERNAL: Broken,
        grpc.StatusCode.DATA_LOSS: Broken,
        grpc.StatusCode.UNKNOWN: Broken,
        grpc.StatusCode.OK: Broken,
    }
)
"""What each way in which a call can fail means here; a test holds that none is missing."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Pairs as the model's input wants them: N rows of equal width K."""

    ad: NDArray[np.int32]
    """[N, K] ad rows; -1 where a row has no more."""
    request: NDArray[np.float32]
    """[N, D + 1] the vector and the bias of the request that the row belongs to."""
    position: NDArray[np.int64]
    """[R] where each pair stands in the flat `ad`."""

    @classmethod
    def of(cls, pairs: Pairs, width: int) -> Rows:
        """A request with more than `width` pairs takes several rows; one with none takes none."""
        count = np.diff(pairs.offset).astype(np.int64)
        rows = -(-count // width)
        first = np.cumsum(rows) - rows
        shift = first * width - pairs.offset[:-1]
        position = np.arange(len(pairs.ad), dtype=np.int64) + np.repeat(shift, count)
        ad = np.full(int(rows.sum()) * width, -1, np.int32)
        ad[position] = pairs.ad
        request = np.column_stack((pairs.vector, pairs.bias)).astype(np.float32, copy=False)
        return cls(ad.reshape(-1, width), np.repeat(request, rows, axis=0), position)


class TritonScorer:
    """Scores on the server at `url` (host:port); several calls may be in flight.

    Make it inside the event loop that will use it. `width` is how many candidates one row of the
    model's input holds: all workers must agree on it, because the server merges rows of equal
    width only.
    """

    def __init__(self, url: str, width: int) -> None:
        self._width = width
        self._channel: Any = grpc.aio.insecure_channel(url, options=OPTIONS)
        service = "/inference.GRPCInferenceService/"
        self._infer = self._channel.unary_unary(
            service + "ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        self._model_ready = self._channel.unary_unary(
            service + "ModelReady",
            request_serializer=service_pb2.ModelReadyRequest.SerializeToString,
            response_deserializer=service_pb2.ModelReadyResponse.FromString,
        )

    async def score(self, pairs: Pairs, timeout_s: float) -> NDArray[np.float32]:
        """The server's log-odds [R]; a RankerError within the time given if there are none."""
        if len(pairs.ad) == 0:
            return np.empty(0, np.float32)
        rows = Rows.of(pairs, self._width)
        calls = [
            self._call(rows.ad[at : at + ROWS], rows.request[at : at + ROWS], pairs, timeout_s)
            for at in range(0, len(rows.ad), ROWS)
        ]
        parts = [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)
        return np.concatenate(parts)[rows.position]

    async def _call(
        self,
        ad: NDArray[np.int32],
        request: NDArray[np.float32],
        pairs: Pairs,
        timeout_s: float,
    ) -> NDArray[np.float32]:
        if timeout_s <= 0.0:
            raise Late("no time was left to ask")
        message = _message(ad, request, np.full((len(ad), 1), pairs.version, np.int64))
        if pairs.model:
            message.model_version = str(pairs.model)
        call = asyncio.ensure_future(self._infer(message, timeout=ABANDONED_S))
        done, _ = await asyncio.wait({call}, timeout=timeout_s)
        if not done:
            call.add_done_callback(_let_go)
            raise Late(f"no scores within {timeout_s * 1000:.1f} ms")
        try:
            answer = call.result()
        except grpc.aio.AioRpcError as error:
            raise translated(error) from None
        return received(answer, ad.size)

    async def ready(self) -> bool:
        """Whether the model is loaded, which includes that it is warm."""
        question = service_pb2.ModelReadyRequest(name=MODEL)
        try:
            answer = await self._model_ready(question, timeout=READY_WITHIN_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def close(self) -> None:
        await self._channel.close()


def _let_go(call: asyncio.Future[Any]) -> None:
    """The answer to a call that nobody waits for any more; looked at, so that none complains."""
    if not call.cancelled():
        call.exception()


async def is_ready(url: str) -> bool:
    """Whether the server at `url` has the model loaded and warm; for who starts one."""
    scorer = TritonScorer(url, width=1)
    try:
        return await scorer.ready()
    finally:
        await scorer.close()


async def load(url: str) -> str:
    """Have the server at `url` take up what the model's configuration says now; why it did not, or
    nothing. Versions that it keeps go on answering meanwhile."""
    async with grpc.aio.insecure_channel(url, options=OPTIONS) as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/RepositoryModelLoad",
            request_serializer=service_pb2.RepositoryModelLoadRequest.SerializeToString,
            response_deserializer=service_pb2.RepositoryModelLoadResponse.FromString,
        )
        try:
            question = service_pb2.RepositoryModelLoadRequest(model_name=MODEL)
            await call(question, timeout=LOADED_WITHIN_S)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    return ""


def translated(error: grpc.aio.AioRpcError) -> RankerError:
    return MEANING[error.code()](f"{error.code().name}: {error.details()}")


def _message(
    ad: NDArray[np.int32],
    request: NDArray[np.float32],
    version: NDArray[np.int64],
) -> Any:
    message = service_pb2.ModelInferRequest(model_name=MODEL)
    inputs = (("AD", "INT32", ad), ("REQUEST", "FP32", request), ("VERSION", "INT64", version))
    for name, datatype, tensor in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=tensor.shape)
        message.raw_input_contents.append(tensor.tobytes())
    return message


def received(answer: Any, size: int) -> NDArray[np.float32]:
    """The answer's numbers, if they are `size` finite ones."""
    content = answer.raw_output_contents
    if len(content) != 1 or len(content[0]) != 4 * size:
        raise Broken(f"{[len(c) for c in content]} bytes came for {size} scores")
    logit = np.frombuffer(content[0], np.float32)
    if not np.isfinite(logit).all():
        raise Broken("a score is not a finite number")
    return logit
