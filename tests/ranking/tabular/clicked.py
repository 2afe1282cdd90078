"""Logs made up for tests: columns whose clicks follow from a rule."""

from __future__ import annotations

import numpy as np

from ranking.tabular.rows import Rows


def crossed(rows: int, seed: int) -> Rows:
    """Clicks that follow from two fields together and from neither alone, and from a number."""
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 12, (2, rows))
    number = rng.exponential(10.0, rows)
    odds = -2.0 + 2.5 * ((one + two) % 2) + 0.5 * np.log1p(number)
    click = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    word = {"one": one + 1, "two": two + 1, "rare": rng.integers(1, rows, rows)}
    return Rows(
        click,
        np.sort(rng.uniform(0, 10 * 86_400, rows)),
        {name: value.astype(np.uint64) for name, value in word.items()},
        {"number": number.astype(np.float32)},
        {},
    )
