"""The click model behind a Triton Inference Server.

Knows neither the model's inside nor who starts the server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ranking import remote
from ranking.scorer import Broken, Pairs

MODEL: Final = "ctr_ranker"
ROWS: Final = 64
"""`max_batch_size` of the model's configuration."""


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


class TritonScorer(remote.RemoteModel):
    """Scores on the server at `url` (host:port); several calls may be in flight.

    Make it inside the event loop that will use it. `width` is how many candidates one row of the
    model's input holds: all workers must agree on it, because the server merges rows of equal
    width only.
    """

    def __init__(self, url: str, width: int) -> None:
        super().__init__(url, MODEL)
        self._width = width

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
        snapshot = np.full((len(ad), 1), pairs.version, np.int64)
        inputs = (("AD", ad), ("REQUEST", request), ("VERSION", snapshot))
        answer = await self.infer(inputs, timeout_s, str(pairs.model or ""))
        return received(answer, ad.size)


async def is_ready(url: str) -> bool:
    """Whether the server at `url` has the click model loaded and warm; for who starts one."""
    return await remote.is_ready(url, MODEL)


async def load(url: str) -> str:
    """`remote.load` of the click model: why it was not taken up, or nothing."""
    return await remote.load(url, MODEL)


def received(answer: Any, size: int) -> NDArray[np.float32]:
    """The answer's numbers, if they are `size` finite ones."""
    content = answer.raw_output_contents
    if len(content) != 1 or len(content[0]) != 4 * size:
        raise Broken(f"{[len(c) for c in content]} bytes came for {size} scores")
    logit = np.frombuffer(content[0], np.float32)
    if not np.isfinite(logit).all():
        raise Broken("a score is not a finite number")
    return logit
