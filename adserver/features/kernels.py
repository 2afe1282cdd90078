"""What people lately did, event by event: `adserver.features.profiles` over a whole log."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LOOK, SHOWN, CLICKED = 0, 1, 2
"""What happens at a step of the walk."""


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def walk(
    step: NDArray[np.int8],
    row: NDArray[np.int64],
    time_ms: NDArray[np.int64],
    person: NDArray[np.int64],
    topic: NDArray[np.int64],
    start: NDArray[np.int64],
    windows_ms: NDArray[np.float64],
    least: float,
    known_ms: NDArray[np.int64],
    counts: NDArray[np.float32],
    bags: NDArray[np.uint8],
    found_bags: NDArray[np.uint8],
    found: NDArray[np.float32],
) -> None:
    """Go through steps in the order of time, and say at each look what was known by then.

    Each step has its moment and its person. A look is of a visit, `row` of `found_bags`
    [B, 2, BAG], which is given the last topics; its impressions, rows start[row] …
    start[row + 1] - 1 of `found` [R, 2, WINDOWS], are given the person's counts in the `topic` of
    each. An event is of the topic at its `row`. The state of U people goes on: `known_ms` [U],
    `counts` [U, TOPICS, 2, WINDOWS], `bags` [U, 2, BAG]; shown stands before clicked.
    """
    windows = windows_ms.shape[0]
    left = np.empty(windows, np.float32)
    for k in range(step.shape[0]):
        at, who = row[k], person[k]
        age = max(time_ms[k] - known_ms[who], 0)
        for w in range(windows):
            left[w] = np.float32(np.exp(-age / windows_ms[w]))
        if step[k] == LOOK:
            for kind in range(2):  # numba takes seconds to compile rows that are assigned whole
                for b in range(bags.shape[2]):
                    found_bags[at, kind, b] = bags[who, kind, b]
            for r in range(start[at], start[at + 1]):
                for kind in range(2):
                    for w in range(windows):
                        found[r, kind, w] = counts[who, topic[r], kind, w] * left[w]
            continue
        if topic[at] == 0:
            continue
        kind = step[k] - SHOWN
        known_ms[who] = max(known_ms[who], time_ms[k])
        for b in range(bags.shape[2] - 1, 0, -1):
            bags[who, kind, b] = bags[who, kind, b - 1]
        bags[who, kind, 0] = topic[at]
        for t in range(counts.shape[1]):
            most = np.float32(0.0)
            for c in range(2):
                for w in range(windows):
                    counts[who, t, c, w] *= left[w]
                    if t == topic[at] and c == kind:
                        counts[who, t, c, w] += np.float32(1.0)
                    most = max(most, counts[who, t, c, w])
            if most < least:
                counts[who, t] = np.float32(0.0)
