"""The selector on the device: that it is exact, how many decisions a second, at what p99."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np
import torch

from bench.on_gpu import ranked, sampled
from bench.on_gpu.machine import Line, Machine, line, seconds_each, unmeasured
from ranking.gpu.batch import Layout, Size
from ranking.gpu.launch import Launch, Want
from ranking.gpu.network import Model
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.tiling import USUAL
from retrieval.gpu import reference
from retrieval.gpu.asks import Asks
from retrieval.gpu.batch import Batch, Rows, batch_of
from retrieval.gpu.columns import Columns
from retrieval.gpu.graph import Graph, Work
from retrieval.gpu.launch import Blocks, Kernels
from retrieval.gpu.resident import Resident
from retrieval.gpu.selector import Selector

SIZES: Final = (1_000_000, 10_000_000)
BATCHES: Final = (1, 16, 64, 128)
CANDIDATES: Final = 2048
BEST: Final = 200
RUNS: Final = 1000
WRITTEN: Final = 1000
SEED: Final = 3
TILES: Final = (16, 32, 64)
CHOOSERS: Final = ((1024, 4), (4096, 8), (4096, 16), (8192, 16))
"""Keys that a program takes at a time, and its warps."""
SHAPES: Final = tuple(
    Blocks(rows=rows, ads=ads, warps=warps)
    for rows, ads, warps in (
        *((16, 128, 4), (16, 64, 4), (16, 128, 8), (32, 64, 4)),
        *((32, 128, 8), (64, 64, 8), (64, 64, 4)),
    )
)
"""Those for which the assembler needs no memory beside the registers."""
FIGURES: Final = (
    ("decisions per second", "1/s"),
    ("p99 of a batch, copies included", "ms"),
    ("times the floor", "1"),
)


def figures(machine: Machine, seconds: float) -> Iterator[Line]:
    """Checks first; then each size of catalogue, as far as the time goes."""
    until = time.monotonic() + seconds
    yield from _checks(machine)
    if not machine.cuda:
        for ads, batch, (figure, unit) in product(SIZES, BATCHES, FIGURES):
            yield unmeasured(figure, unit, ads=ads, batch=batch, k=CANDIDATES)
        for ads in SIZES:
            yield unmeasured("start-up", "s", ads=ads)
        yield _memory(Resident(sampled.columns(np.random.default_rng(SEED), SIZES[0])))
        return
    for ads in SIZES[: 1 if machine.quick else None]:
        if time.monotonic() < until - 30:
            yield from _size(machine, ads, until)
        else:
            yield unmeasured("decisions per second", "1/s", "no time was left", ads=ads)


def _checks(machine: Machine) -> Iterator[Line]:
    """Kernels against torch: every ad, key and slot, for catalogues and batches of odd sizes."""
    seed = time.time_ns() % (1 << 32)
    rng = np.random.default_rng(seed)
    cases = [(1, 1, 4), (17, 2, 16), (3_000, 17, 64)]
    if machine.cuda:
        cases += [(4_095, 64, 2048), (1_000_001, 5, 4096)]
    for ads, count, k in cases:
        columns = sampled.columns(rng, ads)
        live, asks = sampled.live(rng, columns), sampled.asks(rng, count)
        resident = Resident(columns, live, machine.device)
        blocks = Blocks() if machine.cuda else Blocks(ads=1024, chosen=8192)
        found = Selector(resident, Kernels(blocks)).nearest(asks, k)
        plain = Selector(Resident(columns, live), reference).nearest(asks, k)
        same = all(
            torch.equal(getattr(found, name).cpu(), getattr(plain, name))
            for name in ("ad", "slots", "eligible")
        )
        there = plain.ad >= 0
        same &= torch.equal(found.key.cpu()[there], plain.key[there])
        about = {"ads": ads, "requests": count, "k": k, "eligible": int(plain.eligible.max())}
        about["seed"] = seed
        yield line("kernels agree with torch on every ad", float(same), "bool", passed=same,
                   **about)  # fmt: skip


def _size(machine: Machine, ads: int, until: float) -> Iterator[Line]:
    rng = np.random.default_rng(SEED)
    columns = sampled.columns(rng, ads)
    live = sampled.live(rng, columns)
    began = time.monotonic()
    resident = Resident(columns, live, machine.device)
    torch.cuda.synchronize()
    yield line("start-up", time.monotonic() - began, "s", ads=ads)
    yield _memory(resident)
    selector = _tuned(resident, sampled.asks(rng, 64), until)
    shape = {"blocks": str(selector.stages), "tile": selector.tile}
    works = {"retrieved": {count: _found(selector) for count in BATCHES}}
    if ads == SIZES[0]:
        launches = _launches(machine, ads)
        works["scored"] = {count: _scored(selector, launches[count]) for count in BATCHES}
    for batch, name in product(BATCHES, works):
        asks = [sampled.asks(rng, batch) for _ in range(16)]
        about = {"ads": ads, "batch": batch, "work": name, **shape}
        try:
            yield from _batch(machine, selector, asks, works[name][batch], about)
        except RuntimeError as error:  # one size that fails costs no other its figures
            why = str(error)[:300]
            yield line("ran to its end", 0.0, "bool", passed=False, error=why, **about)
    yield from _fresh(resident, rng)


def _memory(resident: Resident) -> Line:
    """Of the tensors that stay, wherever they are."""
    bytes_, ads = resident.tensors.bytes, resident.columns.ads
    return line("memory", bytes_, "B", ads=ads, per_ad=bytes_ / ads)


def _tuned(resident: Resident, asks: Asks, until: float) -> Selector:
    """The fastest of the block shapes, the choosers, the tiles, one after the other, at 64."""
    device = resident.device
    rows = Rows.of(asks, resident.columns, resident.tiers)
    batch = batch_of(asks, rows, device)

    def took(selector: Selector) -> float:
        if time.monotonic() > until - 20:
            return float("inf")
        return seconds_each([lambda: selector.chosen(batch, CANDIDATES)], 0.05)[0]

    fastest = min(SHAPES, key=lambda blocks: took(Selector(resident, Kernels(blocks))))
    choices = [replace(fastest, chosen=keys, choosers=warps) for keys, warps in CHOOSERS]
    fastest = min(choices, key=lambda blocks: took(Selector(resident, Kernels(blocks))))
    tile = min(TILES, key=lambda one: took(Selector(resident, Kernels(fastest), one)))
    return Selector(resident, Kernels(fastest), tile)


def _found(selector: Selector) -> Work:
    """Retrieval alone: ads, their values and slots."""

    def work(batch: Batch) -> torch.Tensor:
        found = selector.chosen(batch, CANDIDATES)
        return torch.stack((found.ad, found.key, found.slots))

    return work


def _scored(selector: Selector, launch: Launch) -> Work:
    """The whole funnel: found, scored by the fused kernel, the best by worth handed back."""
    base = selector.resident.tensors.base

    def worth(ads: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
        return base[ads.clamp(min=0).long()] + torch.nn.functional.logsigmoid(logit)

    def work(batch: Batch) -> torch.Tensor:
        return selector.best(batch, CANDIDATES, BEST, launch.score_there, worth)[0]

    return work


def _launches(machine: Machine, ads: int) -> dict[int, Launch]:
    """By size of batch: the fused scorer over as many ads."""
    model = Model.load(ranked.RELEASED)
    drawn = ranked.table(model, np.random.default_rng(SEED), ads)
    there, constants = (
        Ads.of(drawn, model.network.scale, machine.device),
        Constants.of(model, machine.device),
    )
    return {count: _launch(constants, there, count) for count in BATCHES}


def _launch(model: Constants, ads: Ads, count: int) -> Launch:
    layout = Layout(Size(count * CANDIDATES, count), USUAL.block, model.dim)
    launch = Launch(model, ads, layout, USUAL, Want())
    launch.hold(ranked.pages(np.random.default_rng(SEED), [CANDIDATES] * count, 1, model.dim))
    return launch


def _batch(
    machine: Machine, selector: Selector, asks: list[Asks], work: Work, about: dict[str, object]
) -> Iterator[Line]:
    """One size of batch by its graph, requests copied in and ads copied out each time."""
    count = len(asks[0].ask)
    graph = Graph.of(work, count, sampled.WIDTH, machine.device)
    took = np.zeros(RUNS)
    for run in range(RUNS):
        began = time.perf_counter()
        graph.run(asks[run % len(asks)])
        took[run] = time.perf_counter() - began
    took = took[RUNS // 10 :]
    shape = {**about, "k": CANDIDATES}
    yield line("decisions per second", count / took.mean(), "1/s", **shape)
    yield line("p99 of a batch, copies included", np.quantile(took, 0.99) * 1e3, "ms", **shape)
    device = seconds_each([graph.graph.replay])[0]
    moved, computed = floor_of(selector.resident.columns, count, selector.tile)
    yield line("device time of a batch", device * 1e3, "ms", **shape)
    if machine.ceilings:
        floor = machine.ceilings.floor_s(moved, computed)
        yield line("times the floor", device / floor, "1", bytes=moved, operations=computed,
                   floor_ms=floor * 1e3, **shape)  # fmt: skip


def floor_of(columns: Columns, requests: int, tile: int) -> tuple[float, float]:
    """Bytes that a batch moves at least, and INT8 operations that its products take.

    The ads' columns once; of each request its bitmap written and read, its keys written, the
    greatest of each tile written and read by five passes. Two digits of a request's vector meet
    two of each ad's; the kernel takes twice that, for the head's digits have a step of their own.
    """
    digits, room = columns.coarse.shape[1], columns.room
    ads = room * (2 * digits + 4 + 4 + 2 * 4 + 4 + 1)
    own = room * (2 / 8 + 4 + 6 * 4 / tile)
    return float(ads + requests * own), float(requests * room * digits * 4 * 2)


def _fresh(resident: Resident, rng: np.random.Generator) -> Iterator[Line]:
    """A thousand bids at once, from the host's arrays to the device."""
    rows = rng.choice(resident.columns.ads, WRITTEN, replace=False)
    alive, base = np.ones(WRITTEN, np.uint8), rng.normal(8, 1, WRITTEN).astype(np.float32)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        resident.write(rows, alive, base)
        torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    yield line("write bids of 1 000 ads", float(np.median(took)) * 1e3, "ms",
               ads=resident.columns.ads)  # fmt: skip
