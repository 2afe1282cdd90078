"""The selector behind a Triton Inference Server.

Knows neither what is done with the ads nor what happens where none come: that is a `RankerError`,
as of the click model, within the time given.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adserver.selection.message import ASK, CHANGE, OUTPUTS, Change
from ranking import remote
from ranking.scorer import Broken
from retrieval.gpu.asks import Asks
from retrieval.gpu.selector import Ranked

MODEL: Final = "ad_selector"
FIRST: Final = 1
"""Priority of changes: requests that are answered after one know of it."""
CHANGED_WITHIN_S: Final = 5.0


class TritonSelector(remote.RemoteModel):
    """Asks the server at `url` (host:port). Make it inside the event loop that will use it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, MODEL)

    async def select(self, asks: Asks, snapshot: int, model: int, timeout_s: float) -> Ranked:
        """The best ads of each request; a RankerError within the time given if there are none."""
        about = np.tile(np.array([snapshot, model, ASK], np.int64), (len(asks.ask), 1))
        answer = await self.infer(_inputs(asks.ask, asks.vector, about), timeout_s)
        return received(answer, len(asks.ask))

    async def change(self, change: Change, snapshot: int, model: int) -> None:
        """Have it know of a change; a RankerError if it does not, Refused while it still loads."""
        whole, floats = change.packed()
        about = np.array([[snapshot, model, CHANGE]], np.int64)
        inputs = _inputs(whole[None], floats[None], about)
        await self.infer(inputs, CHANGED_WITHIN_S, priority=FIRST)


async def is_ready(url: str) -> bool:
    """As `remote.is_ready`; a snapshot is loaded when it is first spoken of."""
    return await remote.is_ready(url, MODEL)


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
        *(square["AD"], square["VALUE"], square["LOGIT"], square["WORTH"]),
        square["SLOTS"].view(np.uint32),
        column["ELIGIBLE"],
    )


def _inputs(
    whole: NDArray[np.int32], floats: NDArray[np.float32], about: NDArray[np.int64]
) -> tuple[remote.Input, ...]:
    return ("ASK", whole), ("VECTOR", floats), ("VERSION", about)
