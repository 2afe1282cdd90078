"""The three heads of `ranking.heads` behind the same towers, and the softmax; JSON lines.

    python -m bench.heads

One simulated log, one seed, the same passes for all. A head adds to the towers' dot product what it
makes of both vectors side by side; `mlp` is what is served. `auc` is what clicks drawn again and
again by the true rates would give on average, which spares the luck of one draw; `of_truth` is its
share of what the true rates themselves reach. `found` is the share of each request's `TOP` best ads
by the full score that are among the `CANDIDATES` best by the dot product, as retrieval ranks them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adserver.training import simulated
from ranking.dataset import Impressions, Split, split
from ranking.heads import HeadShape, head
from ranking.live import Live
from ranking.model import ClickModel, Shape, Sides, dense_parameters
from ranking.training import TrainSettings
from ranking.training.fitting import Steps, new_model
from ranking.training.progress import unheard
from ranking.training.ranks import ALONE

ADS, VISITS, SEED = 100_000, 2_000_000, 7
HEADS = {
    "mlp": HeadShape("mlp", layers=(256, 128, 64)),
    "streams": HeadShape("streams", layers=(256, 64), other=(128,), gated=True),
    "cross": HeadShape("cross", layers=(256, 64), crosses=3, rank=32),
}
"""Each with some 75 000 dense parameters, beside those of the towers."""
SOFTMAX = ((0.1, 1.0), (0.1, 0.0))
"""Weight of the softmax, and how much of logQ is taken off in it; beside `mlp`, which has none."""
TOP, CANDIDATES, ASKED = 20, 200, 500
CHUNK = 8_192


class Behind(ClickModel):
    """A click model with a head in place of its network."""

    def __init__(
        self, shape: Shape, request: Live, ad: Live, dropout: float, *, behind: HeadShape
    ) -> None:
        super().__init__(shape, request, ad, dropout)
        for name in ("first_request", "first_ad", "second", "third", "last"):
            delattr(self, name)
        self.head = head(behind, 2 * shape.vector)

    def network(self, sides: Sides, of: Tensor, which: Tensor) -> Tensor:
        pair = (sides.request.index_select(0, of), sides.ad.index_select(0, which))
        out: Tensor = self.head(torch.cat(pair, dim=1))
        return out


def trained(table: Impressions, settings: TrainSettings, behind: HeadShape) -> ClickModel:
    """By the same steps as any run."""
    torch.manual_seed(SEED)
    model = new_model(table, settings, partial(Behind, behind=behind))
    Steps(model, _numbered(table, model), settings, SEED, False, ALONE).all(unheard, None)
    return model.eval()


def _numbered(table: Impressions, model: ClickModel) -> Impressions:
    return replace(
        table,
        request=model.request.live.renumbered(table.request),
        catalogue=model.ad.live.renumbered(table.catalogue),
    )


def scores(model: ClickModel, table: Impressions) -> NDArray[np.float32]:
    """[2, R] full score and dot product."""
    own = _numbered(table, model)
    parts = []
    with torch.no_grad():
        for start in range(0, len(own.request), CHUNK):
            part = own.part(start, start + CHUNK)
            shown, which = np.unique(part.ad, return_inverse=True)
            columns = (part.request, part.of, part.catalogue[shown], which, part.slot, part.counts)
            parts.append(torch.stack(model(*(_tensor(one) for one in columns))).numpy())
    return np.concatenate(parts, axis=1)


def _tensor(column: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(column))


def expected_auc(
    truth: NDArray[np.floating], score: NDArray[np.floating], weight: NDArray[np.floating]
) -> float:
    """Mean AUC over clicks drawn by the true rates: each row is a click and none, in parts."""
    order = np.argsort(score, kind="stable")
    rate, mass = truth[order].astype(np.float64), weight[order].astype(np.float64)
    click, none = rate * mass, (1 - rate) * mass
    below = np.cumsum(none) - none / 2
    return float(below @ click / (click.sum() * none.sum()))


def found(model: ClickModel, table: Impressions, candidates: int = CANDIDATES) -> float:
    """Of the ads of `table`, whatever their targeting; no slot and no counts, as in retrieval."""
    own = _numbered(table, model)
    shown = np.unique(own.ad)
    asked = np.linspace(0, len(own.request) - 1, min(ASKED, len(own.request))).astype(np.int64)
    every = torch.arange(len(shown))
    share = []
    with torch.no_grad():
        sides = model.sides(_tensor(own.request[asked]), _tensor(own.catalogue[shown]))
        near = sides.request @ sides.ad.T + sides.ad_bias
        for at in range(len(asked)):
            full = near[at] + model.network(sides, torch.full_like(every, at), every)
            kept = near[at].topk(min(candidates, len(shown))).indices
            best = full.topk(min(TOP, len(shown))).indices
            share.append(torch.isin(best, kept).double().mean())
    return float(torch.stack(share).mean())


def figures(parts: Split, settings: TrainSettings) -> Iterator[dict[str, Any]]:
    """One line for the truth, for each head, and for each way of the softmax."""
    test = parts.test
    top = expected_auc(test.truth, test.truth, test.weight)
    yield {"figure": "truth", "auc": round(top, 5)}
    for name, behind in HEADS.items():
        yield {"figure": "head", "head": name} | _judged(parts, settings, behind, top)
    for weight, log_q in SOFTMAX:
        own = replace(settings, softmax_weight=weight, log_q=log_q)
        line = {"figure": "softmax", "weight": weight, "log_q": log_q}
        yield line | _judged(parts, own, HEADS["mlp"], top)


def _judged(parts: Split, settings: TrainSettings, behind: HeadShape, top: float) -> dict[str, Any]:
    begin, test = time.process_time(), parts.test
    model = trained(parts.train, settings, behind)
    seconds = time.process_time() - begin
    full, dot = (expected_auc(test.truth, one, test.weight) for one in scores(model, test))
    return {
        "auc": round(full, 5),
        "of_truth": round(full / top, 4),
        "dot_auc": round(dot, 5),
        "found": round(found(model, test), 4),
        "dense_parameters": dense_parameters(model),
        "cpu_s": round(seconds),
    }


def _log(kept: Path | None, ads: int, visits: int) -> Impressions:
    if kept and kept.exists():
        return Impressions.load(kept)
    table = simulated(ads, visits, SEED)
    if kept:
        table.save(kept)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--visits", type=int, default=VISITS)
    parser.add_argument("--data", type=Path, help="file that keeps the log for another time")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small market, one pass")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    table = _log(flags.data, 2_000 if flags.quick else ADS, 20_000 if flags.quick else flags.visits)
    usual = TrainSettings.for_table(table)
    epochs = 1 if flags.quick else flags.epochs
    about = {"bench": "heads", "impressions": len(table), "clicks": int(table.click.sum())}
    for line in figures(split(table), replace(usual, epochs=epochs)):
        print(json.dumps(about | {"epochs": epochs} | line), flush=True)


if __name__ == "__main__":
    main()
