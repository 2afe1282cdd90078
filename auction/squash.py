"""How far click rates count in the ranking: squashing (Lahaie and Pennock 2007) and quality.

A bid per click ranks at `bid · weight` with

    weight = q · (q0 / q)^(1 − γ) · quality = q^γ · q0^(1 − γ) · quality

where q is its click rate and q0 a typical one. At γ = 1 the weight is q and the sale goes to the
greatest expected value; lower γ narrows the gaps between click rates, so that a high bid counts for
more, and ads at q0 rank as before. Neither end is best for revenue in general: choose γ by replay
(`adserver simulate market --gamma`). A bid per thousand impressions has no click rate to squash:
its weight is its quality. The price is the least bid that would still have won, so that a weight
moves who wins, never above what is bid.

Weights are whole millionths, the same on every machine: powers come from a table of whole
millionths, and a test shows that no entry lies so close to a rounding boundary that the last digits
of a `pow` could decide it. Everything after the table is integers; at γ = 1 there is no table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from auction.columns import PPM

STEPS = 20
"""γ is a multiple of 1/20."""


@dataclass(frozen=True, slots=True)
class Squash:
    gamma: float = 1.0
    """0.5 to 1 in steps of 0.05."""

    reference_ppm: int = 2_000
    """Click rate at which bids per click rank as without squashing: the average of the site."""

    def problems(self) -> Iterator[str]:
        steps = self.gamma * STEPS
        if not 0.5 <= self.gamma <= 1 or abs(steps - round(steps)) > 1e-9:
            yield f"squash.gamma ({self.gamma}) must be 0.5 to 1 in steps of 0.05"
        if not 1 <= self.reference_ppm <= PPM:
            yield f"squash.reference_ppm ({self.reference_ppm}) must be 1 to {PPM}"

    @property
    def off(self) -> bool:
        return round(self.gamma * STEPS) == STEPS


def weights(
    pctr_ppm: NDArray[np.int64],
    per_click: NDArray[np.bool_],
    quality_ppm: NDArray[np.int64] | None,
    squash: Squash,
) -> NDArray[np.int64]:
    """[R, S] rank per micro of bid, in whole millionths, at least 1.

    `pctr_ppm` [R, S] is 1 to 1 000 000; `quality_ppm` [R] is a million for an ad of usual quality,
    and None for all of that. Rounds half up, once after squashing and once after quality.
    """
    squashed = pctr_ppm if squash.off else _squashed(pctr_ppm, squash)
    weight = np.where(per_click[:, None], squashed, PPM)
    if quality_ppm is not None:
        weight = _scaled(weight, quality_ppm[:, None])
    return np.maximum(weight, 1)


def _squashed(pctr_ppm: NDArray[np.int64], squash: Squash) -> NDArray[np.int64]:
    steps = round(squash.gamma * STEPS)
    constant = powers(STEPS - steps)[squash.reference_ppm]
    return _scaled(powers(steps)[pctr_ppm], constant)


def _scaled(ppm: NDArray[np.int64], by_ppm: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    return (ppm * by_ppm + PPM // 2) // PPM


@lru_cache(maxsize=2 * STEPS)
def powers(steps: int) -> NDArray[np.int64]:
    """[PPM + 1] every rate in whole millionths to the power steps/20; 8 MB, made at first use."""
    table = np.rint(exact_powers(steps)).astype(np.int64)
    table.setflags(write=False)
    return table


def exact_powers(steps: int) -> NDArray[np.float64]:
    """`powers` before rounding."""
    return PPM * (np.arange(PPM + 1) / PPM) ** (steps / STEPS)
