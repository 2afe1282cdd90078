"""Evidence that may be looked at as often as one likes.

Looked at every second, a fixed threshold would in the end be crossed by chance. So each limit is
tested by a sequential likelihood ratio averaged over alternatives (Wald 1945, Robbins 1970): under
any rate within the limit it is a supermartingale, and by Ville's inequality it ever exceeds
1 / chance with no more than that chance, however often one looks.

It knows counts and rates, not what they are of.
"""

from __future__ import annotations

import math
from typing import Final

MORE: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0)
"""Alternatives to a rate at its limit: so many times as high, or as low. The largest are for what
should next to never happen: there two events in a while are much."""


def width(events: float, chance: float, tuned: float = 100.0) -> float:
    """Standard deviations of a bound that holds at all times at once: the normal mixture of
    Robbins 1970, tightest at about `tuned` events."""
    v = max(events, 1.0)
    return math.sqrt((1 + tuned / v) * math.log((v + tuned) / (tuned * chance**2)))


def above(count: float, expected: float) -> float:
    """Likelihood of more than `expected` over that of `expected`, averaged over `MORE`.

    Under any smaller rate its expectation never rises above 1, for counts of Poisson or of
    independent trials alike.
    """
    return _mean_ratio(count, expected, MORE)


def below(count: float, expected: float) -> float:
    """The same of less."""
    return _mean_ratio(count, expected, [1 / times for times in MORE])


def _mean_ratio(count: float, expected: float, times: list[float] | tuple[float, ...]) -> float:
    if expected <= 0:
        return 1.0
    powers = (count * math.log(one) - expected * (one - 1) for one in times)
    return sum(math.exp(min(power, 700.0)) for power in powers) / len(times)


def correlation_at_most(correlation: float, slots: int, chance: float) -> float:
    """By Fisher's transformation; candidates of one slot are no independent samples."""
    bounded = min(max(correlation, -0.999999), 0.999999)
    return math.tanh(math.atanh(bounded) + width(slots, chance) / math.sqrt(max(slots - 3, 1)))
