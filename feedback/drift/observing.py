"""Hours of a server's own log, summed up for drift: what was shown, predicted and clicked.

Knows the feature log and the warehouse; not which models there are, nor what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.records import DAY_MS
from feedback.drift.hours import Hours, merged
from feedback.drift.reference import Reference, reference_of
from feedback.drift.settings import HOUR_MS
from feedback.labels.build import IMPRESSION_AGE_MS, labels, recent
from feedback.labels.settings import LabelSettings, Window
from ranking.dataset import Impressions

Vectors = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""Request vectors f32[Q, V] of encoded requests i32[Q, W], by the model that is watched."""
USUAL = LabelSettings()


@dataclass(frozen=True, slots=True)
class Log:
    """Where a server writes, and how its model sees requests."""

    warehouse: Path
    features: Path
    vectors: Vectors


def settling_ms(settings: LabelSettings = USUAL) -> int:
    """How long after an hour its impressions may still be shown and clicked."""
    return IMPRESSION_AGE_MS + 1000 * settings.click_window_s


def closed_ms(now_ms: int, settings: LabelSettings = USUAL) -> int:
    """End of the last hour whose impressions had time to be clicked."""
    return max(0, (now_ms - settling_ms(settings)) // HOUR_MS * HOUR_MS)


def learn(log: Log, since_ms: int, until_ms: int) -> Reference | None:
    """The reference of a window, by whoever decided then; None where it has no labels.

    The rates are those that were served. Whole days, as `reference_of` wants them.
    """
    found, _ = labels(log.warehouse, log.features, Window(since_ms, until_ms), USUAL)
    table = found.impressions
    if not len(table):
        return None
    return reference_of(table, found.pctr, log.vectors(table.request))


def observe(
    log: Log, reference: Reference, version: int, since_ms: int, until_ms: int
) -> Hours | None:
    """The hours of a closed span in which `version` decided; None where it decided nothing."""
    parts = [
        reference.observe(table, pctr, log.vectors(table.request))
        for table, pctr in _shown(log, version, since_ms, until_ms)
        if len(table)
    ]
    return merged(parts) if parts else None


def _shown(
    log: Log, version: int, since_ms: int, until_ms: int
) -> Iterator[tuple[Impressions, NDArray[np.float32]]]:
    """Impressions with their served rates, a day at most at a time."""
    while since_ms < until_ms:
        end = min(until_ms, (since_ms // DAY_MS + 1) * DAY_MS)
        found = recent(log.warehouse, log.features, Window(since_ms, end), USUAL)
        mine = found.model == version
        yield found.impressions.where(mine), found.pctr[mine]
        since_ms = end
