"""The committed model over ads and requests drawn at random: their sizes are real, nothing else.

Their vectors spread as those of the simulated market's do, so activations use the range that they
were quantised for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ranking.gpu.network import Model
from ranking.gpu.onnx_file import constants
from ranking.gpu.resident import Ads, Constants
from ranking.scorer import Pairs

Floats = NDArray[np.float32]
RELEASED: Final = Path(__file__).parents[2] / "model_repository" / "ctr_ranker" / "1"
OF_REQUESTS: Final = 0.27
OF_ADS: Final = 0.14
"""Standard deviation of a vector's numbers."""
CHUNK: Final = 65_536
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Sampled:
    """Ads as `ranking.gpu.record.Columns`."""

    model: str
    half: NDArray[np.int8]
    half_scale: Floats
    vector: NDArray[np.int8]
    vector_scale: Floats
    bias: Floats

    def __len__(self) -> int:
        return len(self.bias)

    def times(self, count: int) -> Sampled:
        """The same ads `count` times over."""
        columns = (self.half, self.half_scale, self.vector, self.vector_scale, self.bias)
        return Sampled(self.model, *(np.concatenate([one] * count) for one in columns))


def table(model: Model, rng: np.random.Generator, ads: int) -> Sampled:
    """`ads` ads; their halves are the model's of their vectors, both in rowwise INT8."""
    dim, hidden = model.ad.shape
    made = Sampled(
        model.tables,
        np.empty((ads, hidden), np.int8),
        np.empty(ads, np.float32),
        np.empty((ads, dim), np.int8),
        np.empty(ads, np.float32),
        rng.normal(-4.4, 0.3, ads).astype(np.float32),
    )
    for start in range(0, ads, CHUNK):
        part = slice(start, min(start + CHUNK, ads))
        shape = (part.stop - start, dim)
        vector = (rng.standard_normal(shape) * OF_ADS).astype(np.float32)
        made.half_scale[part] = _quantised(vector @ model.ad, made.half[part])
        made.vector_scale[part] = _quantised(vector, made.vector[part])
    return made


def _quantised(values: Floats, codes: NDArray[np.int8]) -> Floats:
    """As `ranking.kernels.quantise_rows`, which compiles."""
    scale: Floats = np.abs(values).max(axis=1) / np.float32(127)
    np.rint(values / scale[:, None], out=values)
    codes[:] = values
    return scale


def pages(rng: np.random.Generator, counts: list[int], ads: int, dim: int) -> Pairs:
    """Requests with that many pairs each, the table's first and last ad among them."""
    offset = np.cumsum([0, *counts]).astype(np.int32)
    ad = rng.integers(0, ads, offset[-1], dtype=np.int32)
    ad[:1], ad[-1:] = 0, ads - 1
    vector = rng.standard_normal((len(counts), dim), np.float32) * np.float32(OF_REQUESTS)
    bias = rng.normal(-0.1, 0.3, len(counts)).astype(np.float32)
    return Pairs(VERSION, vector, bias, ad, offset)


def owners(pairs: Pairs) -> NDArray[np.int64]:
    """[R] the request of each pair."""
    return np.repeat(np.arange(len(pairs.bias)), np.diff(pairs.offset))


class FloatNet:
    """The model in one float type over a table of the same type: what INT8 must beat.

    Nothing is converted on the way, and the request's half is computed once a request.
    """

    def __init__(self, model: Constants, ads: Ads, dtype: torch.dtype) -> None:
        stored = constants((RELEASED / "ctr_ranker_fp32.onnx").read_bytes())
        device, dim, hidden = ads.code.device, model.dim, model.hidden
        number = ads.number[:, (hidden + dim) // 4 :]
        step = model.model.network.scale * number[:, :1]
        self.half = (ads.code[:, :hidden] * step).to(dtype)
        self.vector = (ads.code[:, hidden : hidden + dim] * number[:, 1:2]).to(dtype)
        self.ad_bias = number[:, 2].clone()
        self.request, self.bias = model.request, model.bias
        self.layer = {
            name: torch.from_numpy(np.array(value)).to(device, dtype)
            for name, value in stored.items()
            if name != "flat"
        }
        self.dtype, self.dim = dtype, dim

    def __call__(self, owner: torch.Tensor, ad: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """f32 [R] log-odds: `owner` and `ad` i64 [R], `vector` f32 [B, D + 1]."""
        layer, own = self.layer, vector[:, : self.dim]
        half = (own @ self.request + self.bias).to(self.dtype)
        x = torch.relu(half[owner] + self.half[ad])
        x = torch.relu(torch.addmm(layer["second.bias"], x, layer["second.weight"]))
        x = torch.relu(torch.addmm(layer["third.bias"], x, layer["third.weight"]))
        logit = torch.addmm(layer["last.bias"], x, layer["last.weight"])[:, 0].float()
        near = (own.to(self.dtype)[owner] * self.vector[ad]).sum(dim=1).float()
        return logit + near + vector[owner, self.dim] + self.ad_bias[ad]


class IntNet:
    """The INT8 layers by `torch._int_mm`, everything between them by other operations."""

    def __init__(self, model: Constants, ads: Ads) -> None:
        self.model, self.ads = model, ads
        self.weight2, self.weight3 = model.weight2.t(), model.weight3.t()

    def __call__(self, owner: torch.Tensor, ad: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """As `FloatNet`; R must be a multiple of 32."""
        model, record = self.model, self.ads.code[ad]
        net, dim, hidden = model.model.network, model.dim, model.hidden
        number = self.ads.number[ad][:, (hidden + dim) // 4 :]
        own = vector[:, :dim]
        half = (own @ model.request + model.bias) * (1.0 / net.scale) + net.lowest
        x = half[owner] + record[:, :hidden].float() * number[:, :1]
        second = len(model.weight2)
        for weight, part in ((self.weight2, slice(second)), (self.weight3, slice(second, None))):
            code = x.clamp(net.lowest, 127).round().to(torch.int8)
            total = torch._int_mm(code, weight) + model.correction[part]
            x = total * model.multiplier[part] + net.lowest
        code = x.clamp(net.lowest, 127).round()
        logit = (code @ model.last[:-2] + model.last[-2]) * model.last[-1]
        theirs = record[:, hidden : hidden + dim].float()
        near = (own[owner] * theirs).sum(dim=1) * number[:, 1]
        return logit + near + vector[owner, dim] + number[:, 2]
