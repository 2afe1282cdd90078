"""When a difference is a drift, and when a drift asks for another model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class DriftSettings:
    window_hours: int = 1
    """Hours that are judged together. More sees smaller shifts, later; windows do not overlap."""
    lasting: int = 3
    """Windows in a row that must differ: a shift is reported after as many."""
    fewest: int = 200
    """Requests below which a window is not judged."""
    significance: float = 0.001
    """Chance that any feature of a window without drift exceeds its critical value (Holm)."""
    least_psi: float = 0.02
    """Smaller shifts are let be, however certain: 0.14 standard deviations of a normal feature."""
    tolerance: float = 0.03
    """Clicks per predicted click may be this far from 1: the release gate lets as much pass."""
    slack: float = 0.5
    """What the sums of calibration forgive each window, in standard deviations: half the shift that
    is to be found soonest (Page 1954)."""
    threshold: float = 8.0
    """Sum of standardised deviations that is an alarm: one false alarm in 9 500 windows."""
    top: int = 10
    """Features that tell most of clicks; only they ask for another model."""
    most_wandering: float = 20.0
    """A reference whose own days differ more than this times chance, for each day between them, is
    believed no further."""
    most_dispersion: float = 10.0
    """The same of its clicks around the predicted ones."""

    def problems(self) -> Iterator[str]:
        for name in ("window_hours", "lasting", "fewest", "top"):
            if getattr(self, name) < 1:
                yield f"drift.{name} ({getattr(self, name)}) must be at least 1"
        if not 0 < self.significance < 1:
            yield f"drift.significance ({self.significance}) must lie between 0 and 1"
        if 24 % self.window_hours and self.window_hours % 24:
            yield f"drift.window_hours ({self.window_hours}) must divide a day, or be whole days"


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    max_age_s: float = 24 * 3600.0
    """Freshness: a model whose newest training data is older is replaced, drift or not."""
    min_interval_s: float = 4 * 3600.0
    """Stability: no training sooner than this after the last, whatever the evidence."""
    min_refit_s: float = 900.0
    """No new calibration sooner than this after the last."""
    refit_holds_s: float = 24 * 3600.0
    """A calibration that drifts again sooner was not the cause: train instead."""
    features: int = 2
    """Of the top features, as many must have drifted to ask for a training."""

    def problems(self) -> Iterator[str]:
        if not 0 < self.min_interval_s <= self.max_age_s:
            yield (
                f"retrain.min_interval_s ({self.min_interval_s:.0f}) must be above 0 and at most "
                f"retrain.max_age_s ({self.max_age_s:.0f})"
            )
        if self.min_refit_s < 0 or self.features < 1:
            yield "retrain.min_refit_s must not be negative, and retrain.features at least 1"
