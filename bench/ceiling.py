"""What a model of the simulated market could reach, and what each part is worth; JSON lines.

    python -m bench.ceiling

One hour's log and its true log-odds, part by part. `auc` is what clicks drawn again and again by
the true rates would give on average. `without` leaves one part out: what a model loses that never
learns it. `told` knows all but the person's own trait, and of the person's interest what a linear
map of the segments says, fitted to the interests of other visits: as much as an embedding that is
averaged over the segments can learn from any number of clicks, all of it or in so many `numbers`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.heads import expected_auc
from simulator.market.clicks import USER_AFFINITY
from simulator.market.log import Logged, logged
from simulator.market.market import Market
from simulator.market.settings import MarketSettings
from simulator.world import SEGMENTS, TOPICS

Floats = NDArray[np.float64]
VISITS, ADS, SEED = 3_000_000, 70_000, 7
FITTED = 0.7
"""Share of the visits; the others judge."""
NUMBERS = (16, 12, 8)
"""Widths of an embedding below that of the topics."""


def parts_of(market: Market, log: Logged) -> tuple[dict[str, Floats], Floats]:
    """[R] the true log-odds by cause, topics in two; and [B, TOPICS] what the persons like."""
    visit = log.traffic.visit
    parts = market.truth_by_part(market.crowd(log.traffic), log.of, log.ad, log.placement)
    interest = market.interests.vectors(visit.user, log.traffic.at_s).astype(np.float64)
    person = USER_AFFINITY * about(market, log, interest)
    return parts | {"topics": parts["topics"] - person, "person": person}, interest


def about(market: Market, log: Logged, interest: Floats) -> Floats:
    """[R] how far each ad is about what its visit's person is taken to like."""
    likes: Floats = (interest[log.of] * market.appeal.topic[log.ad]).sum(axis=1)
    return likes


def told(log: Logged, interest: Floats, fitted: NDArray[np.bool_]) -> Floats:
    """[B, TOPICS] interests by the mean over segments, by least squares on the `fitted` visits."""
    segment = log.traffic.visit.segment
    row, column = np.nonzero(segment >= 0)
    held = np.maximum((segment >= 0).sum(axis=1), 1)
    mean = np.zeros((len(segment), SEGMENTS + 1))
    np.add.at(mean, (row, segment[row, column]), 1.0 / held[row])
    mean[:, -1] = 1.0
    some = mean[fitted]
    square = some.T @ some + np.eye(SEGMENTS + 1)
    guessed: Floats = mean @ np.linalg.solve(square, some.T @ interest[fitted])
    return guessed


def narrowed(interest: Floats, numbers: int) -> Floats:
    """The nearest that so many numbers a visit can say."""
    middle = interest.mean(axis=0)
    _, _, direction = np.linalg.svd((interest - middle)[:20_000], full_matrices=False)
    kept = direction[:numbers]
    near: Floats = middle + (interest - middle) @ kept.T @ kept
    return near


def figures(market: Market, log: Logged, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One line for the truth, for each part left out, and for each width of what segments say."""
    parts, interest = parts_of(market, log)
    rate = log.truth
    truth, sure = np.log(rate / (1 - rate)), rate * (1 - rate)
    yield {"figure": "truth", "auc": round(_auc(rate, truth), 5), "impressions": len(rate)}
    for name, own in parts.items():
        spread = float(np.sqrt(np.cov(own, aweights=sure)))
        line = {"figure": "without", "part": name, "spread": round(spread, 3)}
        yield line | {"auc": round(_auc(rate, truth - own), 5)}
    rest = truth - parts["trait"] - parts["person"]
    fitted = rng.random(len(interest)) < FITTED
    judged = ~fitted[log.of]
    top = _auc(rate[judged], truth[judged])
    guessed = told(log, interest, fitted)
    for numbers in (TOPICS, *NUMBERS):
        likes = about(market, log, narrowed(guessed, numbers))
        auc = _auc(rate[judged], (rest + USER_AFFINITY * likes)[judged])
        line = {"figure": "told", "numbers": numbers, "auc": round(auc, 5)}
        yield line | {"of_truth": round(auc / top, 4)}


def _auc(rate: Floats, score: Floats) -> float:
    return expected_auc(rate, score, np.ones(len(rate)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--visits", type=int, default=VISITS, help="a day, of which the first hour")
    parser.add_argument("--quick", action="store_true", help="a small market")
    flags = parser.parse_args()
    visits, ads = (200_000, 2_000) if flags.quick else (flags.visits, ADS)
    market = Market(MarketSettings(ads=ads, visits_per_day=visits, days=1))
    rng = np.random.default_rng(SEED)
    for line in figures(market, next(logged(market, rng)), rng):
        print(json.dumps({"bench": "ceiling"} | line), flush=True)


if __name__ == "__main__":
    main()
