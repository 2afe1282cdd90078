"""A release under load: who notices, and how soon a broken model is gone; one JSON line per figure.

    python -m bench.release --scorer local triton

Starts a server, asks it at a constant average rate (Poisson arrivals, latency from the intended
moment), sees every ad and clicks at the same rate whatever a model says. Meanwhile a second version
is registered and goes to shadow, canary1, canary10 and production, and is rolled back; then one
whose click rates are three times too high is sent into canaries until the server rolls it back by
itself. Afterwards every logged click rate is computed again from the features in the log by the
version that its decision names. Load and server share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import numpy as np
import orjson
import uvloop

from adserver.releases.registry import Registry
from adserver.releases.states import State
from bench.released import variants
from bench.released.scores import scored
from loadtest.answers import Ad
from loadtest.open_loop import Plan, sent
from loadtest.recorder import Recorder, Viewer
from loadtest.serving import Server, Wanted, serving
from loadtest.tally import SERVER_ERRORS, Tally
from loadtest.target import target_of
from loadtest.traffic import CLICK, IMPRESSION, Shot, get, shots

SOURCE: Final = Path("model_repository")
DISTINCT: Final = 20_000
RATE: Final = 0.012
"""Of clicks per ad seen, whatever a model predicts."""
WARM_UP_S: Final = 5.0
ROLLED_BACK_WITHIN_S: Final = 120.0
BROKEN: Final = 3.0
"""What the broken model multiplies click rates with."""
WORKERS: Final = {"local": 2, "triton": 1}
READY_WITHIN_S: Final = 180.0


class Passer(Viewer):
    """Sees its share of the ads, and clicks without asking what the model thinks."""

    share = 1.0

    def look_at(self, ads: list[Ad]) -> list[Shot]:
        ads = [ad for ad in ads if self.chance() < self.share]
        seen = [get(IMPRESSION, ad.impression, self.host) for ad in ads]
        clicked = [ad for ad in ads if ad.click and self.chance() < RATE]
        return seen + [get(CLICK, ad.click, self.host) for ad in clicked]


@dataclass(slots=True)
class Release:
    """The story that is played while requests come."""

    server: Server
    registry: Registry
    models: Path
    hold_s: float
    breaks: tuple[State, ...]
    """States in which a broken model is tried."""
    marks: list[tuple[str, float]] = field(default_factory=list)
    """What happened when, on the monotonic clock."""
    gone_after: dict[str, float | None] = field(default_factory=dict)
    """Seconds from a broken model's first request to its retirement, by its state."""

    def mark(self, what: str) -> None:
        self.marks.append((what, time.monotonic()))

    async def play(self) -> None:
        """All of it, in the order of the module's first lines."""
        await asyncio.sleep(WARM_UP_S + self.hold_s)
        good = await self._register("good", rate=1.05, shift=0.02)
        await self._promote(good, State.SHADOW)
        await self._promote(good, State.CANARY_1)
        await self._promote(good, State.CANARY_10)
        await self._promote(good, State.PRODUCTION)
        await self._move("rollback", lambda: self._roll_back(good), 1, {})
        for state in self.breaks:
            broken = await self._register(f"broken-{state}", rate=BROKEN)
            await self._breaks(broken, state)

    async def _register(self, name: str, **change: float) -> int:
        folder = await asyncio.to_thread(
            lambda: variants.variant(SOURCE / "ctr_ranker" / "1", self.models / name, **change)
        )
        self.mark(f"register {name}")
        return await asyncio.to_thread(self.registry.register, folder, _now_ms())

    async def _promote(self, version: int, to: State) -> None:
        production = version if to is State.PRODUCTION else 1
        trial = {} if to is State.PRODUCTION else {_arm(to): version}
        await self._move(str(to), lambda: self._up(version, to), production, trial)

    async def _move(
        self, what: str, change: Callable[[], object], production: int, trial: dict[str, int]
    ) -> None:
        """Make a move, wait until it shows, and hold."""
        self.mark(what)
        await asyncio.to_thread(change)
        await self._shows(production, trial)
        self.mark(f"{what} in effect")
        await asyncio.sleep(self.hold_s)

    async def _shows(self, production: int, trial: dict[str, int]) -> None:
        """Several answers in a row, so that all workers are likely to have been asked."""
        async with asyncio.timeout(READY_WITHIN_S):
            agreed = 0
            while agreed < 6:
                told = await asyncio.to_thread(_readiness, self.server.url)
                agreed = (
                    agreed + 1 if (told["model"], told["on_trial"]) == (production, trial) else 0
                )
                await asyncio.sleep(0.1)

    async def _breaks(self, version: int, state: State) -> None:
        self.mark(f"broken {state}")
        await asyncio.to_thread(self._up, version, state)
        await self._shows(1, {"canary": version})
        self.mark(f"broken {state} in effect")
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROLLED_BACK_WITHIN_S):
                while self.registry.read().states[version] is not State.RETIRED:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        retired = self.registry.read().states[version] is State.RETIRED
        self.gone_after[str(state)] = time.monotonic() - began if retired else None
        self.mark(f"broken {state} gone")
        await asyncio.sleep(2.0)

    def _up(self, version: int, to: State) -> None:
        self.registry.promote(version, to, _now_ms(), "a trial of the release", {})

    def _roll_back(self, version: int) -> None:
        self.registry.roll_back(version, _now_ms(), "a trial of the release", {})


def _arm(state: State) -> str:
    return "shadow" if state is State.SHADOW else "canary"


def _now_ms() -> int:
    return int(time.time() * 1000)


def _readiness(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/readyz", timeout=10) as answer:
        found: dict[str, Any] = orjson.loads(answer.read())
    return found


async def under_load(release: Release, flags: argparse.Namespace, load: list[Shot]) -> Recorder:
    """The load for as long as the story lasts, and all answers."""
    target = target_of(release.server.url)
    recorder = Recorder(target, 256, 2.0)
    recorder.viewer = viewer = Passer(target.host, np.random.default_rng(3).random)
    viewer.share = flags.seen
    story = asyncio.create_task(release.play())
    asking = asyncio.create_task(sent(recorder, load, Plan(flags.rate, 1e4, WARM_UP_S)))
    done, _ = await asyncio.wait({story, asking}, return_when=asyncio.FIRST_COMPLETED)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    for one in done:
        one.result()
    return recorder


def seconds(tally: Tally) -> dict[int, float]:
    """99th percentile of ad requests in milliseconds, by whole second of the monotonic clock."""
    route, due = np.array(tally.route), np.array(tally.due_s)
    ads = np.flatnonzero(route <= 1)
    second, ms = due[ads].astype(np.int64), np.array(tally.latency_s)[ads] * 1000
    return {
        int(one): float(np.quantile(ms[second == one], 0.99, method="inverted_cdf"))
        for one in np.unique(second)[1:-1]
    }


def excused(marks: list[tuple[str, float]]) -> set[int]:
    """Whole seconds that lie in the first one after a move or after it took effect."""
    return {int(at) + offset for _, at in marks for offset in (0, 1)}


def figures(release: Release, recorder: Recorder) -> Iterator[dict[str, Any]]:
    tally = recorder.tally
    p99, out = seconds(tally), excused(release.marks)
    inside = {second: ms for second, ms in p99.items() if second not in out}
    worst = max(inside, key=lambda second: inside[second])
    failed = sum(status >= SERVER_ERRORS for status in tally.status) + tally.failures.total()
    quality = Counter(q for q in tally.quality if q >= 0)
    yield {
        "figure": "failed requests",
        "value": failed,
        "of": len(tally),
        "failures": dict(tally.failures),
        "quality": {str(q): count for q, count in sorted(quality.items())},
    }
    yield {
        "figure": "worst p99 of a second, first second after each move aside",
        "value": round(inside[worst], 1),
        "unit": "ms",
        "after": _last(release.marks, worst),
        "seconds": len(inside),
        "above_50_ms": sum(ms > 50 for ms in inside.values()),
        "median_second": round(float(np.median(list(inside.values()))), 1),
        "worst_excused": round(max((p99[s] for s in p99 if s in out), default=0.0), 1),
    }
    for state, took in release.gone_after.items():
        yield {
            "figure": "seconds from a broken canary's start to its rollback",
            "state": state,
            "value": None if took is None else round(took, 1),
            "why": _why(release.registry),
        }


def _last(marks: list[tuple[str, float]], second: int) -> str:
    return next((what for what, at in reversed(marks) if at <= second), "the start")


def _why(registry: Registry) -> list[str]:
    return [move.reason for move in registry.read().moves if move.reason.startswith("automatic")]


def bench(scorer: str, flags: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """All figures of one scorer."""
    repository = variants.repository(SOURCE, folder / "models")
    settings = {
        "MODEL_REPOSITORY": str(repository),
        "RELEASE_PROMOTION": "off",
        "FEATURE_LOG_MIB": "8192",
        "DRIFT_EVERY_S": "0",
    }
    wanted = Wanted(flags.ads, scorer, WORKERS[scorer], folder / "data", settings)
    load = list(shots(1, DISTINCT if not flags.quick else 4_000, "127.0.0.1"))
    gc.freeze()
    (folder / "data").mkdir()
    registry = Registry(repository)
    with serving(wanted, folder / "server.log") as server:
        release = Release(server, registry, folder / "exported", flags.hold, flags.breaks)
        recorder = uvloop.run(under_load(release, flags, load))
        yield from figures(release, recorder)
    found = scored(folder / "data", registry)
    yield {"figure": "mixtures", "value": found.mixtures, **asdict(found)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scorer", nargs="+", choices=WORKERS, default=["local"])
    parser.add_argument("--ads", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=500.0, help="ad requests per second")
    parser.add_argument("--hold", type=float, default=15.0, help="seconds after each move")
    parser.add_argument("--seen", type=float, default=1.0, help="share of the ads that are seen")
    parser.add_argument("--quick", action="store_true", help="few ads, low rate, short")
    flags = parser.parse_args()
    flags.breaks = (State.CANARY_10, State.CANARY_1)
    if flags.quick:
        flags.ads, flags.rate, flags.hold = 2_000, 60.0, 3.0
        flags.breaks = (State.CANARY_10,)  # a hundredth of so few is a minute's wait for each fact
    for scorer in flags.scorer:
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            about = {
                "scorer": scorer,
                "ads": flags.ads,
                "per_s": flags.rate,
                "hold_s": flags.hold,
                "seen": flags.seen,
            }
            for line in bench(scorer, flags, Path(folder)):
                sys.stdout.buffer.write(orjson.dumps(about | line) + b"\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
