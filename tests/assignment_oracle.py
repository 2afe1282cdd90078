"""All assignments of a small page, tried one after the other: the oracle of the fast one."""

from __future__ import annotations

from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray

from auction.kernels.assignment import NOT_BIDDING


def best_total(score: NDArray[np.int64], group: NDArray[np.int32], banned: int = -1) -> int:
    """The greatest total score of an assignment without the group `banned`."""
    slots, n = score.shape
    best = 0
    for choice in product(range(-1, n), repeat=slots):
        pairs = [(s, row) for s, row in enumerate(choice) if row >= 0]
        groups = [int(group[row]) for _, row in pairs]
        scores = [int(score[pair]) for pair in pairs]
        if NOT_BIDDING not in scores and banned not in groups and len(set(groups)) == len(groups):
            best = max(best, sum(scores))
    return best


@njit(cache=True)
def best_total_compiled(score, group, banned):
    """The same, for a hundred thousand pages; the tests hold the two equal."""
    slots, n = score.shape
    choice = np.full(slots, -1, np.int64)
    best = 0
    at = 0
    while at < slots:
        best = max(best, total_of(choice, score, group, banned))
        at = 0
        while at < slots and choice[at] == n - 1:
            choice[at] = -1
            at += 1
        if at < slots:
            choice[at] += 1
    return best


@njit(cache=True)
def total_of(choice, score, group, banned):
    """Total score of rows in slots; -1 if they may not stand so."""
    total = 0
    for s in range(len(choice)):
        row = choice[s]
        if row < 0:
            continue
        if score[s, row] == NOT_BIDDING or group[row] == banned:
            return -1
        total += score[s, row]
        for t in range(s):
            if choice[t] >= 0 and group[choice[t]] == group[row]:
                return -1
    return total
