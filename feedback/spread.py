"""How evenly exposure is spread over advertisers: measures of one vector of counts.

Pure functions of exposures [advertisers]; an advertiser that was never shown is a zero, and who
counts as one is the caller's choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spread:
    """All 0 when nothing was shown."""

    advertisers: int
    exposures: int
    hhi: float
    """Herfindahl-Hirschman: sum of squared shares, 1/n (all alike) to 1 (one has all)."""
    gini: float
    """0 (all alike) to 1 - 1/n (one has all)."""
    jain: float
    """(Σx)² / (n Σx²): the fraction of advertisers that would be alike; 1/n to 1."""
    top_share: float


def spread(exposure: NDArray[np.int64]) -> Spread:
    total, advertisers = int(exposure.sum()), len(exposure)
    if total == 0:
        return Spread(advertisers, 0, 0.0, 0.0, 0.0, 0.0)
    share = np.sort(exposure) / total
    hhi = float(share @ share)
    rank = np.arange(1, advertisers + 1)
    return Spread(
        advertisers=advertisers,
        exposures=total,
        hhi=hhi,
        gini=float(2 * (rank @ share) / advertisers - (advertisers + 1) / advertisers),
        jain=1 / (advertisers * hhi),
        top_share=float(share[-1]),
    )


def lorenz(exposure: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of advertisers, least shown first, and the share of exposure that they have; from
    (0, 0) to (1, 1)."""
    held = np.concatenate(([0], np.cumsum(np.sort(exposure)))).astype(np.float64)
    return np.linspace(0, 1, len(held)), held / max(1.0, held[-1])


def greatest_share(sales: NDArray[np.int32], window: int) -> float:
    """Of any advertiser in any `window` sales in a row; 0 when there are not so many."""
    if window < 1 or len(sales) < window:
        return 0.0
    most = 0
    for advertiser in np.unique(sales):
        total = np.concatenate(([0], np.cumsum(sales == advertiser)))
        most = max(most, int((total[window:] - total[:-window]).max()))
    return most / window


@dataclass(frozen=True, slots=True)
class Merit:
    """Exposure held against what each advertiser deserved."""

    exposure_share: NDArray[np.float64]
    merit_share: NDArray[np.float64]
    """Of what all would have paid in the auctions in which they could have bought."""
    distance: float
    """Σ |exposure share - merit share| / 2: the part of exposure that went to somebody else than
    merit says; 0 to 1 (amortised over the whole span: Biega, Gummadi, Weikum, SIGIR 2018)."""

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Exposure per merit (Singh, Joachims, KDD 2018): 1 is proportional, 0 without merit."""
        none = self.merit_share == 0
        return np.where(none, 0.0, self.exposure_share / np.where(none, 1.0, self.merit_share))


def merit(exposure: NDArray[np.int64], worth: NDArray[np.int64]) -> Merit:
    """Of the same advertisers: how often each was shown, and the sum of what it offered."""
    shown = exposure / max(1, int(exposure.sum()))
    total = float(worth.sum())
    deserved = worth / total if total else np.zeros(len(worth))
    return Merit(shown, deserved, float(np.abs(shown - deserved).sum() / 2))
