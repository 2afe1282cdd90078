"""Labels of a window: the feature log joined with what the pages reported, a day at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.features.log import read
from adserver.records import DAY_MS
from feedback.happened import Asked
from feedback.labels.assembly import Labels, Logged, Rows, labels_of, logged, rows_of
from feedback.labels.outcomes import NEVER, Excluded, Outcomes, events_seen, outcomes
from feedback.labels.settings import Form, LabelSettings, Window
from feedback.labels.statistics import Statistics
from feedback.warehouse import connect
from ranking.dataset import Impressions

IMPRESSION_AGE_MS = 600_000
"""An impression comes this long after its decision, at most, or is not counted."""
Mask = NDArray[np.bool_]


def labelled(
    warehouse: Path, features: Path, window: Window, settings: LabelSettings
) -> Impressions:
    """Impressions really rendered, each with its one label, oldest first."""
    return labels(warehouse, features, window, settings)[0].impressions


def labels(
    warehouse: Path, features: Path, window: Window, settings: LabelSettings
) -> tuple[Labels, Statistics]:
    """The labels and what they were made of.

    A stream (Form.STREAM) reads back as far as a click may come late, so that a window holds the
    clicks that came in it, whenever their ads were shown: windows end to end hold each click once.
    """
    statistics, parts = Statistics(), []
    with connect(warehouse) as connection:
        for asked in _days(window, settings):
            log = logged(read(features, asked.since_ms, asked.until_ms))
            found = outcomes(connection, log.keys, asked, settings)
            clicked, converted = _in_time(found, settings)
            if settings.form is Form.STREAM:
                parts += _streamed(log, found, clicked, converted, window)
            else:
                parts.append(rows_of(log, found.excluded == 0, log.t, clicked, converted))
            if asked.since_ms >= window.since_ms:
                statistics.add(found, clicked, int(converted.sum()))
                statistics.events.update(events_seen(connection, asked))
    return labels_of(parts), statistics


def recent(warehouse: Path, features: Path, window: Window, settings: LabelSettings) -> Labels:
    """Settled labels of a day at most, whose robots are told by all that they did in the day up to
    its end: what `labels` gives of whole days, of hours as they pass."""
    asked = Asked(max(0, window.until_ms - DAY_MS), window.until_ms, window.now_ms)
    log = logged(read(features, asked.since_ms, asked.until_ms))
    with connect(warehouse) as connection:
        found = outcomes(connection, log.keys, asked, settings)
    clicked, converted = _in_time(found, settings)
    wanted = (found.excluded == Excluded.NOT) & (log.t >= window.since_ms)
    return labels_of([rows_of(log, wanted, log.t, clicked, converted)])


def _days(window: Window, settings: LabelSettings) -> Iterator[Asked]:
    """The window cut at midnights, UTC, once at least; before it, what a stream looks back on."""
    late_ms = 1000 * settings.click_window_s + IMPRESSION_AGE_MS
    looked_back = late_ms if settings.form is Form.STREAM else 0
    since = max(0, window.since_ms - looked_back)
    while True:
        ends = [window.until_ms, (since // DAY_MS + 1) * DAY_MS]
        end = min(ends + [window.since_ms] * (since < window.since_ms))
        yield Asked(since, end, window.now_ms)
        since = end
        if since >= window.until_ms:
            return


def _in_time(found: Outcomes, settings: LabelSettings) -> tuple[Mask, Mask]:
    """[R] kept rows that were clicked, and converted, inside the windows."""
    kept = found.excluded == Excluded.NOT
    click_ms, conversion_ms = settings.click_window_s * 1000, settings.conversion_window_s * 1000
    clicked = kept & (found.clicked < NEVER) & (found.clicked - found.shown <= click_ms)
    soon = (found.converted < NEVER) & (found.converted - found.clicked <= conversion_ms)
    return clicked, clicked & soon


def _streamed(
    log: Logged, found: Outcomes, clicked: Mask, converted: Mask, window: Window
) -> list[Rows]:
    """Unclicked rows at the moment of the decision, and clicked ones again at that of the click."""
    none = np.zeros(len(log), np.bool_)
    decided = (found.excluded == Excluded.NOT) & (log.t >= window.since_ms)
    came = clicked & (found.clicked >= window.since_ms) & (found.clicked < window.until_ms)
    return [
        rows_of(log, decided, log.t, none, none),
        rows_of(log, came, found.clicked, came, converted),
    ]
