"""A table's memory and time to come in, and what that costs the requests meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from bench.on_gpu import ranked
from bench.on_gpu.machine import Line, Machine, line, unmeasured
from ranking.gpu.network import Model
from ranking.gpu.record import records
from ranking.gpu.resident import Ads
from ranking.gpu.scorer import GpuScorer, Settings
from ranking.gpu.tiling import Tiling
from ranking.scorer import Pairs

LARGE: Final = 10
"""Times as many ads for the second table."""
NEW: Final = 1_000
QUIET: Final = 500
FIGURES: Final = (
    ("memory of the ad table", "B"),
    ("time for the ad table to come in", "s"),
    ("write 1 000 new ads", "ms"),
    ("requests that a swap cost", "1"),
    ("p99 of a batch while a table comes in", "ms"),
)


def figures(machine: Machine, scene: tuple[Model, ranked.Sampled, Tiling] | None) -> Iterator[Line]:
    """Of a model, its ads and the cut to use; None without a device."""
    if scene is None:
        for figure, unit in FIGURES:
            yield unmeasured(figure, unit)
        return
    model, table, tiling = scene
    for times in (1, LARGE):
        yield from _memory(model, table.times(times), machine.device)
    yield _new(model, table, machine.device)
    yield from _swap(machine, model, table, tiling)


def _memory(model: Model, table: ranked.Sampled, device: torch.device) -> Iterator[Line]:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    began = time.monotonic()
    ads = Ads.of(table, model.network.scale, device)
    took = time.monotonic() - began
    memory = torch.cuda.memory_allocated() - before
    yield line(FIGURES[0][0], memory, "B", ads=len(table), per_ad=memory / len(table))
    yield line(FIGURES[1][0], took, "s", ads=ads.count)


def _new(model: Model, table: ranked.Sampled, device: torch.device) -> Line:
    ads = Ads.of(table, model.network.scale, device)
    rows = np.random.default_rng(3).choice(len(table), NEW, replace=False).astype(np.int64)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        ads.write(rows, records(table, model.network.scale, slice(NEW)))
        torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return line(FIGURES[2][0], float(np.median(took)) * 1e3, "ms")


def _swap(machine: Machine, model: Model, table: ranked.Sampled, tiling: Tiling) -> Iterator[Line]:
    """Batches go on, one after the other, while the same ads come in as a new snapshot."""
    scorer = GpuScorer(model, Settings(machine.device, tiling))
    scorer.add(ranked.VERSION, table)
    pairs = ranked.pages(np.random.default_rng(4), [200] * 32, len(table), len(model.request))
    right = scorer.score(pairs)
    quiet = [_timed(scorer, pairs, right)[0] for _ in range(QUIET)]
    coming = threading.Thread(target=scorer.add, args=(ranked.VERSION + 1, table))
    coming.start()
    during, lost = [], 0
    while coming.is_alive():
        took, same = _timed(scorer, pairs, right)
        during.append(took)
        lost += not same
    coming.join()
    lost += ranked.VERSION + 1 not in scorer.versions
    yield line(FIGURES[3][0], lost, "1", passed=lost == 0, batches=len(during))
    yield line(FIGURES[4][0], float(np.quantile(during, 0.99)) * 1e3, "ms",
               quiet_p99_ms=float(np.quantile(quiet, 0.99)) * 1e3)  # fmt: skip


def _timed(scorer: GpuScorer, pairs: Pairs, right: NDArray[np.float32]) -> tuple[float, bool]:
    began = time.perf_counter()
    found = scorer.score(pairs)
    return time.perf_counter() - began, np.array_equal(found, right)
