"""The selector behind a Triton Inference Server, over gRPC.

Knows neither what is done with the ads nor what happens where none come: that is a `RankerError`,
as of the click model, within the time given.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from adserver.selection.message import ASK, CHANGE, Change
from ranking.scorer import Broken, Late
from ranking.triton import ABANDONED_S, OPTIONS, READY_WITHIN_S, translated
from retrieval.gpu.asks import Asks
from retrieval.gpu.selector import Ranked

MODEL: Final = "ad_selector"
FIRST: Final = 1
"""Priority of changes: requests that are answered after one know of it."""
CHANGED_WITHIN_S: Final = 5.0
OUTPUTS: Final = {
    "AD": np.int32,
    "VALUE": np.float32,
    "LOGIT": np.float32,
    "WORTH": np.float32,
    "SLOTS": np.uint32,
    "ELIGIBLE": np.int32,
}


class TritonSelector:
    """Asks the server at `url` (host:port). Make it inside the event loop that will use it."""

    def __init__(self, url: str) -> None:
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

    async def select(self, asks: Asks, snapshot: int, model: int, timeout_s: float) -> Ranked:
        """The best ads of each request; a RankerError within the time given if there are none."""
        about = np.tile(np.array([snapshot, model, ASK], np.int64), (len(asks.ask), 1))
        answer = await self._call(_message(asks.ask, asks.vector, about), timeout_s)
        return received(answer, len(asks.ask))

    async def change(self, change: Change, snapshot: int, model: int) -> None:
        """Have it know of a change; a RankerError if it does not, Refused while it still loads."""
        whole, floats = change.packed()
        about = np.array([[snapshot, model, CHANGE]], np.int64)
        message = _message(whole[None], floats[None], about)
        message.parameters["priority"].uint64_param = FIRST
        await self._call(message, CHANGED_WITHIN_S)

    async def ready(self) -> bool:
        """Whether the model answers at all; a snapshot is loaded when it is first spoken of."""
        question = service_pb2.ModelReadyRequest(name=MODEL)
        try:
            answer = await self._model_ready(question, timeout=READY_WITHIN_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, message: Any, timeout_s: float) -> Any:
        """The answer; a call that is late is left to end by itself, see `ranking.triton`."""
        if timeout_s <= 0.0:
            raise Late("no time was left to ask")
        call = asyncio.ensure_future(self._infer(message, timeout=max(ABANDONED_S, timeout_s)))
        done, _ = await asyncio.wait({call}, timeout=timeout_s)
        if not done:
            call.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise Late(f"no ads within {timeout_s * 1000:.1f} ms")
        try:
            return call.result()
        except grpc.aio.AioRpcError as error:
            raise translated(error) from None


async def is_ready(url: str) -> bool:
    """Whether the server at `url` has the model; for who starts one."""
    selector = TritonSelector(url)
    try:
        return await selector.ready()
    finally:
        await selector.close()


def received(answer: Any, requests: int) -> Ranked:
    """The answer's columns, if they are whole; Broken if not."""
    names = [output.name for output in answer.outputs]
    if sorted(names) != sorted(OUTPUTS) or len(answer.raw_output_contents) != len(OUTPUTS):
        raise Broken(f"{names} came as an answer")
    column: dict[str, NDArray[Any]] = {
        name: np.frombuffer(content, OUTPUTS[name])
        for name, content in zip(names, answer.raw_output_contents, strict=True)
    }
    best = column["AD"].size // max(requests, 1)
    wrong = {name for name in OUTPUTS if column[name].size != requests * best}
    if wrong - {"ELIGIBLE"} or column["ELIGIBLE"].size != requests:
        raise Broken(f"columns of {[len(one) for one in column.values()]} came for {requests}")
    if not np.isfinite(column["LOGIT"]).all():
        raise Broken("a score is not a finite number")
    square = {name: column[name].reshape(requests, best) for name in OUTPUTS if name != "ELIGIBLE"}
    return Ranked(
        *(square["AD"], square["VALUE"], square["LOGIT"], square["WORTH"], square["SLOTS"]),
        column["ELIGIBLE"],
    )


def _message(
    whole: NDArray[np.int32], floats: NDArray[np.float32], about: NDArray[np.int64]
) -> Any:
    message = service_pb2.ModelInferRequest(model_name=MODEL)
    inputs = (("ASK", "INT32", whole), ("VECTOR", "FP32", floats), ("VERSION", "INT64", about))
    for name, datatype, tensor in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=tensor.shape)
        message.raw_input_contents.append(tensor.tobytes())
    return message
