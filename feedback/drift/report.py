"""A verdict's newest window as figures: each feature with its critical values, and what stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.drift.columns import Role
from feedback.drift.hours import Hours
from feedback.drift.judge import Verdict, normal_gap
from feedback.drift.measures import critical_values
from feedback.drift.reference import Reference
from feedback.drift.settings import HOUR_MS, DriftSettings


@dataclass(frozen=True, slots=True)
class FeatureFigures:
    """Of one feature in the newest window; None where there is nothing to compare with."""

    name: str
    role: str
    """input: what comes to the server; outcome: what the model made of it; shown: the ads."""
    top: bool
    """One of those that may ask for another model."""
    psi: float | None
    psi_critical: float | None
    """The larger of the least PSI that matters and what chance gives, by the first of Holm's
    steps: a feature may differ below it beside others that do."""
    ks: float | None
    """None of names, too."""
    ks_critical: float | None
    differs: bool
    in_a_row: int
    """Windows up to this one that differed."""
    alarm: bool


@dataclass(frozen=True, slots=True)
class CalibrationFigures:
    clicks: float
    expected: float
    """Of the newest window, as the next one."""
    copc: float | None
    above: float
    below: float
    """The sums after it."""
    threshold: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class VectorFigures:
    distance: float | None
    critical: float | None
    alarm: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known after the newest of W windows."""

    windows: int
    since_ms: int
    """Of the newest window."""
    until_ms: int
    requests: int
    features: tuple[FeatureFigures, ...]
    calibration: CalibrationFigures
    vectors: VectorFigures


def figures(
    verdict: Verdict, reference: Reference, observed: Hours, settings: DriftSettings
) -> Figures | None:
    """Of `judge(reference, observed, settings, …)`; None where no window was large enough."""
    if not len(verdict.hour):
        return None
    last = len(verdict.hour) - 1
    sums, calibration = verdict.sums, verdict.calibration
    expected = float(calibration.expected[last])
    clicks = float(calibration.click[last])
    size_ms = settings.window_hours * HOUR_MS
    begin_ms = int(verdict.hour[last]) * HOUR_MS // size_ms * size_ms
    inside = observed.hour // settings.window_hours == begin_ms // size_ms
    return Figures(
        windows=last + 1,
        since_ms=begin_ms,
        until_ms=begin_ms + size_ms,
        requests=int(observed.request[inside].sum()),
        features=tuple(_features(verdict, reference, settings)),
        calibration=CalibrationFigures(
            clicks=clicks,
            expected=expected,
            copc=clicks / expected if expected else None,
            above=float(sums.above[last]),
            below=float(sums.below[last]),
            threshold=settings.threshold,
            alarm=bool(verdict.miscalibrated[last]),
        ),
        vectors=VectorFigures(
            distance=_known(verdict.distance[last]),
            critical=_known(verdict.critical[last]),
            alarm=bool(verdict.displaced[last]),
        ),
    )


def _features(
    verdict: Verdict, reference: Reference, settings: DriftSettings
) -> Iterator[FeatureFigures]:
    psi, gap, noise = verdict.psi[-1], verdict.gap[-1], verdict.noise[-1]
    bins = np.diff(reference.bins.start)
    floors = settings.least_psi, normal_gap(settings.least_psi)
    critical = [
        np.maximum(values, floor)
        for values, floor in zip(_critical(bins, (psi, gap), noise, settings), floors, strict=True)
    ]
    alarm = verdict.alarm[-1]
    for at, name in enumerate(verdict.name.tolist()):
        numeric = bool(reference.bins.numeric[at])
        yield FeatureFigures(
            name=name,
            role=Role(int(reference.bins.role[at])).name.lower(),
            top=bool(verdict.top[at]),
            psi=_known(psi[at]),
            psi_critical=_known(critical[0][at]),
            ks=_known(gap[at]) if numeric else None,
            ks_critical=_known(critical[1][at]) if numeric else None,
            differs=bool(verdict.differs[-1, at]),
            in_a_row=_in_a_row(verdict.differs[:, at]),
            alarm=bool(alarm[at]),
        )


def _critical(
    bins: NDArray[np.int64],
    found: tuple[NDArray[np.float64], NDArray[np.float64]],
    noise: NDArray[np.float64],
    settings: DriftSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """PSI's and the gap's, each among as many features as it is known of."""
    chance = [settings.significance / max(1, int(np.isfinite(one).sum())) for one in found]
    return (
        critical_values(bins, noise, chance[0])[0],
        critical_values(bins, noise, chance[1])[1],
    )


def _in_a_row(differs: NDArray[np.bool_]) -> int:
    equal = np.flatnonzero(~differs)
    return len(differs) - 1 - int(equal[-1]) if len(equal) else len(differs)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
