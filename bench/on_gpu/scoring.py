"""The scorer on the device: that it is right, its best cut, candidates a second against baselines.

Without a device the checks run in the language's interpreter, on fewer rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import triton
from numpy.typing import NDArray

from bench.on_gpu import ranked, swapped
from bench.on_gpu.baselines import Inputs, baselines
from bench.on_gpu.machine import Line, Machine, line, seconds_each, unmeasured
from ranking.gpu import plain, reference
from ranking.gpu.batch import Layout, Size
from ranking.gpu.launch import Launch, Want
from ranking.gpu.network import Model
from ranking.gpu.record import Columns
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.scorer import GpuScorer, Settings
from ranking.gpu.tiling import USUAL, Tiling, tilings
from ranking.scorer import Pairs

ADS: Final = 1_000_000
CANDIDATES: Final = 2_048
REQUESTS: Final = (1, 8, 32, 64)
"""Batches: 2 048 to 131 072 candidates."""
TUNED_AT: Final = 32
REPEATS: Final = 8
"""Batches one after the other in one graph: a kernel of microseconds is shorter than its launch."""
RUNS: Final = 2_000
FIGURES: Final = (
    ("candidates per second, kernels", "1/s"),
    ("times the floor", "1"),
    ("candidates per second, copies included", "1/s"),
    ("p99 of a batch, copies included", "ms"),
)
TRIED: Final = "candidates per second, tried"
CLOSE: Final = 1e-4
"""Log-odds; 99 of 100 rows must be nearer to float64."""
STEP: Final = 0.05
"""Log-odds that no row may be off by: an activation or two a step beside."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A model and its ads on the device."""

    model: Constants
    ads: Ads
    table: Columns

    @classmethod
    def of(cls, model: Model, table: Columns, device: torch.device) -> Scene:
        ads = Ads.of(table, model.network.scale, device)
        return cls(Constants.of(model, device), ads, table)

    def launch(self, requests: int, tiling: Tiling) -> Launch:
        size = Size(requests * CANDIDATES, requests)
        layout = Layout(size, tiling.block, self.model.dim)
        return Launch(self.model, self.ads, layout, tiling, Want())


def figures(machine: Machine, seconds: float) -> Iterator[Line]:
    """Checks first; then the best cut, each size of batch, the baselines, and a swap."""
    until = time.monotonic() + seconds
    yield from _checks(machine)
    if not machine.cuda:
        for requests in REQUESTS:
            for figure, unit in FIGURES:
                yield unmeasured(figure, unit, requests=requests, candidates=CANDIDATES)
        yield unmeasured("candidates per second over FP16 with CUDA graph", "1")
        yield from swapped.figures(machine, None)
        return
    rng = np.random.default_rng(1)
    model = Model.load(ranked.RELEASED)
    began = time.monotonic()
    table = ranked.table(model, rng, ADS // (10 if machine.quick else 1))
    yield line("time to draw the ads", time.monotonic() - began, "s", ads=len(table))
    scene = Scene.of(model, table, machine.device)
    tiling, lines = _tuned(scene, rng, time.monotonic() + 0.35 * (until - time.monotonic()))
    yield from lines
    fastest = 0.0
    for requests in REQUESTS:
        for one in _batch(machine, scene, rng, requests, tiling):
            if one["figure"] == FIGURES[0][0] and requests == TUNED_AT:
                fastest = float(one["value"] or 0.0)
            yield one
    inputs = [Inputs.of(_pages(scene, rng, TUNED_AT), machine.device) for _ in range(4)]
    yield from baselines(scene.model, scene.ads, inputs, fastest, until - 20)
    yield from swapped.figures(machine, (model, table, tiling))


def _pages(scene: Scene, rng: np.random.Generator, requests: int) -> Pairs:
    return ranked.pages(rng, [CANDIDATES] * requests, len(scene.table), scene.model.dim)


def _checks(machine: Machine) -> Iterator[Line]:
    """Kernels and torch operations against float64, on fresh numbers and odd sizes."""
    seed = time.time_ns() % (1 << 32)
    rng = np.random.default_rng(seed)
    sizes = [[1], [15], [16], [17], [4_095], [0, 5, 0, 130], []]
    if machine.cuda:
        sizes += [[200] * 64, [1, 65_536]]
    for graph in ("ctr_ranker.onnx", "ctr_ranker_s8s8.onnx"):
        model = Model.load(ranked.RELEASED, graph)
        table = ranked.table(model, rng, 3_000)
        tiling = USUAL if machine.cuda else Tiling(block=256)
        scorer = GpuScorer(model, Settings(machine.device, tiling, want=Want(calibrated=True)))
        scorer.add(ranked.VERSION, table)
        scene = Scene.of(model, table, machine.device)
        for counts in sizes:
            pairs = ranked.pages(rng, counts, len(table), scene.model.dim)
            exact = reference.score(model, table, pairs)
            found, ppm = scorer.rates(pairs)
            kernel, torch_ = (_gap(one, exact) for one in (found, _by_torch(scene, pairs)))
            rates = reference.ppm(model, found.astype(np.float64))
            same = ppm is not None and np.array_equal(ppm, rates)
            yield line(
                "kernel against float64",
                kernel[1],
                "log-odds",
                p99=kernel[0],
                torch_operations=torch_[1],
                click_rates_equal=same,
                passed=same and _close(kernel) and _close(torch_),
                graph=graph,
                rows=len(exact),
                requests=len(counts),
                seed=seed,
            )


def _by_torch(scene: Scene, pairs: Pairs) -> NDArray[np.float32]:
    one = Inputs.of(pairs, scene.ads.code.device)
    scores = plain.score(scene.model, scene.ads, one.owner, one.ad, one.vector)
    return np.asarray(scores.cpu().numpy())


def _gap(found: NDArray[np.float32], exact: NDArray[np.float64]) -> tuple[float, float]:
    """Of 99 rows in 100, and of the worst."""
    gap = np.abs(found - exact)
    return (float(np.quantile(gap, 0.99)), float(gap.max())) if len(gap) else (0.0, 0.0)


def _close(gap: tuple[float, float]) -> bool:
    """NaN is not."""
    return gap[0] < CLOSE and gap[1] < STEP


def graphed(work: Callable[[], object]) -> Callable[[], None]:
    """`work` done `REPEATS` times by one graph."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            work()
    return graph.replay


def _tuned(scene: Scene, rng: np.random.Generator, until: float) -> tuple[Tiling, list[Line]]:
    """The fastest of the cuts that could be tried, and a line for each."""
    pairs = _pages(scene, rng, TUNED_AT)
    took: dict[Tiling, float] = {}
    lines = []
    for tiling in tilings():
        if took and time.monotonic() > until:
            break
        try:
            launch = scene.launch(TUNED_AT, tiling)
            launch.score(pairs)
            took[tiling] = seconds_each([graphed(launch.compute)], 0.05)[0] / REPEATS
        except triton.OutOfResources as error:
            lines.append(unmeasured(TRIED, "1/s", str(error), tiling=str(tiling)))
            continue
        rate = len(pairs.ad) / took[tiling]
        lines.append(line(TRIED, rate, "1/s", tiling=str(tiling)))
    best = min(took, key=lambda one: took[one])
    lines.append(line("cuts tried", len(took), "1", best=str(best)))
    return best, lines


def _batch(
    machine: Machine, scene: Scene, rng: np.random.Generator, requests: int, tiling: Tiling
) -> Iterator[Line]:
    """One size of batch: the kernels alone, then from pinned memory to pinned memory."""
    about: dict[str, Any] = {"requests": requests, "candidates": CANDIDATES}
    about |= {"ads": len(scene.table), "tiling": str(tiling)}
    launch = scene.launch(requests, tiling)
    batches = [_pages(scene, rng, requests) for _ in range(4)]
    launch.score(batches[0])
    rows = len(batches[0].ad)
    kernels = seconds_each([graphed(launch.compute)])[0] / REPEATS
    yield line(FIGURES[0][0], rows / kernels, "1/s", device_us=kernels * 1e6, **about)
    if machine.ceilings:
        moved, computed = floor_of(scene.model, scene.ads, rows, requests)
        floor = machine.ceilings.floor_s(moved, computed)
        yield line(FIGURES[1][0], kernels / floor, "1", bytes=moved, operations=computed,
                   floor_us=floor * 1e6, **about)  # fmt: skip
    took = np.zeros(RUNS // (10 if machine.quick else 1))
    for run in range(len(took)):
        began = time.perf_counter()
        launch.score(batches[run % len(batches)])
        took[run] = time.perf_counter() - began
    yield line(FIGURES[2][0], rows / took.mean(), "1/s", **about)
    yield line(FIGURES[3][0], float(np.quantile(took, 0.99)) * 1e3, "ms",
               p50_ms=float(np.median(took)) * 1e3, **about)  # fmt: skip


def floor_of(model: Constants, ads: Ads, rows: int, requests: int) -> tuple[float, float]:
    """Bytes that a batch moves at least, and INT8 operations that its products take.

    Of each pair its ad's record and id read and its log-odds written; of each request its vector
    read, and the half that is made of it written and read once.
    """
    second, hidden = model.weight2.shape
    third = len(model.weight3)
    moved = rows * (ads.code.shape[1] + 4 + 4) + requests * 4 * (model.dim + 1 + 2 * hidden)
    return float(moved), float(rows) * 2 * (hidden * second + second * third)
