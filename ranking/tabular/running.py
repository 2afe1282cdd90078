"""Running counts of a log's values: how each did before the row at hand, and never after.

Click rates are drawn towards the rate of all rows so far, (clicks + α p) / (shown + α) with α = 20
(He et al. 2014), beside the logarithm of the counts that they rest on; both once over all that was
before and once fading by 1/e a day; and how long ago the value was last shown. Rows of one moment
do not see each other. Counting goes on through validation and test, as it does where a model
serves, each row knowing what came before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ranking.tabular.kernels import U64, hash_words, running
from ranking.tabular.rows import Rows

STRENGTH, PRIOR = 20.0, 0.01
DAY_S = 86_400.0
FADING_ROWS = 20
"""A log without times fades by 1/e over this share of it, 1/20."""
FEWEST_MOMENTS = 100
"""A log with fewer different times is taken to tell time by its order."""
MOST_PAIRED = 6
"""Fields of a log of which pairs are counted too."""
KINDS = ("rate", "shown", "rate lately", "shown lately", "since")
FEWER = KINDS[:3]
"""Of a log of many fields, whose numbers would otherwise take more memory than all the rest."""
Floats = NDArray[np.float64]


def told_by_time(rows: Rows) -> bool:
    """Whether the log's times, and not its order alone, tell what was before what."""
    time_s = rows.time_s
    return time_s is not None and 1 + int((np.diff(time_s) > 0).sum()) >= FEWEST_MOMENTS


def moments(rows: Rows) -> Floats:
    """[R] when each row was, in units of the fading."""
    if rows.time_s is not None and told_by_time(rows):
        return np.asarray((rows.time_s - rows.time_s[0]) / DAY_S)
    return np.arange(len(rows), dtype=np.float64) * (FADING_ROWS / len(rows))


def priors(click: NDArray[np.uint8], moment: Floats) -> Floats:
    """[R] click rate of all rows before each one's moment, drawn towards PRIOR."""
    first = np.searchsorted(moment, moment)
    clicks = np.concatenate(([0], np.cumsum(click)))[first]
    return np.asarray((clicks + STRENGTH * PRIOR) / (first + STRENGTH), np.float64)


def counted(rows: Rows) -> list[str]:
    """Names of the numbers that `count` makes."""
    return [f"{' × '.join(key)}: {kind}" for key in _keys(rows) for kind in kinds(rows)]


def kinds(rows: Rows) -> tuple[str, ...]:
    """Of KINDS, what is known of each value."""
    return KINDS if paired(rows) else FEWER


def count(rows: Rows, out: NDArray[np.float32]) -> None:
    """Into out [R, kinds · fields counted] the running counts of each field, or pair of fields."""
    moment = moments(rows)
    prior = priors(rows.click, moment)
    each, made = len(kinds(rows)), np.empty((len(rows), len(KINDS)), np.float32)
    unit = DAY_S if told_by_time(rows) else len(rows) / FADING_ROWS
    for number, key in enumerate(_keys(rows)):
        cells, code = np.unique(_hashed(rows, key), return_inverse=True)
        known = (code.astype(np.int32), rows.click, moment, prior)
        running(*known, STRENGTH, unit, len(cells), made)
        out[:, each * number : each * (number + 1)] = made[:, :each]


def paired(rows: Rows) -> bool:
    """Whether fields are few enough to count pairs of them too."""
    return len(rows.category) <= MOST_PAIRED


def _keys(rows: Rows) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in rows.category)
    if paired(rows):
        yield from combinations(rows.category, 2)


def _hashed(rows: Rows, key: tuple[str, ...]) -> U64:
    word = rows.category[key[0]]
    for name in key[1:]:
        out = np.empty_like(word)
        hash_words(word, out)
        word = out ^ rows.category[name]
    return word
