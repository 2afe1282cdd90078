"""One batch on the device: copied in, scored by two kernels, copied out; replayed as a graph.

On CPU tensors the same kernels run in the interpreter, without a graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranking.gpu import kernels
from ranking.gpu.batch import Layout
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.tiling import Tiling
from ranking.scorer import Pairs

Floats = NDArray[np.float32]
REQUESTS, COLUMNS = 16, 64
"""Requests and columns of one program of the request kernel."""


@dataclass(frozen=True, slots=True)
class Want:
    """What of the fused kernel's work is wanted."""

    calibrated: bool = False
    """Click rates beside the log-odds."""
    added: bool = False
    """Log-odds from elsewhere (the slot's share, counts) are added before calibration."""


class Launch:
    """Buffers for batches up to one size, and the graph that scores what is in them.

    One batch at a time: whoever calls `score` waits for its answer.
    """

    def __init__(
        self, model: Constants, ads: Ads, layout: Layout, tiling: Tiling, want: Want
    ) -> None:
        self.layout, self.tiling, self.want = layout, tiling, want
        self._model, self._ads = model, ads
        device = ads.code.device
        self._cuda = device.type == "cuda"
        words, rows = layout.words(want.added), layout.size.rows
        out = rows * (2 if want.calibrated else 1)
        self._given = torch.zeros(words, dtype=torch.int32, pin_memory=self._cuda)
        self._answer = torch.zeros(out, dtype=torch.int32, pin_memory=self._cuda)
        self._in, self._out = self._given, self._answer
        if self._cuda:
            self._in, self._out = self._given.to(device), self._answer.to(device)
        self._half = torch.empty(
            (layout.size.requests, model.hidden), dtype=torch.float32, device=device
        )
        self._graph = self._captured() if self._cuda else None

    def score(
        self, pairs: Pairs, added: Floats | None = None
    ) -> tuple[Floats, NDArray[np.int32] | None]:
        """Log-odds f32[R], and click rates in millionths i32[R] where they are wanted."""
        self.layout.write(self._given.numpy(), pairs, self._ads.count, added)
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()
            torch.cuda.current_stream().synchronize()
        answer, rows, count = self._answer.numpy(), self.layout.size.rows, len(pairs.ad)
        ppm = answer[rows : rows + count].copy() if self.want.calibrated else None
        return answer[:count].view(np.float32).copy(), ppm

    def hold(self, pairs: Pairs) -> None:
        """Bring in a batch's shape, for `score_there`."""
        self.layout.write(self._given.numpy(), pairs, self._ads.count)
        self._in.copy_(self._given)

    def score_there(self, ad: Tensor, vector: Tensor) -> Tensor:
        """Log-odds f32[B, k] of ads i32[B, k] (-1: NaN) and vectors f32[B, D + 1].

        The batch held has as many requests or more, all of k pairs. From device to device, waiting
        for nothing: part of somebody else's graph. Valid until the next call.
        """
        column = self._columns()
        column["ad"][: ad.numel()].copy_(ad.reshape(-1))
        column["vector"][: vector.numel()].copy_(vector.reshape(-1))
        self.compute()
        return self._out[: ad.numel()].view(torch.float32).reshape(ad.shape)

    def replay(self) -> None:
        """Score again what is in the buffers, and wait for nothing: for measurements."""
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()

    def compute(self) -> None:
        """The kernels alone, on what is on the device."""
        size, model, tiling = self.layout.size, self._model, self.tiling
        halves = (-(-size.requests // REQUESTS), model.hidden // COLUMNS)
        net = model.model.network
        column = self._columns()
        kernels.request_halves[halves](
            column["header"],
            column["vector"],
            model.request,
            model.bias,
            self._half,
            1.0 / net.scale,
            float(net.lowest),
            D=model.dim,
            H=model.hidden,
            ROWS=REQUESTS,
            COLUMNS=COLUMNS,
        )
        out = self._out.view(torch.float32)
        kernels.score_tiles[(self._programs(),)](
            column["header"],
            column["tile_request"],
            column["tile_first"],
            column["offset"],
            column["ad"],
            column["vector"],
            column["added"] if self.want.added else column["vector"],
            self._half,
            self._ads.code,
            self._ads.number,
            model.weight2,
            model.weight3,
            model.correction,
            model.multiplier,
            model.last,
            model.curve,
            out,
            self._out[size.rows :] if self.want.calibrated else self._out,
            **self._shape(),
            num_warps=tiling.warps,
        )

    def _columns(self) -> dict[str, Tensor]:
        places = self.layout.places
        columns = {name: self._in[place] for name, place in places.items()}
        return columns | {
            name: columns[name].view(torch.float32)
            for name in ("vector", "added")
            if len(columns[name])
        }

    def _shape(self) -> dict[str, Any]:
        model, net = self._model, self._model.model.network
        return {
            "D": model.dim,
            "H": model.hidden,
            "S": len(model.weight2),
            "T": len(model.weight3),
            "STRIDE": self._ads.code.shape[1],
            "KNOTS": len(model.model.probability),
            "LOWEST": net.lowest,
            "ADDED": self.want.added,
            "CALIBRATED": self.want.calibrated,
            "BLOCK": self.tiling.block,
            "AHEAD": bool(self.tiling.ahead),
        }

    def _programs(self) -> int:
        if not self._cuda:
            return 2  # so that the interpreter sees a program take several tiles
        chip = torch.cuda.get_device_properties(self._ads.code.device)
        return min(chip.multi_processor_count * self.tiling.programs, self.layout.tiles)

    def _work(self) -> None:
        if self._cuda:
            self._in.copy_(self._given, non_blocking=True)
        self.compute()
        if self._cuda:
            self._answer.copy_(self._out, non_blocking=True)

    def _captured(self) -> Any:
        """The graph; the first call outside it compiles.

        Captured by hand: `torch.cuda.graph` would also collect garbage and wait for the device,
        which requests that another thread answers meanwhile would feel.
        """
        self._work()
        torch.cuda.current_stream().synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(torch.cuda.Stream(self._in.device)):  # type: ignore[no-untyped-call]
            graph.capture_begin(capture_error_mode="thread_local")
            self._work()
            graph.capture_end()
        return graph
