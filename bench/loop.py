"""What five days of learning are worth, by seeds: JSON lines.

    python -m bench.loop

For each seed two loops on the same market, one that trains the network and one that trains a
logistic regression instead, as processes of their own. Regret is what was missed of the oracle's
value, on the day after the last training, against the untrained start on the same visits. Revenue
is compared over the hours of all days after the first training. Who clicks what is settled by the
market beforehand, so both differ by what they chose alone; intervals (95 %) resample paired hours.
A folder that is named is kept, and a bench that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from adserver.driving.tally import Sums
from adserver.loop.report import by_hour, resampled, tally
from adserver.loop.run import run_loop
from adserver.loop.settings import LoopSettings, Ranker
from ranking.intervals import TAIL

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """H paired hours of one seed."""

    start: F64
    """[H, 2] best and achieved micros of the untrained start on the last day."""
    end: F64
    """The same of the network as it had become by then."""
    network: F64
    """[D, 2] revenue of all hours after the first training, network and logistic regression."""
    last: F64
    """[H, 2] the same of the last day."""

    def figures(self) -> dict[str, dict[str, Any]]:
        ways = {"regret cut": self._cut, "revenue": self._revenue, "revenue, last day": self._last}
        return {name: _interval(*way()) for name, way in ways.items()}

    def _cut(self) -> tuple[F64, F64]:
        chance = resampled(len(self.start))
        return self._cut_of(np.ones((1, len(self.start)))), self._cut_of(chance)

    def _cut_of(self, weight: F64) -> F64:
        start, end = (1 - (w := weight @ one)[:, 1] / w[:, 0] for one in (self.start, self.end))
        cut: F64 = 1 - end / start
        return cut

    def _revenue(self) -> tuple[F64, F64]:
        return _ratios(self.network)

    def _last(self) -> tuple[F64, F64]:
        return _ratios(self.last)


def pooled(seeds: Sequence[Pairs]) -> Pairs:
    """All seeds' hours as one sample."""
    return Pairs(
        *(
            np.concatenate([getattr(one, name) for one in seeds])
            for name in ("start", "end", "network", "last")
        )
    )


def _ratios(revenue: F64) -> tuple[F64, F64]:
    weights = np.ones((1, len(revenue))), resampled(len(revenue))
    whole, drawn = ((w := weight @ revenue)[:, 0] / w[:, 1] for weight in weights)
    return whole, drawn


def _interval(whole: F64, drawn: F64) -> dict[str, Any]:
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL]).tolist()
    return {"value": round(float(whole[0]), 4), "low": round(low, 4), "high": round(high, 4)}


def pairs(network: Path, logistic: Path, days: int) -> Pairs:
    """Of two loops that have ended; hours that both have played."""
    own, other = tally(network, "tally-*.json"), tally(logistic, "tally-*.json")
    start = tally(network, "control-*.json")
    revenue = [
        np.stack([_revenue(by_hour(one, day)) for one in (own, other)], axis=1)
        for day in range(1, days + 1)
    ]
    return Pairs(
        _worth(by_hour(start, days)),
        _worth(by_hour(own, days)),
        np.concatenate(revenue),
        revenue[-1],
    )


def _revenue(hours: Sequence[Sums]) -> F64:
    return np.array([float(one.revenue_micros) for one in hours if one.requests])


def _worth(hours: Sequence[Sums]) -> F64:
    return np.array([(one.best_micros, one.achieved_micros) for one in hours if one.requests])


def _ran(folder: Path, settings: LoopSettings) -> float:
    """Seconds that the loop took; in a process of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.disable(logging.WARNING)
    begin = time.perf_counter()
    run_loop(folder, settings)
    return time.perf_counter() - begin


def lines(
    folder: Path, settings: LoopSettings, seeds: Sequence[int], jobs: int
) -> Iterator[dict[str, Any]]:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        runs = {
            (seed, ranker): pool.submit(
                _ran, _place(folder, seed, ranker), replace(settings, seed=seed, ranker=ranker)
            )
            for seed in seeds
            for ranker in Ranker
        }
        found = []
        for seed in seeds:
            seconds = {ranker: runs[seed, ranker].result() for ranker in Ranker}
            places = [_place(folder, seed, ranker) for ranker in Ranker]
            one = pairs(places[0], places[1], settings.days)
            found.append(one)
            took = {f"{ranker}_seconds": round(seconds[ranker], 1) for ranker in Ranker}
            yield from _lines(one, {"seed": seed, **_days(places), **took})
    yield from _lines(pooled(found), {"seed": "all"})


def _place(folder: Path, seed: int, ranker: Ranker) -> Path:
    return folder / f"{seed}-{ranker}"


def _days(places: Sequence[Path]) -> dict[str, Any]:
    """Regret of each day, of both."""
    names = [f"{ranker}_regret" for ranker in Ranker]
    reports = [orjson.loads((place / "report.json").read_bytes()) for place in places]
    return {
        name: [round(day["regret"], 4) for day in report["days"]]
        for name, report in zip(names, reports, strict=True)
    }


def _lines(one: Pairs, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    units = {"regret cut": "share of the untrained start's"}
    for name, numbers in one.figures().items():
        unit = units.get(name, "times the logistic regression's")
        yield {"bench": "loop", "figure": name, **numbers, "unit": unit, **about}


def main() -> int:
    usual = LoopSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--days", type=int, default=usual.days)
    parser.add_argument("--ads", type=int, default=usual.ads)
    parser.add_argument("--visits", type=int, default=usual.visits)
    parser.add_argument("--click-log-odds", type=float, default=usual.click_log_odds)
    parser.add_argument("--visits-per-user", type=float, default=usual.visits_per_user)
    parser.add_argument("--budget-usd-per-visit", type=float, default=usual.budget_usd_per_visit)
    parser.add_argument("--jobs", type=int, default=2, help="loops at the same time")
    parser.add_argument("--folder", type=Path, help="where the loops live; else they are removed")
    parser.add_argument("--quick", action="store_true", help="two days of a tiny market, one seed")
    flags = parser.parse_args()
    settings = replace(
        usual,
        days=flags.days,
        ads=flags.ads,
        visits=flags.visits,
        click_log_odds=flags.click_log_odds,
        visits_per_user=flags.visits_per_user,
        budget_usd_per_visit=flags.budget_usd_per_visit,
    )
    if flags.quick:
        settings = replace(usual, days=1, ads=300, visits=20_000, hours=(12, 14))
        flags.seeds = flags.seeds[:1]
    with tempfile.TemporaryDirectory(prefix="loop-") as place:
        for line in lines(flags.folder or Path(place), settings, flags.seeds, flags.jobs):
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
