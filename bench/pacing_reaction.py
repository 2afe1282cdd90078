"""How soon pacing follows a budget or a traffic that changes: seconds of the server's own clock.

    python -m bench.pacing_reaction --plans 100

Many plans that are alike, the more the smaller, each on its own Poisson traffic with lognormal
prices, are paced once a second until they are settled. Then their budgets or their traffic double
or halve. `value` is the time until the mean spend of all of them is within a tenth of the new plan
and stays so for half a minute; `overshoot_s` the plan's seconds that were spent too much till then.
One JSON line per change and size of plan.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auction.columns import PPM
from auction.pacing import Goal, Mode, Pacer, PacingSettings, Plans
from auction.traffic import Curve

I64 = NDArray[np.int64]

BID = 4_000
DEMAND = 4.0
"""What a plan could spend, over what it should, before anything changes."""
DAY_S = 86_400.0
SETTLED_S = 1_500
"""Long enough for a hundred steps of the smallest plan."""
WATCHED_S = 240
STAYS_S = 30
CLOSE = 0.1


@dataclass(slots=True)
class Market:
    """Plans that are alike, each with requests of its own; what they spend is in `spent`."""

    pacer: Pacer
    rate: float
    """Requests a second for each plan."""
    rng: np.random.Generator
    spent: I64 = field(init=False)
    sales: int = 0
    now_s: int = 0

    def __post_init__(self) -> None:
        self.spent = np.zeros(len(self.pacer.plans), np.int64)

    def run(self, seconds: int) -> NDArray[np.float64]:
        """[seconds] mean spend of a plan in each."""
        mean = np.zeros(seconds)
        for second in range(seconds):
            self.pacer.tick(float(self.now_s), self.spent)
            bid = BID * self.pacer.multiplier_ppm() / PPM
            who = np.repeat(np.arange(len(bid)), self.rng.poisson(self.rate, len(bid)))
            price = np.ceil(self.rng.lognormal(np.log(BID / 2), 1.0, len(who)))
            won = price < bid[who]
            self.sales += int(won.sum())
            spend = np.bincount(who[won], price[won], len(bid)).astype(np.int64)
            self.spent = self.spent + spend
            mean[second] = spend.mean()
            self.now_s += 1
        return mean


def market_of(plans: int, requests_per_s: float, seed: int) -> Market:
    price = np.random.default_rng(0).lognormal(np.log(BID / 2), 1.0, 200_000)
    could_spend = requests_per_s * price[price < BID].sum() / len(price)
    pacer = Pacer(PacingSettings(), Curve.flat())
    pacer.follow(
        Plans(
            key=np.arange(plans),
            kind=np.full(plans, Goal.SPEND, np.uint8),
            amount=np.full(plans, round(could_spend / DEMAND * DAY_S)),
            unit=np.full(plans, BID / 2),
            mode=np.full(plans, Mode.EVEN, np.uint8),
            period=np.zeros(plans, np.int64),
            start_s=np.zeros(plans),
            end_s=np.full(plans, DAY_S),
        )
    )
    return Market(pacer, requests_per_s, np.random.default_rng(seed))


def reaction(what: str, times: float, plans: int, requests_per_s: float) -> dict[str, Any]:
    """The figure of one change."""
    market = market_of(plans, requests_per_s, seed=1)
    market.run(SETTLED_S - 300)
    market.sales = 0
    market.run(300)
    sales = market.sales / 300 / plans
    followed = market.pacer.plans
    left = followed.amount - market.spent
    if what == "budget":
        amount = market.spent + (left * times).astype(np.int64)
        market.pacer.follow(replace(followed, amount=amount))
        left = amount - market.spent
    else:
        market.rate *= times
    due = float(left.mean()) / (DAY_S - market.now_s)
    error = market.run(WATCHED_S) / due - 1.0
    seconds = _settling(np.abs(error) <= CLOSE)
    return {
        "bench": "pacing_reaction",
        "figure": what,
        "times": times,
        "plans": plans,
        "sales_per_s": round(sales, 2),
        "value": seconds,
        "unit": "s",
        "overshoot_s": round(float(error[: seconds or WATCHED_S].sum()), 1),
    }


def _settling(close: NDArray[np.bool_]) -> int | None:
    """First second from which all of STAYS_S are close; None if there is none."""
    runs = np.lib.stride_tricks.sliding_window_view(close, STAYS_S).all(axis=1)
    return int(runs.argmax()) if runs.any() else None


def figures(plans: int) -> Iterator[dict[str, Any]]:
    for requests_per_s in (100.0, 10.0, 1.0):
        for what in ("budget", "traffic"):
            for times in (2.0, 0.5):
                yield reaction(what, times, round(plans * 100 / requests_per_s), requests_per_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--plans", type=int, default=100, help="of the busiest size")
    parser.add_argument("--quick", action="store_true", help="forty busy plans")
    flags = parser.parse_args()
    for line in figures(40 if flags.quick else flags.plans):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
