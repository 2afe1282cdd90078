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
