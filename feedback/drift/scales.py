"""Hours judged by themselves, and whole days: large shifts are told soon, small ones later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from feedback.drift.hours import Hours
from feedback.drift.judge import Verdict, judge
from feedback.drift.reference import Reference
from feedback.drift.settings import DriftSettings

DAY = 24


@dataclass(frozen=True, slots=True)
class Scales:
    """The same hours twice."""

    windows: Verdict
    days: Verdict
    """Of whole days, UTC, each of which is an alarm by itself. Their sums of calibration are told
    sooner where an hour has few clicks."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Top features whose alarm stands now, by either."""
        return tuple(dict.fromkeys([*self.windows.drifted, *self.days.drifted]))

    @property
    def alarms(self) -> tuple[str, ...]:
        """Features whose alarm stands now by either, `calibration` and `vectors`."""
        found = [*_standing(self.windows), *_standing(self.days)]
        if any(one.miscalibrated[-1:].any() for one in (self.windows, self.days)):
            found.append("calibration")
        return tuple(dict.fromkeys(found))


def of_days(settings: DriftSettings) -> DriftSettings:
    """By which whole days are judged."""
    return replace(settings, window_hours=DAY, lasting=1)


def judge_scales(
    reference: Reference, observed: Hours, settings: DriftSettings, rng: np.random.Generator
) -> Scales:
    """Of closed hours, as `judge`; a day counts when its last hour is closed."""
    windows = judge(reference, observed, settings, rng)
    ends = (int(observed.hour[-1]) + 1) // DAY * DAY if len(observed) else 0
    whole = observed.where(observed.hour < ends)
    return Scales(windows, judge(reference, whole, of_days(settings), rng))


def _standing(found: Verdict) -> Iterator[str]:
    if len(found.hour):
        yield from found.name[found.alarm[-1]].tolist()
        if found.displaced[-1]:
            yield "vectors"
