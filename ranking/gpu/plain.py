"""The same arithmetic as torch operations on any device: the kernels' twin, and what they beat.

Whole numbers are multiplied as floats, without loss: no sum of a layer's products reaches 2^24.
(Codes below 2^8 and weights below 2^7 over at most 256 inputs stay below 2^23.)
"""

from __future__ import annotations

from torch import Tensor

from ranking.gpu.network import HIGHEST
from ranking.gpu.resident import Ads, Constants


def score(model: Constants, ads: Ads, owner: Tensor, ad: Tensor, vector: Tensor) -> Tensor:
    """f32 [R] log-odds of pairs: `owner` and `ad` i64 [R], `vector` f32 [B, D + 1]."""
    dim, hidden, lowest = model.dim, model.hidden, model.model.network.lowest
    half = request_half(model, vector)
    record, number = ads.code[ad], ads.number[ad][:, (hidden + dim) // 4 :]
    first = record[:, :hidden].float()
    entering = half[owner] + first * number[:, :1]
    theirs = record[:, hidden : hidden + dim].float()
    near = (vector[owner, :dim] * theirs).sum(dim=1) * number[:, 1]
    return network(model, codes(entering, lowest)) + near + vector[owner, dim] + number[:, 2]


def request_half(model: Constants, vector: Tensor) -> Tensor:
    """f32 [B, H] the first layer of each request, in steps of the codes."""
    network = model.model.network
    own = vector[:, : model.dim] @ model.request + model.bias
    return own * (1.0 / network.scale) + network.lowest


def network(model: Constants, entering: Tensor) -> Tensor:
    """f32 [R] log-odds of codes [R, H], whole numbers in f32."""
    lowest, second = model.model.network.lowest, len(model.weight2)
    code = entering
    for weight, part in ((model.weight2, slice(second)), (model.weight3, slice(second, None))):
        total = code @ weight.float().t() + model.correction[part]
        code = codes(total * model.multiplier[part] + lowest, lowest)
    return (code @ model.last[:-2] + model.last[-2]) * model.last[-1]


def codes(x: Tensor, lowest: int) -> Tensor:
    """Whole numbers in f32, halves to even."""
    return x.clamp(lowest, HIGHEST).round()
