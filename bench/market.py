"""The living market: what playing a day costs, and how its true click rates are made up.

    python -P bench/market.py                      # three sizes of day, then the truth
    python -P bench/market.py --quick

One JSON line per size, each in a process of its own so that peak memory is its own, then two of
the truth. What a server can know at best is reckoned, not learnt: everything but the user's own
trait, and of the user's interest the best linear guess from segments (ridge regression on a week of
visits). What recent clicks tell comes on top.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.market.clicks import USER_AFFINITY
from simulator.market.eligible import Pairs
from simulator.market.market import Market
from simulator.market.settings import MarketSettings
from simulator.market.traffic import Traffic
from simulator.world import SEGMENTS

Result = TypeVar("Result")
SIZES = (10_000, 100_000, 1_000_000)
AFTERNOON = 15
ASKED = 10_000
"""Visits of which every fitting ad is asked for."""
RIDGE = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small days, few visits")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.size:
        print(json.dumps(played(chosen.size)))
        return
    for size in SIZES[:2] if chosen.quick else SIZES:
        command = [sys.executable, "-P", __file__, "--size", str(size)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    for line in truth_of(Market(MarketSettings()), 150 if chosen.quick else 1_500):
        print(json.dumps(line), flush=True)


def played(visits_per_day: int) -> dict[str, Any]:
    """A whole day, then every pair of some of its visits; kernels compiled beforehand."""
    market, made_s = timed(lambda: Market(MarketSettings(visits_per_day=visits_per_day)))
    day = market.day(2)
    asked(market, day.hour(3).rows(slice(0, 50)))
    base_mb = peak_mb()
    visits_s = timed(lambda: sum(len(hour) for hour in day.hours()))[1]
    crowd_s = timed(lambda: sum(len(market.crowd(hour)) for hour in day.hours()))[1] - visits_s
    day_mb = peak_mb()
    return {
        "figure": "market_day",
        "visits": len(day),
        "ads": len(market.catalogue.ads),
        "made_s": round(made_s, 2),
        "visits_s": round(visits_s, 2),
        "crowd_s": round(crowd_s, 2),
        "peak_mb_before": base_mb,
        "peak_mb": day_mb,
        **asked(market, day.hour(AFTERNOON).rows(slice(0, ASKED))),
    }


def asked(market: Market, traffic: Traffic) -> dict[str, float]:
    """What the oracle's questions cost."""
    crowd = market.crowd(traffic)
    fits, fitting_s = timed(lambda: market.fitting(traffic))
    pairs = fits.pairs()
    truth_s = timed(lambda: market.truth(crowd, pairs.visit, pairs.ad, pairs.placement))[1]
    best_s = timed(lambda: market.best(crowd, fits, market.worth()))[1]
    return {
        "fits_per_slot": round(len(pairs.ad) / int((traffic.visit.placement >= 0).sum()), 1),
        "fitting_us_per_visit": round(1e6 * fitting_s / len(traffic), 2),
        "truth_ns_per_pair": round(1e9 * truth_s / len(pairs.ad), 1),
        "best_us_per_visit": round(1e6 * best_s / len(traffic), 2),
    }


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def truth_of(market: Market, visits_per_hour: int) -> Iterator[dict[str, Any]]:
    """How log-odds vary over fitting ads, and how well the truth tells clicks apart."""
    guess = interest_guess(market)
    parts = [pairs_of(market, hour, visits_per_hour, guess) for hour in (3, 9, 13, 17, 20, 22)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    yield {
        "figure": "market_log_odds_deviation",
        **{name: round(float(columns[name].std()), 3) for name in columns if name in PARTS},
        "interest": round(float(columns["interest"].std()), 3),
        "interest_that_segments_leave_open": round(float(columns["unsaid"].std()), 3),
    }
    yield {"figure": "market_truth", **judged(columns)}


PARTS = ("topics", "trait", "place", "ad", "placement", "shape", "hour", "country")


def pairs_of(
    market: Market, hour: int, visits: int, guess: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Every fitting pair of some visits of people, with the truth and what could be known of it."""
    traffic = market.day(2).hour(hour)
    traffic = traffic.rows(np.flatnonzero(~traffic.bot)[:visits])
    crowd, pairs = market.crowd(traffic), market.fitting(traffic).pairs()
    parts = market.truth_by_part(crowd, pairs.visit, pairs.ad, pairs.placement)
    log_odds = np.sum(list(parts.values()), axis=0)
    interest, said = interests(market, traffic, pairs, guess)
    rate = market.truth(crowd, pairs.visit, pairs.ad, pairs.placement)
    worth = market.worth()
    return parts | {
        "rate": rate,
        "interest": interest,
        "unsaid": interest - said,
        "known": log_odds - parts["trait"] - interest + said,
        "without_trait": log_odds - parts["trait"],
        "value": worth.per_view[pairs.ad] + worth.per_click[pairs.ad] * rate,
        "page": hour * 1e7 + pairs.visit * 3.0 + pairs.slot,
        "per_click": worth.per_click[pairs.ad],
        "per_view": worth.per_view[pairs.ad],
    }


def interests(
    market: Market, traffic: Traffic, pairs: Pairs, guess: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[P] log-odds from the user's interest, and what segments let one expect of it."""
    topic = market.appeal.topic[pairs.ad]
    own = USER_AFFINITY * market.interests.vectors(traffic.visit.user, traffic.at_s)
    said = USER_AFFINITY * (segment_shares(traffic) @ guess)
    return (own[pairs.visit] * topic).sum(axis=1), (said[pairs.visit] * topic).sum(axis=1)


def segment_shares(traffic: Traffic) -> NDArray[np.float64]:
    """[B, SEGMENTS + 1] each row's segments in equal shares; the last column marks those with
    none."""
    bag = traffic.visit.segment
    held = (bag >= 0).sum(axis=1)
    share = np.zeros((len(bag), SEGMENTS + 1))
    for column in bag.T:
        place = np.where(column >= 0, column, SEGMENTS)
        share[np.arange(len(bag)), place] += (column >= 0) / np.maximum(held, 1)
    share[:, SEGMENTS] = held == 0
    return share


def interest_guess(market: Market) -> NDArray[np.float64]:
    """[SEGMENTS + 1, TOPICS] the best linear guess of an interest from segment shares."""
    hours = [market.day(day).hour(hour) for day in range(7) for hour in (1, 11, 19)]
    shares = np.concatenate([segment_shares(hour) for hour in hours])
    own = [market.interests.vectors(hour.visit.user, hour.at_s) for hour in hours]
    inner = shares.T @ shares + RIDGE * np.eye(shares.shape[1])
    found: NDArray[np.float64] = np.linalg.solve(inner, shares.T @ np.concatenate(own))
    return found


def judged(columns: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    rate, known = columns["rate"], columns["known"]
    expected = columns["per_view"] + columns["per_click"] / (1 + np.exp(-known))
    chosen = {
        "random": first_of(columns["page"], hashed_order(len(rate))),
        "by_what_is_known": first_of(columns["page"], np.argsort(-expected, kind="stable")),
        "by_truth": first_of(columns["page"], np.argsort(-columns["value"], kind="stable")),
    }
    figures: dict[str, float] = {}
    for name, row in chosen.items():
        figures |= {
            f"{name}_ctr": round(float(rate[row].mean()), 5),
            f"{name}_usd_per_thousand": round(float(columns["value"][row].mean()) / 1e3, 3),
            f"{name}_auc_of_truth": round(auc(rate[row], rate[row]), 4),
            f"{name}_auc_without_trait": round(auc(rate[row], columns["without_trait"][row]), 4),
            f"{name}_auc_of_what_is_known": round(auc(rate[row], known[row]), 4),
        }
    return figures


def hashed_order(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(5).permutation(count)


def first_of(page: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of each page that comes first in `order`."""
    return order[np.unique(page[order], return_index=True)[1]]


def auc(rate: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Expected area under the curve of `score` where each row is clicked at its `rate`."""
    by_score = rate[np.argsort(score, kind="stable")]
    below = np.cumsum(1 - by_score) - (1 - by_score) / 2
    return float((by_score * below).sum() / (by_score.sum() * (1 - by_score).sum()))


if __name__ == "__main__":
    main()
