"""What can be wrong with a line, and how lines are named to the kernels.

A line is named by its first byte and the byte behind its last; so is a field. A line that fails
keeps the first fault found; nothing is raised, whatever the bytes are.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Faults = NDArray[np.uint8]

SOUND, EMPTY, TOO_LONG, NUL, QUOTE, FIELDS, MISSING, WHOLE, REAL, HEX, TIME, TEXT, TORN = range(13)
"""In the order in which they are looked for."""
LINE_NUMBER = -1
"""Field number of a fault of the whole line."""
MOST_DIGITS = 18


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def digit(data: Bytes, at: int) -> int:
    """Value of a byte that is an ASCII digit."""
    return int(np.int64(data[at]) - 48)
