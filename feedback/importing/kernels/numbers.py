"""Fields into numbers."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from feedback.importing.kernels.faults import (
    MISSING,
    MOST_DIGITS,
    REAL,
    SOUND,
    WHOLE,
    Bytes,
    Faults,
    Places,
    digit,
)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def whole_numbers(
    data: Bytes,
    start: Places,
    stop: Places,
    fault: Faults,
    bounds: tuple[int, int, bool],
    value: NDArray[np.int64],
    known: Bytes,
) -> None:
    """Fields like 17, -2 or 3.0 as int64; `bounds`: least, most, and whether one must be there."""
    low, high, needed = bounds
    for line in range(len(start)):
        at, last = start[line], stop[line]
        value[line] = 0
        known[line] = 0
        if fault[line] != SOUND:
            continue
        if at == last:
            if needed:
                fault[line] = MISSING
            continue
        minus = data[at] == 45
        if minus:
            at += 1
        found, digits = 0, 0
        while at < last and 48 <= data[at] <= 57 and digits <= MOST_DIGITS:
            found = found * 10 + digit(data, at)
            digits += 1
            at += 1
        if at < last and data[at] == 46:
            at += 1
            while at < last and data[at] == 48:
                at += 1
        if minus:
            found = -found
        if at < last or digits == 0 or digits > MOST_DIGITS or not low <= found <= high:
            fault[line] = WHOLE
        else:
            value[line] = found
            known[line] = 1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def real_numbers(
    data: Bytes,
    start: Places,
    stop: Places,
    fault: Faults,
    bounds: tuple[float, float, bool],
    value: NDArray[np.float64],
    known: Bytes,
) -> None:
    """Decimal fields as float64, to a few units in the last place."""
    low, high, needed = bounds
    for line in range(len(start)):
        at, last = start[line], stop[line]
        value[line] = 0.0
        known[line] = 0
        if fault[line] != SOUND:
            continue
        if at == last:
            if needed:
                fault[line] = MISSING
            continue
        minus = data[at] == 45
        if minus:
            at += 1
        mantissa, digits, taken, exponent, point = 0, 0, 0, 0, False
        while at < last and (48 <= data[at] <= 57 or (data[at] == 46 and not point)):
            if data[at] == 46:
                point = True
            else:
                if taken < MOST_DIGITS:
                    mantissa = mantissa * 10 + digit(data, at)
                    taken += mantissa > 0
                    exponent -= point
                else:
                    exponent += not point
                digits += 1
            at += 1
        if digits and at < last and (data[at] == 101 or data[at] == 69):
            at += 1
            down = at < last and data[at] == 45
            if at < last and (data[at] == 45 or data[at] == 43):
                at += 1
            power, places = 0, 0
            while at < last and 48 <= data[at] <= 57 and places < 4:
                power = power * 10 + digit(data, at)
                places += 1
                at += 1
            if places == 0:
                digits = 0
            exponent += -power if down else power
        found = float(mantissa)
        if mantissa and exponent < -340:
            found = 0.0
        elif mantissa and exponent < 0:
            found = found / 10.0 ** min(-exponent, 300) / 10.0 ** max(-exponent - 300, 0)
        elif mantissa:
            found = found * 10.0 ** min(exponent, 400)
        if minus:
            found = -found
        if at < last or digits == 0 or not low <= found <= high:
            fault[line] = REAL
        else:
            value[line] = found
            known[line] = 1
