"""Calls of one model behind a Triton Inference Server, over gRPC.

The only file that touches Triton's protocol. It knows no model: who calls it says what goes to and
fro.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import grpc
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype

from ranking.scorer import Broken, Gone, Late, RankerError, Refused

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


Input = tuple[str, NDArray[Any]]
"""Name and tensor."""


class RemoteModel:
    """A model of the server at `url` (host:port); several calls may be in flight.

    Make it inside the event loop that will use it.
    """

    def __init__(self, url: str, name: str) -> None:
        self._name = name
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

    async def infer(
        self, inputs: Sequence[Input], timeout_s: float, version: str = "", priority: int = 0
    ) -> Any:
        """The answer's message; a RankerError within the time given if there is none. `version` and
        `priority`: empty and 0 are the server's own choice."""
        if timeout_s <= 0.0:
            raise Late("no time was left to ask")
        message = self._message(inputs)
        message.model_version = version
        if priority:
            message.parameters["priority"].uint64_param = priority
        call = asyncio.ensure_future(self._infer(message, timeout=max(ABANDONED_S, timeout_s)))
        done, _ = await asyncio.wait({call}, timeout=timeout_s)
        if not done:
            call.add_done_callback(_let_go)
            raise Late(f"no answer within {timeout_s * 1000:.1f} ms")
        try:
            return call.result()
        except grpc.aio.AioRpcError as error:
            raise translated(error) from None

    async def ready(self) -> bool:
        """Whether the model is loaded, which includes that it is warm."""
        question = service_pb2.ModelReadyRequest(name=self._name)
        try:
            answer = await self._model_ready(question, timeout=READY_WITHIN_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def close(self) -> None:
        await self._channel.close()

    def _message(self, inputs: Sequence[Input]) -> Any:
        message = service_pb2.ModelInferRequest(model_name=self._name)
        for name, tensor in inputs:
            datatype = np_to_triton_dtype(tensor.dtype)
            message.inputs.add(name=name, datatype=datatype, shape=tensor.shape)
            message.raw_input_contents.append(tensor.tobytes())
        return message


def _let_go(call: asyncio.Future[Any]) -> None:
    """The answer to a call that nobody waits for any more; looked at, so that none complains."""
    if not call.cancelled():
        call.exception()


async def is_ready(url: str, name: str) -> bool:
    """Whether the server at `url` has the model loaded and warm; for who starts one."""
    model = RemoteModel(url, name)
    try:
        return await model.ready()
    finally:
        await model.close()


async def load(url: str, name: str) -> str:
    """Have the server at `url` take up what the model's configuration says now; why it did not, or
    nothing. Versions that it keeps go on answering meanwhile."""
    async with grpc.aio.insecure_channel(url, options=OPTIONS) as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/RepositoryModelLoad",
            request_serializer=service_pb2.RepositoryModelLoadRequest.SerializeToString,
            response_deserializer=service_pb2.RepositoryModelLoadResponse.FromString,
        )
        try:
            question = service_pb2.RepositoryModelLoadRequest(model_name=name)
            await call(question, timeout=LOADED_WITHIN_S)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    return ""


def translated(error: grpc.aio.AioRpcError) -> RankerError:
    return MEANING[error.code()](f"{error.code().name}: {error.details()}")
