"""The scorer's promises, kept by the real Triton and by the model in process alike."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.testing import assert_array_equal

from adserver.inference_server import REGION, TritonProcess, forget_orphaned_regions
from adserver.triton_wheel import InferenceServerError
from ranking.breaker import CircuitBreaker
from ranking.scorer import Broken, Gone, InProcess, Late, RankerError, Refused, Scorer
from ranking.tiers import score_in_time
from ranking.triton import TritonScorer

pytestmark = pytest.mark.triton
WIDTH = 64
PLENTY_S = 5.0


@contextlib.asynccontextmanager
async def scorer_at(url: str, width: int = WIDTH) -> AsyncIterator[TritonScorer]:
    scorer = TritonScorer(url, width)
    try:
        yield scorer
    finally:
        await scorer.close()


@contextlib.asynccontextmanager
async def supervised(process: TritonProcess) -> AsyncIterator[None]:
    await process.start()
    guard = asyncio.create_task(process.supervise())
    try:
        yield
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
        await process.stop()


def with_scorer(triton, use: Callable[[TritonScorer], Awaitable]):
    async def run():
        async with scorer_at(triton.url) as scorer:
            return await use(scorer)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["triton", "in process"])
def test_either_scorer_gives_the_models_numbers(kind, triton):
    pairs = triton.pairs(seed=1)

    async def use(remote: TritonScorer):
        scorer: Scorer = remote if kind == "triton" else InProcess(triton.local)
        assert await scorer.ready()
        return await scorer.score(pairs, PLENTY_S)

    assert_array_equal(with_scorer(triton, use), triton.local.score(pairs))


@pytest.mark.parametrize(
    ("requests", "ads"), [(1, 1), (1, 64), (3, 65), (2, 300), (64, 3), (100, 64), (1, 5000)]
)
def test_any_shape_of_batch_comes_back_bit_for_bit(requests, ads, triton):
    pairs = triton.pairs(seed=requests, requests=requests, ads=ads)

    logit = with_scorer(triton, lambda scorer: scorer.score(pairs, PLENTY_S))

    assert_array_equal(logit, triton.local.score(pairs))


def test_requests_without_candidates_take_no_part(triton):
    pairs = triton.pairs(seed=2, requests=3, ads=10)
    gap = replace(pairs, offset=np.array([0, 12, 12, 30], np.int32))
    none = replace(pairs, ad=pairs.ad[:0], offset=np.zeros(4, np.int32))

    async def use(scorer: TritonScorer):
        return await scorer.score(gap, PLENTY_S), await scorer.score(none, PLENTY_S)

    logit, empty = with_scorer(triton, use)

    assert_array_equal(logit, triton.local.score(gap))
    assert len(empty) == 0


def test_each_snapshot_is_scored_with_its_own_ads(triton):
    old, new = (triton.pairs(seed=3, version=version) for version in (1, 2))

    async def use(scorer: TritonScorer):
        return await asyncio.gather(scorer.score(old, PLENTY_S), scorer.score(new, PLENTY_S))

    of_old, of_new = with_scorer(triton, use)

    assert_array_equal(of_old, triton.local.score(old))
    assert_array_equal(of_new, triton.local.score(new))
    assert (of_old != of_new).any()


def test_tritons_own_counter_rises_by_the_requests(triton):
    before = triton.counts()

    async def use(scorer: TritonScorer):
        for seed in range(10):
            await scorer.score(triton.pairs(seed, requests=7), PLENTY_S)

    with_scorer(triton, use)

    done = triton.counts() - before
    assert (done.calls, done.rows, done.refused) == (10, 70, 0)


def test_triton_merges_the_batches_of_two_workers(triton):
    """Of some calls at once, and the more the slower it is: a few rounds, until it has."""
    pairs = [triton.pairs(seed) for seed in range(16)]

    async def use():
        async with scorer_at(triton.url) as one, scorer_at(triton.url) as other:
            calls = [s.score(p, PLENTY_S) for p in pairs for s in (one, other)]
            return await asyncio.gather(*calls)

    for _ in range(20):
        before = triton.counts()
        logits = asyncio.run(use())
        done = triton.counts() - before
        assert done.calls == 32
        for number, logit in enumerate(logits):
            assert_array_equal(logit, triton.local.score(pairs[number // 2]))
        if done.batches < done.calls:
            break

    assert done.batches < done.calls


def test_an_unknown_snapshot_is_refused_and_costs_nobody_else_their_scores(triton):
    good = triton.pairs(seed=4)
    unknown, beyond = replace(good, version=99), replace(good, ad=good.ad + 1_000_000)
    narrow = replace(good, vector=good.vector[:, :3])

    async def use(scorer: TritonScorer):
        calls = [scorer.score(p, PLENTY_S) for p in (unknown, good, beyond, good)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        return [*answers, *await asyncio.gather(scorer.score(narrow, 1.0), return_exceptions=True)]

    first, second, third, fourth, fifth = with_scorer(triton, use)

    assert isinstance(first, Refused)
    assert isinstance(third, Refused)
    assert isinstance(fifth, Refused)
    assert "99" in str(first)
    assert_array_equal(second, triton.local.score(good))
    assert_array_equal(fourth, triton.local.score(good))


@pytest.mark.parametrize("damage", ["table.json", "half.npy"])
def test_a_broken_snapshot_is_refused(damage, triton, ranker_snapshots, tmp_path):
    broken = ranker_snapshots / "7" / "ranker"
    broken.mkdir(parents=True)
    for file in (ranker_snapshots / "1" / "ranker").iterdir():
        (broken / file.name).write_bytes(b"" if file.name == damage else file.read_bytes())

    with pytest.raises(Refused):
        with_scorer(triton, lambda s: s.score(triton.pairs(seed=5, version=7), PLENTY_S))

    (broken.parent).rename(tmp_path / "seen")


def test_too_little_time_is_late_and_takes_no_longer(triton):
    async def use(scorer: TritonScorer):
        await scorer.score(triton.pairs(seed=6), PLENTY_S)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Late):
            await scorer.score(triton.pairs(seed=6, requests=64, ads=64), 0.0005)
        with pytest.raises(Late):
            await scorer.score(triton.pairs(seed=6), 0.0)
        return asyncio.get_running_loop().time() - began

    assert with_scorer(triton, use) < PLENTY_S / 5


def test_a_scorer_without_a_server_says_so_at_once(new_triton: TritonProcess, triton):
    async def use():
        async with scorer_at(new_triton.grpc_url) as scorer:
            assert not await scorer.ready()
            began = asyncio.get_running_loop().time()
            with pytest.raises(Gone):
                await scorer.score(triton.pairs(seed=7), PLENTY_S)
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(use()) < PLENTY_S / 2


def test_a_killed_server_is_noticed_at_once_and_a_new_one_within_ten_seconds(new_triton, triton):
    """Under calls in flight, and without making the scorer anew."""
    pairs = triton.pairs(seed=8)
    breaker, quality = CircuitBreaker(), []

    async def ask(scorer: TritonScorer) -> bool:
        clock = asyncio.get_running_loop().time
        began = clock()
        answer = await score_in_time(scorer, breaker, pairs, 0.5, clock)
        quality.append(answer if isinstance(answer, str) else "full")
        assert clock() - began < PLENTY_S / 2
        return quality[-1] == "full"

    async def use():
        async with supervised(new_triton), scorer_at(new_triton.grpc_url) as scorer:
            assert await ask(scorer)
            os.kill(new_triton.pid, signal.SIGKILL)
            assert not all([await ask(scorer) for _ in range(20)])
            async with asyncio.timeout(triton.patience_s):
                await until(lambda: ask(scorer))
            assert_array_equal(await scorer.score(pairs, PLENTY_S), triton.local.score(pairs))

    asyncio.run(use())

    assert "open" in quality
    assert leftovers(new_triton) == []


def test_a_killed_worker_of_the_model_is_replaced(new_triton, triton):
    pairs = triton.pairs(seed=9)

    async def use():
        async with supervised(new_triton), scorer_at(new_triton.grpc_url) as scorer:
            (worker,) = (pid for pid in members_of(new_triton.pid) if pid != new_triton.pid)
            os.kill(worker, signal.SIGKILL)
            with pytest.raises(RankerError):
                await scorer.score(pairs, PLENTY_S)
            async with asyncio.timeout(triton.patience_s):
                return await until_scored(scorer, pairs)

    assert_array_equal(asyncio.run(use()), triton.local.score(pairs))


async def until_scored(scorer, pairs):
    while True:
        try:
            return await scorer.score(pairs, PLENTY_S)
        except (Broken, Gone, Late):
            await asyncio.sleep(0.1)


def test_nothing_is_left_after_a_stop(new_triton):
    async def use():
        await new_triton.start()
        members = members_of(new_triton.pid)
        assert len(members) > 1
        await new_triton.stop()
        await new_triton.stop()
        return members

    members = asyncio.run(use())

    assert [pid for pid in members if Path(f"/proc/{pid}").exists()] == []
    assert leftovers(new_triton) == []


def test_a_server_that_cannot_start_says_why(new_triton, tmp_path):
    new_triton.model_repository = tmp_path

    with pytest.raises(InferenceServerError, match="ctr_ranker"):
        asyncio.run(new_triton.start())

    assert new_triton.pid is None
    assert leftovers(new_triton) == []


PARENT = """
import asyncio, sys
from pathlib import Path
from adserver.inference_server import TritonProcess
from adserver.triton_wheel import install
from ranking.triton import is_ready

process = TritonProcess(install(Path(sys.argv[1])), *map(Path, sys.argv[2:5]), is_ready)
asyncio.run(process.start())
print(process.pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_parent_leaves_no_orphan(new_triton):
    arguments = [
        new_triton.installation.folder.parent,
        new_triton.model_repository,
        new_triton.snapshots,
        new_triton.log_file,
    ]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        group = int(parent.stdout.readline())
        members = members_of(group)
        assert len(members) > 1

        parent.kill()

    async def gone() -> bool:
        return not any(psutil.pid_exists(pid) for pid in members)

    asyncio.run(asyncio.wait_for(until(gone), 60))
    forget_orphaned_regions()
    assert list(Path("/dev/shm").glob(f"{REGION}{parent.pid}_*")) == []


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():  # noqa: ASYNC110 - another process makes it true
        await asyncio.sleep(0.05)


def leftovers(process: TritonProcess) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{process.region}*"))


def members_of(group: int) -> list[int]:
    """All processes of a group."""
    return [pid for pid in psutil.pids() if group_of(pid) == group]


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
