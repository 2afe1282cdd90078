"""The selector behind the real Triton on a CPU: the same ads as the planner's and the scorer's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.edition import Edition
from adserver.editions import Editions
from adserver.encode import Asked, Encoded, encode
from adserver.inference_server import TritonProcess
from adserver.selection.client import TritonSelector, is_ready
from adserver.selection.message import Change, changes
from adserver.settings import Settings
from adserver.wire.decision import parse
from loadtest.traffic import DECISION, bodies
from ranking.int8 import LocalScorer
from ranking.scorer import Late, Pairs, Refused
from retrieval.gpu.asks import Asks
from retrieval.query import Live

pytestmark = pytest.mark.triton
ADS, REQUESTS, BEST = 5_000, 12, 200
NOW = 1_800_000_000.0
PLENTY_S = 20.0


@dataclass
class World:
    """A catalogue, some requests, and Triton with the selector."""

    settings: Settings
    edition: Edition
    encoded: Encoded
    process: TritonProcess

    @property
    def asks(self) -> Asks:
        return Asks.of(self.encoded.queries, self.encoded.vector.shape[1])

    @property
    def key(self) -> tuple[int, int]:
        return self.edition.version, self.edition.bundle.version


@pytest.fixture(scope="module")
def world(
    triton_installation, model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("selector")
    settings = Settings(adserver_data=folder, scorer="local")
    create_sample(settings.database, ADS, NOW)
    build_snapshot(settings.database, settings.snapshots, settings.bundle, NOW)
    edition = asyncio.run(opened(settings))
    some = [parse(body.json) for body in bodies(3, 60) if body.route == DECISION][:REQUESTS]
    encoded = encode(Asked.by_strangers(some, range(len(some))), edition, NOW, 0)
    process = TritonProcess(
        *(triton_installation, model_repository, settings.snapshots, folder / "triton.log"),
        is_ready,
        model="ad_selector",
    )
    asyncio.run(process.start())
    yield World(settings, edition, encoded, process)
    asyncio.run(process.stop())


async def opened(settings: Settings) -> Edition:
    return Editions(settings).open(NOW)


def ask(world: World, use: Callable[[TritonSelector], Awaitable]):
    async def run():
        selector = TritonSelector(world.process.grpc_url)
        try:
            return await use(selector)
        finally:
            await selector.close()

    return asyncio.run(run())


async def told(selector: TritonSelector, world: World, old: Live | None, new: Live) -> None:
    """Of all that changed. Telling of a snapshot has it loaded; until it is, it is refused."""
    for change in changes(old, new):
        await taken(selector, world, change)


async def taken(selector: TritonSelector, world: World, change: Change) -> None:
    async with asyncio.timeout(PLENTY_S):
        while True:
            try:
                return await selector.change(change, *world.key)
            except Refused:
                await asyncio.sleep(0.05)


def expected(world: World, live: Live, k: int = 2048):
    """Each request's best ads by the planner and the scorer in this process, best first."""
    edition, encoded = world.edition, world.encoded
    found = edition.retriever.retrieve(encoded.queries, live, k)
    scorer = LocalScorer(edition.bundle)
    scorer.add(edition.version, edition.table)
    logit = scorer.score(
        Pairs(edition.version, encoded.vector, encoded.bias, found.ad, found.offset)
    )
    click = edition.snapshot.ads.per_click[found.ad]
    rate = np.log(edition.bundle.calibration(logit))
    money = np.where(click, live.base[found.ad] - edition.table.bias[found.ad] + rate,
                     live.base[found.ad])  # fmt: skip
    for row in range(len(encoded.queries)):
        part = slice(found.offset[row], found.offset[row + 1])
        yield found.ad[part], found.value[part], logit[part], money[part], found.slots[part]


def assert_the_same(world: World, ranked, live: Live) -> None:
    for row, (ad, value, logit, money, slots) in enumerate(expected(world, live)):
        count = min(BEST, len(ad))
        place = {int(one): at for at, one in enumerate(ad)}
        got = ranked.ad[row, :count]
        at = np.array([place[int(one)] for one in got])
        assert len(set(got.tolist())) == count
        assert_array_equal(ranked.value[row, :count], value[at])
        assert_array_equal(ranked.logit[row, :count], logit[at])
        assert_array_equal(ranked.slots[row, :count], slots[at])
        assert_allclose(ranked.worth[row, :count], money[at], rtol=1e-5)
        assert (np.diff(money[at]) <= 1e-5 * money[at][0]).all()
        assert (ranked.ad[row, count:] == -1).all()
        assert_the_best(set(at.tolist()), money, slots)


def assert_the_best(found: set[int], money: np.ndarray, slots: np.ndarray) -> None:
    """Where slots take different ads, each has its share of its own best."""
    bits = [bit for bit in range(32) if (slots >> np.uint32(bit) & 1).any()]
    alike = len(np.unique(slots)) == 1
    for bit in bits[:1] if alike else bits:
        fitting = np.flatnonzero(slots >> np.uint32(bit) & 1)
        share = BEST if alike else BEST // len(bits)
        best = fitting[np.argsort(-money[fitting])][:share]
        surely = best[money[best] > money[best[-1]] * (1 + 1e-5)]
        assert set(surely.tolist()) <= found


def test_it_answers_with_the_planners_ads_in_the_scorers_order(world):
    live = world.edition.overlay.live

    async def use(selector):
        await told(selector, world, None, live)
        return await selector.select(world.asks, *world.key, PLENTY_S)

    ranked = ask(world, use)

    assert_the_same(world, ranked, live)
    found = world.edition.retriever.retrieve(world.encoded.queries, live, 1)
    assert_array_equal(ranked.eligible, found.eligible)


def test_a_change_is_in_effect_for_the_next_request(world):
    old = world.edition.overlay.live
    ad, base = old.ad.copy(), old.base.copy()
    ad[::3], base[1::7] = 0, base[1::7] + 2
    new = replace(old, ad=ad, base=base)

    async def use(selector):
        await told(selector, world, None, old)
        await selector.select(world.asks, *world.key, PLENTY_S)
        await told(selector, world, old, new)
        return await selector.select(world.asks, *world.key, PLENTY_S)

    assert_the_same(world, ask(world, use), new)


def test_requests_of_many_callers_are_answered_each_with_its_own(world):
    live = world.edition.overlay.live
    asks = world.asks
    each = [Asks(asks.ask[n : n + 1], asks.vector[n : n + 1]) for n in range(REQUESTS)]

    async def use(selector):
        await told(selector, world, None, live)
        whole = await selector.select(asks, *world.key, PLENTY_S)
        calls = [selector.select(one, *world.key, PLENTY_S) for one in each]
        return whole, await asyncio.gather(*calls)

    whole, parts = ask(world, use)

    assert_array_equal(np.concatenate([part.ad for part in parts]), whole.ad)
    assert_array_equal(np.concatenate([part.worth for part in parts]), whole.worth)


def test_a_snapshot_that_is_not_there_is_refused_and_costs_nobody_else(world):
    live = world.edition.overlay.live
    asks = world.asks

    async def use(selector):
        await told(selector, world, None, live)
        wrong = Asks(asks.ask[:1].copy(), asks.vector[:1])
        wrong.ask[0, 20] = 1 << 30
        calls = [
            selector.select(asks, *world.key, PLENTY_S),
            selector.select(asks, 77, 1, PLENTY_S),
            selector.select(wrong, *world.key, PLENTY_S),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    good, missing, wrong = ask(world, use)

    assert good.ad.shape == (REQUESTS, BEST)
    assert isinstance(missing, Refused)
    assert isinstance(wrong, Refused)


def test_a_new_snapshot_is_loaded_while_the_old_one_answers(world):
    settings, live = world.settings, world.edition.overlay.live
    build_snapshot(settings.database, settings.snapshots, settings.bundle, NOW + 1)
    edition = asyncio.run(opened(settings))
    assert edition.version != world.edition.version
    newer = replace(world, edition=edition)

    async def use(selector):
        await told(selector, world, None, live)
        arrival = asyncio.create_task(told(selector, newer, None, edition.overlay.live))
        meanwhile = []
        while not arrival.done():
            meanwhile.append(await selector.select(world.asks, *world.key, PLENTY_S))
        await arrival
        old = await selector.select(world.asks, *world.key, PLENTY_S)
        return meanwhile, old, await selector.select(world.asks, *newer.key, PLENTY_S)

    meanwhile, old, new = ask(world, use)

    for ranked in (meanwhile[0], meanwhile[-1], old):
        assert_the_same(world, ranked, live)
    assert_the_same(newer, new, edition.overlay.live)


def test_no_time_is_late_at_once(world):
    async def use(selector):
        with pytest.raises(Late):
            await selector.select(world.asks, *world.key, 0.0)
        with pytest.raises(Late):
            await selector.select(world.asks, *world.key, 1e-6)

    ask(world, use)
