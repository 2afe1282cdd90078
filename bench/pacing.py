"""What pacing is worth on a market of heavy-tailed prices, and what its tick costs.

    python -m bench.pacing --auctions 200000

One campaign with a share of the money that it could spend bids through a generated second-price
log: lognormal click rates, independent lognormal or Pareto prices. It is paced by the pacer that
serves (`dual`), by dual descent after every single auction as in the literature (`dual_each`), by
a PI controller of the bid (`pi`), by random throttling (`throttle`), and not at all (`none`).
All are sold to by `run_auction` but `dual_each`, whose market is one comparison. `hindsight` is
the best fixed share of the bid, found with the whole log known. One JSON line per figure.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, PPM
from auction.pacing import Goal, Pacer, PacingSettings, Plans, paced
from auction.traffic import Curve
from feedback.replay.bidlog import Offers
from feedback.replay.campaign import (
    TICK,
    Hold,
    Pacing,
    Result,
    Trial,
    Worth,
    compare,
    survey,
    trial_of,
    unlimited,
)

MEDIAN_PRICE = 1_000_000
"""Micros per thousand impressions."""
WORTH = Worth(click_micros=1_000_000, usual_ppm=3_000)
BUDGETS = (0.5, 0.25, 0.1)
SHARE_P, SHARE_I = 0.1, 0.1
"""Gains of the PI controller, in ln(bid) per relative error of a tick: the best of a grid of
{0, 0.01, 0.03, 0.1} x {0.001, …, 0.1}. Its integral part is a dual step of fixed size."""


def log_of(rng: np.random.Generator, auctions: int, prices: str) -> list[Offers]:
    """A bid log: the campaign's median value is three times the median price."""
    if prices == "pareto":
        price = MEDIAN_PRICE / 2**0.75 * (1 + rng.pareto(1.333, auctions))
    else:
        price = MEDIAN_PRICE * rng.lognormal(0.0, 1.0, auctions)
    pctr = np.clip(3_000 * rng.lognormal(0.0, 1.0, auctions), 1, PPM).astype(np.int64)
    click = rng.random(auctions) < pctr / PPM
    market = np.maximum(1, price.astype(np.int64) // MILLE) * MILLE
    return [Offers(click, market, pctr)]


class PI:
    """Proportional and integral control of ln(bid) on the relative error of each tick."""

    def __init__(self, budget_micros: int, auctions: int) -> None:
        self._due = budget_micros / auctions * TICK
        self._before, self._sum, self._log = 0, 0.0, 0.0

    def bid(self, full_micros: NDArray[np.int64]) -> NDArray[np.int64]:
        share = np.full(len(full_micros), max(1, round(PPM * np.exp(self._log))))
        return paced(full_micros, np.zeros(len(full_micros), np.bool_), share)

    def spent(self, seen: int, total_micros: int) -> None:
        error = 1.0 - (total_micros - self._before) / self._due
        self._before = total_micros
        self._sum = float(np.clip(self._sum + SHARE_I * error, -10.0, 0.0))
        self._log = float(np.clip(self._sum + SHARE_P * error, -10.0, 0.0))


def after_each_auction(log: Offers, budget_micros: int) -> tuple[int, int]:
    """Value and spend of `bid = v / (1 + μ)`, `μ ← max(0, μ - η(ρ - z))` after every auction.

    Balseiro, Gur (2019), with η = 2.5 / (√T · mean price).
    """
    full, market = WORTH.cpm_micros(log.pctr_ppm) // MILLE, log.market_micros // MILLE
    step = 2.5 / (np.sqrt(len(log)) * float(np.minimum(market, full).mean()))
    value, spent, dual = 0, 0, 0.0
    for seen, (worth, price) in enumerate(zip(full.tolist(), market.tolist(), strict=True)):
        won = worth >= price * (1 + dual) and spent + price <= budget_micros
        cost = price if won else 0
        due = (budget_micros - spent) / (len(log) - seen)
        dual = max(0.0, dual - step * (due - cost))
        value, spent = value + won * worth, spent + cost
    return value, spent


def in_hindsight(log: Offers, budget_micros: int) -> int:
    """Value of the best fixed share of the bid."""
    full, market = WORTH.cpm_micros(log.pctr_ppm) // MILLE, log.market_micros // MILLE
    order = np.argsort(market / np.maximum(full, 1))
    affordable = np.cumsum(market[order]) <= budget_micros
    return int(full[order][affordable & (full >= market)[order]].sum())


def contest(log: list[Offers], share: float) -> dict[str, Result]:
    """What each way of pacing gets for this share of the money that could be spent."""
    free = unlimited(log, survey(log).offers, WORTH, first_price=False)
    budget = int(free.spent_micros * share)
    trials = {kind.value: trial_of(kind, budget, free, WORTH, False) for kind in Pacing}
    trials["pi"] = _trial("pi", budget, free.offered, PI(budget, free.offered))
    return {result.name: result for result in compare(log, list(trials.values()))}


def _trial(name: str, budget: int, auctions: int, hold: Hold) -> Trial:
    return Trial(Result(name, budget), hold, auctions, WORTH, first=False)


def values(auctions: int, seed: int) -> Iterator[dict[str, Any]]:
    """One figure per price law, budget and way of pacing."""
    for prices in ("lognormal", "pareto"):
        log = log_of(np.random.default_rng(seed), auctions, prices)
        for share in BUDGETS:
            found = contest(log, share)
            budget = found["dual"].budget_micros
            best = in_hindsight(log[0], budget)
            each, each_spent = after_each_auction(log[0], budget)
            rows = {name: (one.value_micros, one.spent_micros) for name, one in found.items()}
            for name, (value, spent) in {**rows, "dual_each": (each, each_spent)}.items():
                yield {
                    "bench": "pacing",
                    "figure": "value",
                    "prices": prices,
                    "budget_share": share,
                    "pacing": name,
                    "seed": seed,
                    "auctions": auctions,
                    "value_to_hindsight": round(value / best, 3),
                    "dual_over_this": round(rows["dual"][0] / value, 3),
                    "spent_share": round(spent / budget, 4),
                    "deviation": round(found[name].deviation, 4) if name in found else None,
                }


def tick_cost(plans: int) -> dict[str, Any]:
    """Median time of one tick with the multipliers and urgencies that it gives."""
    rng, day_s = np.random.default_rng(7), 86_400.0
    pacer = Pacer(PacingSettings(), Curve(rng.uniform(0.5, 2.0, 168)))
    amount = rng.integers(1_000_000, 10**10, plans)
    pacer.follow(
        Plans(
            key=np.arange(plans) * 8,
            kind=np.full(plans, Goal.SPEND, np.uint8),
            amount=amount,
            unit=np.full(plans, 500.0),
            mode=rng.integers(0, 3, plans).astype(np.uint8),
            period=np.zeros(plans, np.int64),
            start_s=np.zeros(plans),
            end_s=np.full(plans, day_s),
        )
    )
    spent, seconds = np.zeros(plans, np.int64), []
    for second in range(50):
        spent = spent + (amount / day_s * rng.uniform(0, 2, plans)).astype(np.int64)
        begin = time.thread_time()
        pacer.tick(float(second), spent)
        pacer.multiplier_ppm()
        pacer.urgency_ppm(float(second))
        seconds.append(time.thread_time() - begin)
    return {
        "bench": "pacing",
        "figure": "tick",
        "plans": plans,
        "value": round(float(np.median(seconds)) * 1e3, 2),
        "unit": "ms",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--auctions", type=int, default=200_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one seed, 20 000 auctions")
    flags = parser.parse_args()
    if flags.quick:
        flags.auctions, flags.seeds = 20_000, 1
    for seed in range(flags.seeds):
        for line in values(flags.auctions, seed):
            print(json.dumps(line), flush=True)
    for plans in (20_000, 200_000):
        print(json.dumps(tick_cost(plans)), flush=True)


if __name__ == "__main__":
    main()
