"""Off-policy estimates: what a policy would earn per slot, from pages that another one decided.

    IPS    mean(w r)                           Horvitz, Thompson 1952
    SNIPS  mean(sells) Σ w r / Σ w             Swaminathan, Joachims 2015
    DR     mean(q + w (r - q))                 Dudík, Langford, Li 2011

w = 1 / p where the log shows what the policy would show, p the probability with which it does; 0
elsewhere. q is what the click model expects. DR is right when p is right, whatever q; a good q
makes it narrow. Weights above `clip` are cut (Ionides 2008): the estimate then leans on q for what
was shown too seldom. Pages are independent, slots of a page are not: intervals are by the delta
method over pages. Knows no auctions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.chance import NORMAL_95

Floats = NDArray[np.float64]
LEAST_ESS = 200.0
"""Effective observations below which an estimate is not told: it would be one of chance."""


@dataclass(frozen=True, slots=True)
class Slots:
    """[N] slots of logged pages, seen from the policy that is asked about; rows of a page lie
    together."""

    page: NDArray[np.int64]
    """Which page the slot is of: 0, 1, 2 …"""
    sells: NDArray[np.bool_]
    """The policy shows an ad here."""
    per_click: Floats
    """What the policy gets for a click on it,"""
    per_view: Floats
    """and for showing it; 0 where it sells nothing. Ones and zeros give clicks as the value."""
    predicted: Floats
    """Click rate that the model gave the policy's ad here."""
    matched: NDArray[np.bool_]
    """The log shows that very ad here, with a known probability."""
    chance: Floats
    """That probability, where matched; of all pages that were logged, above 0."""
    click: Floats
    """What came of what was shown: 1 or 0. Only matched rows are looked at."""

    def __len__(self) -> int:
        return len(self.page)

    def weights(self, clip: float) -> Floats:
        """[N] w, at most `clip`."""
        known = self.matched & self.sells
        return np.where(known, np.minimum(clip, 1 / np.where(known, self.chance, 1.0)), 0.0)

    @property
    def expected(self) -> Floats:
        """[N] what the model expects the policy to get."""
        return np.where(self.sells, self.per_view + self.per_click * self.predicted, 0.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value per slot, with its 95 % interval."""

    name: str
    value: float
    deviation: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - NORMAL_95 * self.deviation, self.value + NORMAL_95 * self.deviation


@dataclass(frozen=True, slots=True)
class Reading:
    """What the log says of a policy."""

    slots: int
    pages: int
    agreed: int
    """Slots in which the log shows what the policy would show."""
    ess: float
    """Effective observations, (Σ w)² / Σ w²."""
    support: float
    """Σ w by slots that the policy sells: 1 but for chance. Well below, the policy shows what the
    log never would (or weights were clipped), and there only the model speaks."""
    clipped: float
    """Share of the matched slots whose weight was cut."""
    estimates: tuple[Estimate, ...]
    """None when `ess` is below `LEAST_ESS`."""

    @property
    def refused(self) -> bool:
        return self.ess < LEAST_ESS

    def of(self, name: str) -> Estimate:
        return next(one for one in self.estimates if one.name == name)


def read(slots: Slots, clip: float = 50.0) -> Reading:
    """All estimators on one log; none of them told where too little is known."""
    weight = slots.weights(clip)
    total, square = float(weight.sum()), float((weight**2).sum())
    ess = total**2 / square if square > 0 else 0.0
    agreed = int(np.count_nonzero(weight))
    return Reading(
        slots=len(slots),
        pages=len(np.unique(slots.page)),
        agreed=agreed,
        ess=ess,
        support=total / max(1, int(slots.sells.sum())),
        clipped=float(np.count_nonzero(weight >= clip)) / max(1, agreed),
        estimates=tuple(_estimates(slots, weight)) if ess >= LEAST_ESS else (),
    )


def difference(slots: Slots, other: Slots, clip: float = 50.0) -> Estimate:
    """By DR what the policy of `slots` earns more per slot than that of `other`, on the same pages.

    Far surer than both values: where the two agree, nothing is left to chance.
    """
    one, two = (
        _doubly_robust(slots, slots.weights(clip)),
        _doubly_robust(other, other.weights(clip)),
    )
    predicted = np.where(slots.matched, slots.predicted, other.predicted)
    click = np.where(slots.matched, slots.click, other.click)
    shares = _Shares(one.sure - two.sure, one.by_click - two.by_click, predicted, click)
    return shares.mean("difference", slots.page)


@dataclass(frozen=True, slots=True)
class _Shares:
    """[N] what each slot adds to a sum: `sure`, and `by_click` if what is shown is clicked."""

    sure: Floats
    by_click: Floats
    predicted: Floats
    """Click rate of what is shown, by the model; it matters where `by_click` is not 0."""
    click: Floats

    def mean(self, name: str, page: NDArray[np.int64]) -> Estimate:
        """The mean over slots, whose number per page is as random as what comes of them."""
        count = max(1, len(page))
        mean = float((self.sure + self.by_click * self.click).sum()) / count
        around = _Shares(
            (self.sure - mean) / count, self.by_click / count, self.predicted, self.click
        )
        return Estimate(name, mean, around.deviation(page))

    def deviation(self, page: NDArray[np.int64]) -> float:
        """Standard deviation of the sum, whose mean is 0.

        By what was clicked, or by what the model expects to be, whichever is more: clicks on what
        is seldom shown are so rare that a log without any looks surer than it is.
        """
        seen = np.bincount(page, self.sure + self.by_click * self.click)
        expected = np.bincount(page, self.sure + self.by_click * self.predicted)
        chance = self.by_click**2 * self.predicted * (1 - self.predicted)
        square = max(float((seen**2).sum()), float((expected**2).sum() + chance.sum()))
        pages = int(np.count_nonzero(np.bincount(page)))
        return float(np.sqrt(square * pages / max(1, pages - 1)))


def _estimates(slots: Slots, weight: Floats) -> Iterator[Estimate]:
    yield _weighted(slots, weight).mean("IPS", slots.page)
    yield _self_normalised(slots, weight)
    yield _doubly_robust(slots, weight).mean("DR", slots.page)


def _weighted(slots: Slots, weight: Floats) -> _Shares:
    return _Shares(weight * slots.per_view, weight * slots.per_click, slots.predicted, slots.click)


def _doubly_robust(slots: Slots, weight: Floats) -> _Shares:
    by_click = weight * slots.per_click
    return _Shares(
        slots.expected - by_click * slots.predicted, by_click, slots.predicted, slots.click
    )


def _self_normalised(slots: Slots, weight: Floats) -> Estimate:
    """Its deviation is that of the two ratios' first-order expansion."""
    sells, earned = slots.sells.astype(np.float64), _weighted(slots, weight)
    total, share = float(weight.sum()), float(sells.mean())
    ratio = float((earned.sure + earned.by_click * slots.click).sum()) / total
    around = _Shares(
        share * (earned.sure - ratio * weight) / total + ratio * (sells - share) / len(slots),
        share * earned.by_click / total,
        slots.predicted,
        slots.click,
    )
    return Estimate("SNIPS", share * ratio, around.deviation(slots.page))
