"""Time retrieval on a synthetic catalogue; one JSON line per figure.

    python -m bench.retrieval --ads 10000 100000 1000000

Ads are clustered (the ads of a line item share a topic), the spectrum of their vectors decays as
that of trained towers does, bids are log-normal. What a request may see is drawn per line item.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import indexing
from retrieval.calibration import calibrate
from retrieval.planner import Plan, Retriever
from retrieval.postings import flags
from retrieval.query import Dimension, Live, Query
from retrieval.settings import RetrievalSettings
from retrieval.targeting import TargetingIndex, Term
from retrieval.vectors import AdVectors

DIMENSIONS_OF_A_VECTOR = 64
ADS_PER_LINE_ITEM = 5
SIZES = 10
SHARES = (1.0, 0.1, 0.01, 0.001)
K = 200
SPREAD = 1.0
"""Standard deviation of an inner product between a request and an ad, in log-odds."""
VALUES = {  # values of a dimension, and the share of line items that name some
    Dimension.COUNTRY: (60, 0.7),
    Dimension.REGION: (300, 0.15),
    Dimension.DEVICE: (5, 0.3),
    Dimension.OS: (8, 0.15),
    Dimension.BROWSER: (8, 0.05),
    Dimension.LANGUAGE: (30, 0.3),
    Dimension.HOUR_OF_WEEK: (168, 0.1),
    Dimension.DOMAIN: (2000, 0.1),
    Dimension.CATEGORY: (390, 0.4),
    Dimension.KEYWORD: (3000, 0.15),
    Dimension.SEGMENT: (500, 0.2),
}


@dataclass(frozen=True, slots=True)
class World:
    """A catalogue and the vectors of some requests, with the floats that retrieval compresses."""

    vectors: NDArray[np.float32]
    per_click: NDArray[np.bool_]
    live: Live
    ad_start: NDArray[np.int32]
    size: NDArray[np.int16]
    attributes: NDArray[np.uint32]
    secure: NDArray[np.uint8]
    requests: NDArray[np.float32]


def world(ads: int, rng: np.random.Generator) -> World:
    line_items = -(-ads // ADS_PER_LINE_ITEM)
    ad_start = np.minimum(np.arange(line_items + 1) * ADS_PER_LINE_ITEM, ads).astype(np.int32)
    line_of_ad = np.repeat(np.arange(line_items), np.diff(ad_start))
    d = DIMENSIONS_OF_A_VECTOR
    spectrum = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)
    topics = rng.standard_normal((200, d), np.float32)
    own = rng.standard_normal((line_items, d), np.float32)
    lines = 0.7 * topics[rng.integers(200, size=line_items)] + 0.6 * own
    vectors = (lines[line_of_ad] + 0.4 * rng.standard_normal((ads, d), np.float32)) * spectrum
    requests = 0.8 * topics[rng.integers(200, size=400)]
    requests = (requests + 0.6 * rng.standard_normal((400, d), np.float32)) * spectrum
    vectors *= SPREAD / (vectors[:2000] @ requests.T).std()
    per_click = rng.random(line_items)[line_of_ad] < 0.7
    bid = rng.normal(0, 0.8, line_items)[line_of_ad] + rng.normal(0, 0.1, ads)
    base = bid + np.where(per_click, rng.normal(0, 0.4, ads), 0.5) + 7
    return World(
        (vectors @ axes).astype(np.float32),
        per_click,
        Live(all_bits(line_items), np.ones(ads, np.uint8), base.astype(np.float32)),
        ad_start,
        rng.integers(0, SIZES, ads).astype(np.int16),
        np.where(rng.random(ads) < 0.1, 1 << rng.integers(0, 5, ads), 0).astype(np.uint32),
        (rng.random(ads) < 0.95).astype(np.uint8),
        (requests @ axes).astype(np.float32),
    )


def all_bits(count: int) -> NDArray[np.uint64]:
    bits = np.zeros(64 * -(-count // 64), np.bool_)
    bits[:count] = True
    return np.packbits(bits, bitorder="little").view(np.uint64)


def targeting(line_items: int, rng: np.random.Generator) -> Iterator[Term]:
    """Targeting with Zipf-popular values, and key-values that set the eligible share."""
    for dimension, (values, share) in VALUES.items():
        popularity = 1 / np.arange(1, values + 1)
        naming = np.flatnonzero(rng.random(line_items) < share).repeat(3)
        value = rng.choice(values, size=len(naming), p=popularity / popularity.sum())
        excluding = rng.random(len(naming)) < 0.1
        for exclude in (False, True):
            yield from by_value(
                dimension, value[excluding == exclude], naming[excluding == exclude], exclude
            )
    lot = rng.random(line_items)
    for share in SHARES:
        rows = np.flatnonzero(lot < share).astype(np.int32)
        yield Term(Dimension.KEY_VALUE, f"share={share}", rows, exclude=False)


def by_value(
    dimension: Dimension, value: NDArray[np.int64], line_item: NDArray[np.int64], exclude: bool
) -> Iterator[Term]:
    order = np.argsort(value, kind="stable")
    found, first = np.unique(value[order], return_index=True)
    for v, rows in zip(found, np.split(line_item[order], first[1:]), strict=True):
        yield Term(dimension, str(v), np.unique(rows).astype(np.int32), exclude)


def open_index(line_items: int, rng: np.random.Generator) -> TargetingIndex:
    """Only key-values: the share that a request asks for is the share it gets."""
    terms = (t for t in targeting(line_items, rng) if t.dimension is Dimension.KEY_VALUE)
    return indexing.build(line_items, terms, (), (), ())


def query(
    index: TargetingIndex, vector: NDArray[np.float32], values: dict[Dimension, list[str]]
) -> Query:
    terms = [index.terms(d, values.get(d, ())) for d in Dimension]
    return Query(
        term=np.array([t for some in terms for t in some], np.int32),
        term_start=np.cumsum([0, *map(len, terms)]).astype(np.int32),
        blocked=np.empty(0, np.int32),
        slot_placement=np.full(1, -1, np.int32),
        slots_by_size=np.ones(SIZES, np.uint32),
        blocked_attribute=np.zeros(1, np.uint32),
        secure=np.uint32(0),
        vector=vector,
        bias=0.0,  # so that bids by click and by impression compete
    )


def audience(rng: np.random.Generator) -> dict[Dimension, list[str]]:
    """What a page view tells: one value of most dimensions, a handful of the open-ended ones."""
    many = {Dimension.CATEGORY: 3, Dimension.KEYWORD: 5, Dimension.SEGMENT: 8}
    return {
        d: rng.zipf(1.5, many.get(d, 1)).clip(1, values).astype(str).tolist()
        for d, (values, _) in VALUES.items()
    }


# --- figures -----------------------------------------------------------------------------------


def say(**figure: object) -> None:
    print(json.dumps(figure), flush=True)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def spread_us(calls: Sequence[Callable[[], object]]) -> dict[str, float]:
    """Median and p99 in microseconds, after a warm-up of a tenth."""
    for call in calls[: len(calls) // 10]:
        call()
    times = np.array([seconds(call) for call in calls]) * 1e6
    return {"p50_us": round(float(np.median(times)), 1), "p99_us": round(percentile(times), 1)}


def percentile(times: NDArray[np.float64]) -> float:
    return float(np.percentile(times, 99))


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def bench(ads: int, requests: int, graph_to: int) -> None:
    rng = np.random.default_rng(ads)
    w = world(ads, rng)
    line_items = len(w.ad_start) - 1
    bench_targeting(ads, line_items, rng, requests)
    index = open_index(line_items, rng)
    settings = RetrievalSettings(graph_from=1 if ads <= graph_to else 2**62)
    without = replace(settings, graph_from=2**62)
    start = time.perf_counter()
    vectors = AdVectors.build(w.vectors, w.per_click, w.live.base, without)
    say(figure="vectors_build", ads=ads, seconds=round(time.perf_counter() - start, 2))
    if ads <= graph_to:
        start = time.perf_counter()
        vectors = AdVectors.build(w.vectors, w.per_click, w.live.base, settings)
        say(figure="graph_build", ads=ads, seconds=round(time.perf_counter() - start, 2))
    with tempfile.TemporaryDirectory() as folder:
        vectors.save(Path(folder))
        say(figure="vectors_memory", ads=ads, bytes=bytes_in(Path(folder)), graph=ads <= graph_to)
    retriever = Retriever(index, vectors, w.ad_start, w.size, w.attributes, w.secure, without)
    costs = calibrate(retriever, w.live, time.perf_counter, w.requests)
    if costs is not None:
        say(figure="crossover", **{n: getattr(costs, n) for n in costs.__slots__})
    for share in SHARES:
        bench_share(w, retriever, share, requests)


def bench_targeting(ads: int, line_items: int, rng: np.random.Generator, requests: int) -> None:
    terms = list(targeting(line_items, rng))
    start = time.perf_counter()
    index = indexing.build(line_items, terms, (), (), ())
    took = round(time.perf_counter() - start, 2)
    say(figure="targeting_build", ads=ads, line_items=line_items, seconds=took)
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        say(figure="targeting_memory", ads=ads, bytes=bytes_in(Path(folder)))
    live = all_bits(line_items)
    nobody = np.zeros(DIMENSIONS_OF_A_VECTOR, np.float32)
    share = f"share={SHARES[0]}"
    queries = [
        query(index, nobody, {**audience(rng), Dimension.KEY_VALUE: [share]})
        for _ in range(requests)
    ]
    matched = [int(np.bitwise_count(index.match(q, live).words).sum()) for q in queries]
    times = spread_us([lambda q=q: index.match(q, live) for q in queries])  # type: ignore[misc]
    say(figure="targeting", ads=ads, share=round(float(np.mean(matched)) / line_items, 4), **times)


def bench_share(w: World, retriever: Retriever, share: float, requests: int) -> None:
    """The planner, then each way on its own, on the same requests."""
    index, live = retriever.index, w.live
    queries = [
        query(index, vector, {Dimension.KEY_VALUE: [f"share={share}"]})
        for vector in w.requests[np.arange(requests) % len(w.requests)]
    ]
    exact = [float_scan(w, q, index) for q in queries[:20]]
    figure = {"ads": len(w.size), "share": share}
    costs = retriever.costs
    ways: dict[str, object] = {"planner": costs}
    if costs is not None:
        ways["scan_alone"] = None
        ways["graph_alone"] = replace(costs, scan_s=np.inf)
    for way, retriever.costs in ways.items():  # type: ignore[assignment]
        found = [retriever.retrieve([q], live, K) for q in queries[:20]]
        plans = {Plan(int(c.plan[0])).name.lower() for c in found}
        calls = [lambda q=q: retriever.retrieve([q], live, K) for q in queries]
        times = spread_us(calls)
        hit = recall([c.ad for c in found], exact)
        eligible = int(np.mean([c.eligible[0] for c in found]))
        say(figure=way, **figure, plan=sorted(plans), eligible=eligible, recall=hit, **times)
    retriever.costs = costs
    eligible_rows = [np.flatnonzero(may_show(w, q, index)).astype(np.int32) for q in queries[:20]]
    gathers = [
        lambda q=q, rows=rows: gathered(w, q, rows)
        for q, rows in zip(queries, eligible_rows, strict=False)
    ]
    say(figure="numpy_gather", **figure, note="rows given", **spread_us(gathers))


def may_show(w: World, q: Query, index: TargetingIndex) -> NDArray[np.bool_]:
    line = flags(index.match(q, w.live.line_item).words)[: len(w.ad_start) - 1]
    return np.repeat(line, np.diff(w.ad_start))


def float_scan(w: World, q: Query, index: TargetingIndex) -> NDArray[np.intp]:
    """The best K by the floats that were given, with no compression: the oracle."""
    value = w.live.base + np.where(w.per_click, w.vectors @ q.vector + np.float32(q.bias), 0)
    value[~may_show(w, q, index)] = -np.inf
    best = np.argsort(-value, kind="stable")[:K]
    return best[np.isfinite(value[best])]


def gathered(w: World, q: Query, rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """What numpy does with the eligible rows, once somebody has found them."""
    product = w.vectors[rows] @ q.vector + np.float32(q.bias)
    value = w.live.base[rows] + np.where(w.per_click[rows], product, 0)
    if len(rows) <= K:
        return rows[np.argsort(-value)]
    best = np.argpartition(-value, K)[:K]
    return rows[best[np.argsort(-value[best])]]


def recall(found: Sequence[NDArray[np.int32]], exact: Sequence[NDArray[np.intp]]) -> float:
    if not any(map(len, exact)):
        return 1.0
    hits = sum(len(np.intersect1d(f, e)) for f, e in zip(found, exact, strict=True))
    return round(hits / sum(map(len, exact)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ads", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument(
        "--graph-to", type=int, default=100_000, help="largest catalogue to build a graph for"
    )
    parser.add_argument("--quick", action="store_true", help="the smallest size, few requests")
    given = parser.parse_args()
    if given.quick:
        given.ads, given.requests = given.ads[:1], min(given.requests, 50)
    say(figure="machine", cores=os.cpu_count(), load=os.getloadavg()[0], numpy=np.__version__)
    for ads in given.ads:
        bench(ads, given.requests, given.graph_to)


if __name__ == "__main__":
    main()
