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
import gc
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import uvloop

from adserver.releases.registry import Registry
from adserver.releases.states import State
from bench.released import variants
from bench.released.scores import scored
from bench.released.story import SOURCE, Release
from loadtest.answers import Ad
from loadtest.open_loop import Plan, sent
from loadtest.recorder import Recorder, Viewer
from loadtest.serving import Wanted, serving
from loadtest.tally import SERVER_ERRORS, Tally, p99_by_second
from loadtest.target import target_of
from loadtest.traffic import AUCTION, CLICK, IMPRESSION, Shot, get, shots

DISTINCT: Final = 20_000
RATE: Final = 0.012
"""Of clicks per ad seen, whatever a model predicts."""
WARM_UP_S: Final = 5.0
SCORERS: Final = ("local", "triton")
ABOVE_MS: Final = 50.0


class Passer(Viewer):
    """Sees its share of the ads, and clicks without asking what the model thinks."""

    share = 1.0

    def look_at(self, ads: list[Ad]) -> list[Shot]:
        ads = [ad for ad in ads if self.chance() < self.share]
        seen = [get(IMPRESSION, ad.impression, self.host) for ad in ads]
        clicked = [ad for ad in ads if ad.click and self.chance() < RATE]
        return seen + [get(CLICK, ad.click, self.host) for ad in clicked]


async def under_load(release: Release, flags: argparse.Namespace, load: list[Shot]) -> Recorder:
    """The load for as long as the story lasts, and all answers."""
    target = target_of(release.url)
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
    ads = np.array(tally.route) <= AUCTION
    return p99_by_second(np.array(tally.due_s)[ads], np.array(tally.latency_s)[ads] * 1000)


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
        **_spread(inside),
        "worst_excused": round(max((p99[s] for s in p99 if s in out), default=0.0), 1),
    }
    for what in dict.fromkeys(_last(release.marks, second) for second in inside):
        part = {s: ms for s, ms in inside.items() if _last(release.marks, s) == what}
        yield {"figure": "p99 of the seconds after a move", "after": what, **_spread(part)}
    for state, took in release.gone_after.items():
        yield {
            "figure": "seconds from a broken canary's start to its rollback",
            "state": state,
            "value": None if took is None else round(took, 1),
        }
    yield {"figure": "rollbacks by the server itself", "why": _why(release.registry)}


def _spread(p99: dict[int, float]) -> dict[str, Any]:
    ms = sorted(p99.values())
    return {
        "seconds": len(ms),
        "above_50_ms": sum(one > ABOVE_MS for one in ms),
        "median_second": round(float(np.median(ms)), 1),
        "worst_second": round(ms[-1], 1),
    }


def _last(marks: list[tuple[str, float]], second: int) -> str:
    return next((what for what, at in reversed(marks) if at <= second), "the start")


def _why(registry: Registry) -> dict[str, str]:
    """By version; the first is the good one's."""
    moves = registry.read().moves
    return {str(one.version): one.reason for one in moves if one.reason.startswith("automatic")}


def bench(scorer: str, flags: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """All figures of one scorer."""
    repository = variants.repository(SOURCE, folder / "models")
    settings = {
        "MODEL_REPOSITORY": str(repository),
        "RELEASE_PROMOTION": "off",
        "FEATURE_LOG_MIB": "8192",
        "DRIFT_EVERY_S": "0",
        "OWN_CORES": flags.own_cores,
    }
    wanted = Wanted(flags.ads, scorer, flags.workers, folder / "data", settings)
    load = list(shots(1, DISTINCT if not flags.quick else 4_000, "127.0.0.1"))
    gc.freeze()
    (folder / "data").mkdir()
    registry = Registry(repository)
    with serving(wanted, folder / "server.log") as server:
        release = Release(
            *(server.url, registry, folder / "exported"),
            *(flags.hold, WARM_UP_S + flags.still, flags.breaks),
        )
        release.prepare()
        recorder = uvloop.run(under_load(release, flags, load))
        yield from figures(release, recorder)
    found = scored(folder / "data", registry)
    yield {"figure": "mixtures", "value": found.mixtures, **asdict(found)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scorer", nargs="+", choices=SCORERS, default=["local"])
    parser.add_argument("--workers", type=int, default=1, help="leave cores for the load")
    parser.add_argument("--own-cores", choices=("on", "off"), default="on")
    parser.add_argument("--ads", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=500.0, help="ad requests per second")
    parser.add_argument("--hold", type=float, default=15.0, help="seconds after each move")
    parser.add_argument("--still", type=float, default=60.0, help="seconds before the first")
    parser.add_argument("--seen", type=float, default=1.0, help="share of the ads that are seen")
    parser.add_argument("--quick", action="store_true", help="few ads, low rate, short")
    flags = parser.parse_args()
    flags.breaks = (State.CANARY_10, State.CANARY_1)
    if flags.quick:
        flags.ads, flags.rate, flags.hold, flags.still = 2_000, 60.0, 3.0, 3.0
        flags.breaks = (State.CANARY_10,)  # a hundredth of so few is a minute's wait for each fact
    for scorer in flags.scorer:
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            about = {
                "scorer": scorer,
                "workers": flags.workers,
                "own_cores": flags.own_cores,
                "ads": flags.ads,
                "per_s": flags.rate,
                "hold_s": flags.hold,
                "still_s": flags.still,
                "seen": flags.seen,
            }
            for line in bench(scorer, flags, Path(folder)):
                sys.stdout.buffer.write(orjson.dumps(about | line) + b"\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
