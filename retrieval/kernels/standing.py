"""What changes with the live part of the catalogue, per line item."""

from __future__ import annotations

import numpy as np
from numba import njit

from retrieval.kernels.bits import HEAD, ROUNDED


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def top_of_lines(lines, highest, start, alive, base, norm, click):  # type: ignore[no-untyped-def]
    """Greatest base of each line item's ads by impression and by click; the greatest of all."""
    highest[:2], highest[2] = -np.inf, 0
    for line in range(lines.shape[0]):
        lines[line, :2] = -np.inf
        for row in range(start[line], start[line + 1]):
            if alive[row]:
                column = 1 if click[row] else 0
                lines[line, column] = max(lines[line, column], base[row])
                highest[2] = max(highest[2], norm[row])
        highest[0] = max(highest[0], lines[line, 0])
        highest[1] = max(highest[1], lines[line, 1])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def middle_of_lines(lines, middles, start, head, fact, click):  # type: ignore[no-untyped-def]
    """The middle of each line item's ads by click and how far they lie off it; much alike."""
    middle = np.zeros(HEAD, np.float32)
    for line in range(lines.shape[0]):
        middle[:] = 0
        ads = 0
        for row in range(start[line], start[line + 1]):
            if click[row]:
                ads += 1
                for d in range(HEAD):
                    middle[d] += fact[row, 0] * np.float32(head[row, d])
        if ads:
            middle /= np.float32(ads)
        step = max(np.abs(middle).max() / np.float32(127), np.float32(1e-30))
        lines[line, 2] = step
        coarse = middles[line, 64 - HEAD :]
        for d in range(HEAD):
            coarse[d] = np.int8(np.rint(middle[d] / step))
        for row in range(start[line], start[line + 1]):
            if click[row]:
                off = np.float32(0)
                for d in range(HEAD):
                    ad = fact[row, 0] * np.float32(head[row, d])
                    off += (ad - step * np.float32(coarse[d])) ** 2
                # What the coarse steps of an ad leave out lies in all dimensions: count it twice.
                lines[line, 3] = max(lines[line, 3], np.sqrt(off) * ROUNDED + fact[row, 3])
                lines[line, 4] = max(lines[line, 4], fact[row, 2] * ROUNDED + fact[row, 3])
