"""How much of what was counted of ids is believed."""

from __future__ import annotations

import numpy as np
import pytest

from ranking.dataset import Impressions
from ranking.training.counted import ENOUGH, kept

ROWS = 40_000


def clicked(odds: np.ndarray, rng: np.random.Generator) -> Impressions:
    click = (rng.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    of = np.arange(len(odds), dtype=np.int32)
    nothing = np.zeros((len(odds), 1), np.int32)
    return Impressions.uncounted(nothing, nothing, of, of, nothing, click, np.zeros(0, np.float32))


@pytest.mark.parametrize(("true", "believed"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_factors_are_kept_as_far_as_newer_impressions_bear_them_out(true, believed, rng):
    """Whatever the level, which is none of their business."""
    logit, added = np.full(ROWS, -2.0), rng.normal(0, 0.8, ROWS).astype(np.float32)

    share = kept(logit + 1.5, added, clicked(logit + true * added, rng))

    assert share == believed


def test_too_few_clicks_leave_factors_as_they_were_counted(rng):
    logit, added = np.full(ROWS, -6.0), rng.normal(0, 0.8, ROWS).astype(np.float32)
    newer = clicked(logit, rng)

    assert 0 < newer.click.sum() < ENOUGH
    assert kept(logit, added, newer) == 1.0
