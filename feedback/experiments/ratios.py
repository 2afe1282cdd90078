"""Click rates and revenue per thousand of arms, compared over users.

Users are independent of each other, impressions of one user are not. The variance of a ratio of
sums is therefore taken over users by the delta method (Deng, Knoblich, Lu, KDD 2018), and what
users did before the experiment is taken out of it (CUPED: Deng, Xu, Kohavi, Walker, WSDM 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from feedback.chance import NORMAL_95, chi2_above, normal_beyond

Floats = NDArray[np.float64]
MISMATCH = 0.001
"""A sample ratio less likely than this is a broken experiment, not chance: nothing is read off."""


@dataclass(frozen=True, slots=True)
class Measured:
    """[U] users and one ratio metric: the sum of `above` over the sum of `below`."""

    arm: NDArray[np.int8]
    above: Floats
    below: Floats
    above_before: Floats
    """The same before the experiment; zeros for users who were not there."""
    below_before: Floats


@dataclass(frozen=True, slots=True)
class Effect:
    """One arm against the control, per unit of the metric."""

    control: float
    treated: float
    difference: float
    error: float
    """Standard error of the difference."""
    left: float
    """Share of the variance that is left after what was known before: 1 - ρ²."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the difference."""
        return self.difference - NORMAL_95 * self.error, self.difference + NORMAL_95 * self.error

    @property
    def chance(self) -> float:
        """Of a difference at least this large where there is none."""
        return normal_beyond(self.difference / self.error) if self.error else 1.0


def effect(users: Measured, control: int, treated: int, cuped: bool = True) -> Effect:
    """The treated arm's ratio less the control's; zeros where an arm has nothing to divide by."""
    pair = [users.arm == control, users.arm == treated]
    if min(users.below[one].sum() for one in pair) <= 0:
        return Effect(0.0, 0.0, 0.0, 0.0, 1.0)
    either = pair[0] | pair[1]
    known = _linear(users.above_before, users.below_before, either)
    per = [_linear(users.above, users.below, one) for one in pair]
    theta = _slope(per, [known[one] for one in pair], pair) if cuped else 0.0
    means, variances, raw = [], [], []
    for one, linear in zip(pair, per, strict=True):
        rest = linear[one] - theta * (known[one] - known[either].mean())
        ratio = users.above[one].sum() / users.below[one].sum()
        means.append(ratio + rest.mean())
        variances.append(rest.var(ddof=1) / one.sum())
        raw.append(linear[one].var(ddof=1) / one.sum())
    left = sum(variances) / sum(raw) if sum(raw) else 1.0
    return Effect(means[0], means[1], means[1] - means[0], sqrt(sum(variances)), left)


def _linear(above: Floats, below: Floats, of: NDArray[np.bool_]) -> Floats:
    """[U] what each user adds to the ratio of the users `of`, to first order: (a - R b) / mean b;
    its mean over them is 0. Zeros where there is nothing to divide by."""
    total = below[of].sum()
    if total <= 0:
        return np.zeros(len(above))
    ratio = above[of].sum() / total
    return np.asarray((above - ratio * below) / (total / of.sum()), np.float64)


def _slope(per: list[Floats], known: list[Floats], pair: list[NDArray[np.bool_]]) -> float:
    """θ = cov(Y, X) / var(X), over the users of both arms, each about its own mean."""
    centred = [(y[one], x - x.mean()) for y, x, one in zip(per, known, pair, strict=True)]
    variance = sum(float(x @ x) for _, x in centred)
    return sum(float(y @ x) for y, x in centred) / variance if variance > 0 else 0.0


def mismatch(users: NDArray[np.int64], share: Floats) -> float:
    """Chance of these numbers of users [A] in the arms if each is drawn with `share` [A]."""
    if users[share <= 0].any():
        return 0.0
    users, share = users[share > 0], share[share > 0]
    if not users.sum():
        return 1.0
    expected = share / share.sum() * users.sum()
    return chi2_above(float(((users - expected) ** 2 / expected).sum()), len(users) - 1)


def users_needed(variance: float, difference: float) -> int:
    """Per arm, to find this difference with 80 % power at 5 %: 16 σ² / δ² (van Belle's rule)."""
    return int(np.ceil(16 * variance / difference**2))
