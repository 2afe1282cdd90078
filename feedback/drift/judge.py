"""The verdict on the hours since a release: which features differ, and whether clicks come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from feedback.drift import vectors
from feedback.drift.columns import Role
from feedback.drift.cusum import Calibration, Sums, sums
from feedback.drift.expected import blocks, horizon, matched, wandering
from feedback.drift.hours import Hours
from feedback.drift.measures import (
    gap_chance,
    greatest_gap,
    holm,
    psi,
    psi_chance,
    shares,
)
from feedback.drift.reference import Reference
from feedback.drift.settings import DriftSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
DAY_HOURS = 24
ANCHOR_HOURS = DAY_HOURS
"""Outcomes are compared with the day before: another model has others, and the ads that are scored
change a little every day. In the first day after the release, with that day."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """W windows of F features, in order of time. Windows too small to judge are left out."""

    name: NDArray[np.str_]
    top: Bools
    """[F] inputs that tell most of clicks: only they ask for another model."""
    watched: Bools
    """[F] whose difference may be an alarm: all but what was shown."""
    hour: NDArray[np.int64]
    """First hour of each window."""
    psi: Floats
    """[W, F]; NaN where there is nothing to compare with."""
    gap: Floats
    """[W, F] Kolmogorov-Smirnov; NaN for names."""
    noise: Floats
    """[W, F] 1/N + 1/M of the comparison, times what the reference wanders; NaN likewise."""
    differs: Bools
    """[W, F]"""
    calibration: Calibration
    sums: Sums
    miscalibrated: Bools
    """[W] the alarm stands after this window."""
    distance: Floats
    """[W] of request vectors; NaN without."""
    critical: Floats
    lasting: int

    @property
    def alarm(self) -> Bools:
        """[W, F] the feature differs for the `lasting`th window in a row."""
        return lasting(self.differs, self.lasting) & self.watched

    @property
    def displaced(self) -> Bools:
        """[W] request vectors have lain elsewhere for as many windows."""
        return lasting((self.distance > self.critical)[:, None], self.lasting)[:, 0]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Top features whose alarm stands now."""
        if not len(self.hour):
            return ()
        return tuple(self.name[self.top & self.alarm[-1]].tolist())


def lasting(differs: Bools, count: int) -> Bools:
    """[W, F] true where this window and the `count` - 1 before it all differ."""
    total = np.concatenate([np.zeros((1, differs.shape[1]), np.int64), differs.cumsum(axis=0)])
    found = np.zeros_like(differs)
    found[count - 1 :] = total[count:] - total[: len(total) - count] == count
    return found


def judge(
    reference: Reference, observed: Hours, settings: DriftSettings, rng: np.random.Generator
) -> Verdict:
    """Every window of the hours [T] since the model, or its calibration, was released.

    Call it with closed hours only, whose click windows are over: an open one looks like a fall.
    """
    parts = [
        part
        for part in blocks(observed, settings.window_hours)
        if part.request.sum() >= settings.fewest
    ]
    compared = _compared(reference, observed, parts, settings)
    calibration = _calibration(reference, parts, settings)
    both = sums(calibration, settings.tolerance + _doubt(reference), settings.slack)
    apart = _apart(reference, parts, settings, rng)
    return Verdict(
        name=reference.bins.name,
        top=_top(reference, settings.top),
        watched=reference.bins.role != Role.SHOWN,
        hour=np.array([part.hour[0] for part in parts], np.int64),
        psi=compared.psi,
        gap=compared.gap,
        noise=compared.noise,
        differs=compared.differs,
        calibration=calibration,
        sums=both,
        miscalibrated=np.maximum(both.above, both.below) > settings.threshold,
        distance=apart[:, 0],
        critical=apart[:, 1],
        lasting=settings.lasting,
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """[W, F]"""

    psi: Floats
    gap: Floats
    noise: Floats
    differs: Bools


def _compared(
    reference: Reference, observed: Hours, parts: Sequence[Hours], settings: DriftSettings
) -> _Compared:
    """Inputs against the reference, outcomes against the day before."""
    start, outcome = reference.bins.start, reference.bins.role != Role.INPUT
    stray = _expected_noise(reference, settings)
    begin = observed.hour[:1].sum()
    first_day = observed.where(observed.hour < begin + ANCHOR_HOURS)
    found = np.full((2, len(parts), len(start) - 1), np.nan)
    chance = np.full((2, len(parts), len(start) - 1), np.nan)
    spread = np.full((len(parts), len(start) - 1), np.nan)
    for at, part in enumerate(parts):
        before = observed.hour - part.hour[0]
        yesterday = observed.where((before < 0) & (before >= -ANCHOR_HOURS))
        anchor = first_day if matched(part, yesterday) is None else yesterday
        for role, hours in ((~outcome, reference.hours), (outcome, anchor)):
            expected = matched(part, hours)
            if expected is None:
                continue
            own = shares(part.count.sum(axis=0).astype(np.float64), start)
            other = shares(expected.count, start)
            noise = stray(expected.noise, horizon(part, hours))
            both = np.stack([psi(own, other, start), greatest_gap(own, other, start)])
            chances = psi_chance(both[0], np.diff(start), noise), gap_chance(both[1], noise)
            spread[at, role] = noise[role]
            found[:, at, role], chance[:, at, role] = both[:, role], np.stack(chances)[:, role]
    found[1, :, ~reference.bins.numeric] = chance[1, :, ~reference.bins.numeric] = np.nan
    floor = np.array([settings.least_psi, normal_gap(settings.least_psi)])
    falls = [holm(one, settings.significance) for one in chance.reshape(-1, len(start) - 1)]
    differs = np.array(falls, np.bool_).reshape(found.shape) & (found > floor[:, None, None])
    return _Compared(found[0], found[1], spread, differs[0] | differs[1])


def _expected_noise(
    reference: Reference, settings: DriftSettings
) -> Callable[[float, float], Floats]:
    """From the chance of a comparison and its horizon in days to what it has of noise [F].

    Where single hours hide in their own chance how the people of a small site are carried away,
    whole days show it.
    """
    start, most = reference.bins.start, settings.most_wandering
    windows = wandering(reference.hours, start, settings.window_hours, most)
    days = wandering(reference.hours, start, DAY_HOURS, most)
    return lambda chance, ahead: np.maximum(
        chance * (1 + windows.share * ahead), chance + days.own * ahead
    )


def normal_gap(least_psi: float) -> float:
    """The Kolmogorov-Smirnov distance of two normal distributions that are this PSI apart: moved
    by d deviations they have a PSI of d², and a gap of 2 Φ(d / 2) - 1."""
    return erf(least_psi**0.5 / 2 / 2**0.5)


def _calibration(
    reference: Reference, parts: Sequence[Hours], settings: DriftSettings
) -> Calibration:
    """Clicks of each window against the predicted; the variance as the reference's own windows
    say, which are judged by the clicks that they have in all."""
    known = [_clicks(part) for part in blocks(reference.hours, settings.window_hours)]
    click, expected, variance = np.array(known).T
    rate = click.sum() / max(expected.sum(), 1e-12)
    squares = (click - rate * expected) ** 2 / np.maximum(variance, 1e-12)
    usual = float(np.clip(squares.mean(), 1.0, settings.most_dispersion))
    found = np.array([_clicks(part) for part in parts]).reshape(-1, 3).T
    return Calibration(found[0], found[1], usual * found[2])


def _doubt(reference: Reference) -> float:
    """Two deviations of the reference's clicks, as a share: no calibration is known better."""
    return 2 / sqrt(max(1.0, float(reference.hours.click.sum())))


def _clicks(part: Hours) -> tuple[float, float, float]:
    return float(part.click.sum()), float(part.expected.sum()), float(part.variance.sum())


def _apart(
    reference: Reference, parts: Sequence[Hours], settings: DriftSettings, rng: np.random.Generator
) -> Floats:
    """[W, 2] distance of the request vectors, and what it would not exceed without drift."""
    table = np.full((len(parts), 2), np.nan)
    usual = vectors.critical(reference.hours, settings.window_hours, settings.significance, rng)
    for at, part in enumerate(parts):
        difference, expected = vectors.moved(part, reference.hours), matched(part, reference.hours)
        if difference is not None and expected is not None:
            found = vectors.distance(difference)
            table[at] = found, max(settings.least_psi, usual * expected.noise)
    return table


def _top(reference: Reference, count: int) -> Bools:
    """[F] the inputs that tell most of clicks."""
    weight = np.where(reference.bins.role == Role.INPUT, reference.weight, -1.0)
    top = np.zeros(len(weight), np.bool_)
    top[np.argsort(-weight, kind="stable")[:count]] = True
    return top & (weight >= 0)
