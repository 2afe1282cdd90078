"""How much of its bid a plan offers now, so that its goal lasts for its period and is met.

Knows plans as rows with a goal of whole units (micros, impressions, clicks), seconds as numbers
and a traffic curve; no clock, no requests, no I/O. The hard stop is the ledger's.

A bid is divided by 1 + μ, the dual price of the budget, and μ follows what was delivered against
what was due: online dual mirror descent (Balseiro, Gur, "Learning in Repeated Auctions with
Budgets", 2019; Balseiro, Lu, Mirrokni, "The Best of Many Worlds", 2023), with the entropy of 1 + μ
as mirror map, so that a step changes a bid by the same share wherever it stands, and in batches,
one per tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, PPM
from auction.traffic import Curve

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

DEEPEST = float(np.log(PPM))
"""ln(1 + μ) at which one millionth of the bid is left."""
CHANGED = 0.05
"""A goal that changes by more than this share is found anew, in large steps."""
LEVEL = 4.0
"""Steps of a plan over which its level is averaged."""
AHEAD = 0.4
"""Front-loaded plans begin this much faster than even ones, and end as much slower."""
TAKE_BACK = 3.0
"""Steps over which a plan makes up for what its hour has had too much or too little of."""
SOONEST = 1 / 30
"""Least part of an hour for that: a busy plan finds its rate first."""
CARRIED = 0.03
"""Most of an hour's plan that it goes without, or takes besides, for the hour before."""
LEAN = 0.5
"""Most of what is due that a plan goes without, or takes besides, to make up for its hour."""


class Goal(IntEnum):
    """What a plan counts, one unit each; money in micros."""

    SPEND = 0
    IMPRESSIONS = 1
    VIEWABLE = 2
    CLICKS = 3


class Mode(IntEnum):
    ASAP = 0
    EVEN = 1
    FRONT_LOADED = 2


@dataclass(frozen=True, slots=True)
class PacingSettings:
    react_s: float = 4.0
    """Time in which a busy plan corrects its rate. Below three ticks it swings."""
    fewest: float = 4.0
    """Deliveries that a plan is moved by at its start: fewer find the level sooner, and jump."""
    most: float = 16.0
    """Deliveries that a plan is moved by when it is settled. More make bids steadier and worth up
    to 2 % more, and hours of few deliveries stray from their plan."""
    rate_s: float = 600.0
    """Time over which the current rate of delivery is averaged, for urgency."""
    longest_gap_s: float = 60.0
    """After a longer silence nothing was due: nobody sold anything meanwhile."""


@dataclass(frozen=True, slots=True)
class Plans:
    """[L] goals with their periods, in the order of their keys."""

    key: I64
    """What the caller calls the plan; ascending, each once."""
    kind: NDArray[np.uint8]
    """Goal; the pacer does not look at it."""
    amount: I64
    """Units to deliver from `start_s` to `end_s`."""
    unit: F64
    """Units of one delivery at the full bid: 1, or the typical price in micros."""
    mode: NDArray[np.uint8]
    period: I64
    """Number of the period, not negative: the day, or 0 of a flight. What was delivered in one
    does not count in the next; moving a flight's dates leaves it what it is."""
    start_s: F64
    end_s: F64

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def none(cls) -> Plans:
        no = np.zeros(0)
        whole, small = no.astype(np.int64), no.astype(np.uint8)
        return cls(whole, small, whole, no, small, whole, no, no)


STATE = np.dtype(
    [
        ("key", np.int64),
        ("period", np.int64),  # that `seen` belongs to
        ("amount", np.int64),  # the goal when last seen
        ("seen", np.int64),  # delivered and promised at the last tick
        ("dual", np.float64),  # ln(1 + μ)
        ("level", np.float64),  # its average over the last deliveries
        ("steps", np.float64),  # deliveries since the plan began or its goal changed
        ("rate", np.float64),  # units delivered per unit of traffic, lately; negative: unknown
        ("hour", np.int64),  # that `ahead` belongs to
        ("ahead", np.float64),  # units delivered in this hour less what was due in it
    ]
)
"""One record per plan: all that a restarted pacer needs."""


class Pacer:
    """The multiplier of each plan, learnt from its own delivery. The only state is `state`."""

    def __init__(self, settings: PacingSettings, curve: Curve) -> None:
        self.settings, self.curve = settings, curve
        self.plans = Plans.none()
        self.state = np.zeros(0, STATE)
        self.now_s = -np.inf
        self._spans_of: tuple[Plans, Curve] | None = None
        self._begin = self._whole = np.zeros(0)

    def follow(self, plans: Plans, state: NDArray[np.void] | None = None) -> None:
        """Work on these plans from now on; those known already, by key, go on as they were.

        `state`, if given, is another pacer's and replaces what this one knew.
        """
        known = self.state if state is None else state
        fresh = np.zeros(len(plans), STATE)
        fresh["key"], fresh["period"], fresh["amount"] = plans.key, -1, plans.amount
        fresh["rate"] = -1.0
        if len(known):
            place = np.minimum(np.searchsorted(known["key"], plans.key), len(known) - 1)
            same = known["key"][place] == plans.key
            fresh[same] = known[place[same]]
        self.plans, self.state = plans, fresh

    def tick(self, now_s: float, delivered: I64) -> None:
        """Learn from `delivered` [L], units delivered and promised in each plan's period so far.

        Promises that come back lower it. A period that begins anew begins with what is delivered
        then.
        """
        plans, state = self.plans, self.state
        elapsed = now_s - self.now_s
        began = state["period"] != plans.period
        gained = np.where(began, 0, delivered - state["seen"])
        due = self._due(now_s, np.where(began, 0, state["seen"]))
        if 0 < elapsed <= self.settings.longest_gap_s:
            due[began] = 0
            self._open_hour(now_s, began)
            self._learn(gained.astype(np.float64), due, elapsed)
            self._follow_rate(gained, now_s, elapsed)
        state["period"], state["seen"], state["amount"] = plans.period, delivered, plans.amount
        self.now_s = now_s

    def _due(self, now_s: float, seen: I64) -> F64:
        """[L] units that should have come since the last tick: the plan's share of what was left.

        ρ·Δ = remaining goal * (F(now) - F(before)) / (1 - F(before)), F the planned share by then.
        """
        before, now = self._planned(self.now_s), self._planned(now_s)
        left = np.maximum(0, self.plans.amount - seen)
        share = (now - before) / np.maximum(1.0 - before, 1e-12)
        due: F64 = left * np.minimum(1.0, share)
        return due

    def _planned(self, at_s: float) -> F64:
        """[L] share of the goal that is planned by a moment."""
        gone = self._gone(at_s)
        share = gone / self._whole
        early = share * (1.0 + AHEAD - AHEAD * share)
        return np.where(self.plans.mode == Mode.FRONT_LOADED, early, share)

    def _gone(self, at_s: float) -> F64:
        """[L] traffic of each plan's period that a moment has behind it, of `_whole`."""
        known = self._spans_of
        if known is None or known[0] is not self.plans or known[1] is not self.curve:
            plans, curve = self._spans_of = self.plans, self.curve
            self._begin = curve.until(plans.start_s)
            self._whole = np.maximum(curve.until(plans.end_s) - self._begin, 1e-9)
        before = float(self.curve.until(np.array(at_s))) if np.isfinite(at_s) else -np.inf
        gone: F64 = np.clip(before - self._begin, 0.0, self._whole)
        return gone

    def planned(self, at_s: float) -> I64:
        """[L] units of the goal that an undisturbed plan has delivered by a moment."""
        units: I64 = np.rint(self._planned(at_s) * self.plans.amount).astype(np.int64)
        return units

    def _open_hour(self, now_s: float, began: NDArray[np.bool_]) -> None:
        """An hour makes up for little of the one before; periods and changed goals for nothing."""
        state, hour = self.state, int(now_s // self.curve.hour_s)
        changed = np.abs(self.plans.amount - state["amount"]) > CHANGED * state["amount"]
        state["steps"][changed] = 0.0
        coming = self._planned(now_s + self.curve.hour_s) - self._planned(now_s)
        most = np.where(changed | began, 0.0, CARRIED * coming * self.plans.amount)
        new = changed | began | (state["hour"] != hour)
        state["ahead"] = np.where(new, np.clip(state["ahead"], -most, most), state["ahead"])
        state["hour"] = hour

    def _learn(self, gained: F64, due: F64, elapsed: float) -> None:
        """ln(1 + μ) moves by the error over `batch` deliveries, or over `react_s` when busy."""
        settings, state = self.settings, self.state
        price = np.maximum(1.0, self.plans.unit * np.exp(-state["level"]))
        batch = np.clip(0.5 * np.sqrt(state["steps"]), settings.fewest, settings.most)
        scale = np.maximum(batch * price, due * (settings.react_s / elapsed))
        state["ahead"] += gained - due
        wanted = due * (1.0 - self._excess(due / elapsed, scale))
        dual = np.clip(state["dual"] + (gained - wanted) / scale, 0.0, DEEPEST)
        state["dual"] = np.where(self.plans.mode == Mode.ASAP, 0.0, dual)
        # Steps in proportion to the bid of the moment would be large whenever it is low: the
        # errors would no longer cancel, and the plan would run ahead.
        known = np.minimum(1.0, due / (LEVEL * scale))
        state["level"] += known * (state["dual"] - state["level"])
        state["steps"] += np.maximum(gained, 0.0) / price

    def _excess(self, due_per_s: F64, scale: F64) -> F64:
        """[L] part of what is due that this hour has had already: taken back within the hour.

        Spread over the rest of the period it would be missing there, from later hours' plans.
        """
        soon = np.maximum(TAKE_BACK * scale, due_per_s * (SOONEST * self.curve.hour_s))
        excess: F64 = np.clip(self.state["ahead"] / soon, -LEAN, LEAN)
        return excess

    def _follow_rate(self, gained: I64, now_s: float, elapsed: float) -> None:
        mass = self.curve.between(np.array(now_s - elapsed), np.array(now_s))
        found = gained / max(float(mass), 1e-12)
        state = self.state
        rate = np.where(state["rate"] < 0, self.plans.amount / self._whole, state["rate"])
        keep = np.exp(-elapsed / self.settings.rate_s)
        state["rate"] = np.maximum(0.0, keep * rate + (1 - keep) * found)

    def multiplier_ppm(self) -> I64:
        """[L] millionths of its bid that each plan offers now, 1 to 1 000 000."""
        ppm: I64 = np.clip(np.rint(PPM * np.exp(-self.state["dual"])), 1, PPM).astype(np.int64)
        return ppm

    def urgency_ppm(self, now_s: float) -> I64:
        """[L] remaining goal over what the current rate will still deliver, in millionths.

        1 000 000 is on course; more is behind, to a thousandfold at most; 0 has met its goal.
        """
        plans, state = self.plans, self.state
        left = np.maximum(0, plans.amount - state["seen"]).astype(np.float64)
        gone = self._gone(now_s)
        coming = np.where(state["rate"] < 0, left, state["rate"] * (self._whole - gone))
        times = left / np.maximum(np.maximum(coming, left / 1000), 1e-12)
        urgency: I64 = np.ceil(times * PPM).astype(np.int64)
        return urgency

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        state, faults = self.state, []
        if not np.array_equal(state["key"], self.plans.key):
            faults.append("the state is not that of the plans")
        if (np.diff(self.plans.key) <= 0).any():
            faults.append("the plans are not in the order of their keys")
        if not ((state["dual"] >= 0) & (state["dual"] <= DEEPEST)).all():
            faults.append("a dual price is out of its range")
        if (state["steps"] < 0).any() or not np.isfinite(state["steps"]).all():
            faults.append("a plan's steps are not a count")
        if not (np.isfinite(state["rate"]) & np.isfinite(state["ahead"])).all():
            faults.append("a rate is not a number")
        return faults


def paced(bid_micros: I64, per_click: NDArray[np.bool_], multiplier_ppm: I64) -> I64:
    """Bids as offered now: a millionth share, rounded down, but never to nothing.

    CPM bids stay multiples of MILLE, so that an impression costs whole micros.
    """
    part = _share(bid_micros, multiplier_ppm)
    whole = np.where(per_click, part, part // MILLE * MILLE)
    least = np.where(per_click, 1, MILLE)
    bid: I64 = np.minimum(bid_micros, np.maximum(whole, least))
    return bid


def _share(micros: I64, ppm: I64) -> I64:
    """micros * ppm // 1 000 000 without leaving 64 bits."""
    whole, rest = np.divmod(micros, PPM)
    share: I64 = whole * ppm + rest * ppm // PPM
    return share
