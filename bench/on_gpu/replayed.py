"""Pages of the simulated market sold by the real auction on rates of float64, CPU and GPU.

    python -m bench.on_gpu.replayed [--pages 10000] [--contenders 8] [--quick]

One JSON line for each pair of forms. Pages are those of the release gate; float64 starts from the
towers' vectors before they are rounded to the ad table's rows, and multiplies unquantised weights.
Without a device the GPU's arithmetic runs as torch operations, equal to the kernel's to the unit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from adserver.training import simulated
from auction.settings import AuctionSettings
from bench.on_gpu import ranked
from bench.on_gpu.baselines import Inputs
from bench.on_gpu.equality import FLIPS, REVENUE
from feedback.gate_pages import PageSettings, pages_of
from feedback.gate_replay import Pages, compared
from ranking import judge
from ranking.bundle import S8S8, Bundle
from ranking.dataset import Impressions
from ranking.gpu import plain
from ranking.gpu.network import Model
from ranking.gpu.onnx_file import constants
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.scorer import GpuScorer, Settings
from ranking.scorer import Pairs
from ranking.table import AdTable

ADS: Final = 10_000
VISITS: Final = 40_000
CHUNK: Final = 50_000
Logits = Callable[[Impressions], NDArray[np.float32]]


def float64(bundle: Bundle) -> Logits:
    """The released towers and the network as it was trained, in float64."""
    known = constants(bundle.fp32_graph)
    weight = {name: one.astype(np.float64) for name, one in known.items()}

    def score(table: Impressions) -> NDArray[np.float32]:
        u, own = (one.astype(np.float64) for one in bundle.towers.request(table.request))
        a, theirs = (one.astype(np.float64) for one in bundle.towers.ad(table.catalogue))
        logit = np.empty(len(table))
        for start in range(0, len(table), CHUNK):
            part = slice(start, start + CHUNK)
            of, ad = table.of[part], table.ad[part]
            x = u[of] @ bundle.first.request + a[ad] @ bundle.first.ad + bundle.first.bias
            x = np.maximum(x, 0.0)
            for name in ("second", "third"):
                x = np.maximum(x @ weight[f"{name}.weight"] + weight[f"{name}.bias"], 0.0)
            near = np.einsum("rd,rd->r", u[of], a[ad]) + own[of] + theirs[ad]
            logit[part] = (x @ weight["last.weight"] + weight["last.bias"])[:, 0] + near
        return (logit + beside(bundle, table)).astype(np.float32)

    return score


def beside(bundle: Bundle, table: Impressions) -> NDArray[np.float32]:
    """[R] what a worker adds to the network's answer."""
    return bundle.towers.slot_bias(table.slot) + bundle.count(table.counts)


def on_gpu(bundle: Bundle) -> Logits:
    """The kernel on a device, else its arithmetic."""
    model = Model.of(bundle)

    def score(table: Impressions) -> NDArray[np.float32]:
        vector, bias = bundle.towers.request(table.request)
        pairs = Pairs(0, vector, bias, table.ad, table.starts().astype(np.int32))
        ads = AdTable.build(bundle, table.catalogue)
        return _scored(model, ads, pairs) + beside(bundle, table)

    return score


def _scored(model: Model, table: AdTable, pairs: Pairs) -> NDArray[np.float32]:
    if torch.cuda.is_available():
        scorer = GpuScorer(model, Settings(torch.device("cuda")))
        scorer.add(0, table)
        return scorer.score(pairs)
    cpu = torch.device("cpu")
    known, ads = Constants.of(model, cpu), Ads.of(table, model.network.scale, cpu)
    one = Inputs.of(pairs, cpu)
    parts = [
        plain.score(known, ads, one.owner[at : at + CHUNK], one.ad[at : at + CHUNK], one.vector)
        for at in range(0, len(pairs.ad), CHUNK)
    ]
    return np.asarray(torch.cat(parts).numpy())


def main() -> int:
    flags = _flags()
    bundle = Bundle.load(ranked.RELEASED)
    table = simulated(ADS, max(VISITS, 4 * flags.pages), seed=5)
    pages = pages_of(table, PageSettings(pages=flags.pages, contenders=flags.contenders))
    symmetric = replace(bundle, int8_graph=(ranked.RELEASED / S8S8).read_bytes())
    forms = {
        "float64": float64(bundle),
        "CPU INT8": judge.served(bundle),
        "GPU INT8": on_gpu(bundle),
        "GPU INT8 of the symmetric export": on_gpu(symmetric),
    }
    ppm = {
        name: judge.rate(logits, bundle.calibration)(pages.asked) for name, logits in forms.items()
    }
    lines = [_line(pages, ppm, before, after) for before, after in combinations(ppm, 2)]
    for line in lines:
        print(json.dumps(line), flush=True)
    return int(not all(line["passed"] for line in lines if "export" not in line["forms"][1]))


def _line(
    pages: Pages, ppm: dict[str, NDArray[np.int64]], before: str, after: str
) -> dict[str, Any]:
    """How alike two forms sell; the symmetric export, which nobody serves, need not pass."""
    rules = AuctionSettings()
    old, new = ppm[before], ppm[after]
    found = compared(pages, pages.sold(old, rules), pages.sold(new, rules), old)
    return {
        "bench": "replayed",
        "forms": [before, after],
        "pages": found.pages,
        "slots": found.slots,
        "rows": len(pages.asked),
        "winners_alike": 1 - found.flips.value,
        "revenue_change": found.revenue.value,
        "revenue_from": found.revenue.low,
        "revenue_to": found.revenue.high,
        "rates_alike": float((old == new).mean()),
        "gpu": "kernel" if torch.cuda.is_available() else "torch operations on the CPU",
        "passed": found.flips.value <= FLIPS and abs(found.revenue.value) <= REVENUE,
    }


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--contenders", type=int, default=8, help="drawn for each slot")
    parser.add_argument("--quick", action="store_true", help="500 pages")
    flags = parser.parse_args()
    if flags.quick:
        flags.pages = 500
    return flags


if __name__ == "__main__":
    sys.exit(main())
