"""Fields into moments."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from feedback.importing.kernels.faults import MISSING, SOUND, TIME, Bytes, Faults, Places, digit

_NOTHING = -(1 << 62)
"""What is no moment."""


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of the Gregorian calendar (Howard Hinnant's formula)."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def _moment(part: NDArray[np.int64], milli: int, shift_min: int) -> int:
    """Milliseconds since 1970 of year, month, day, hour, minute, second; _NOTHING if impossible."""
    year, month, day = int(part[0]), int(part[1]), int(part[2])
    if not (1970 <= year <= 2200 and 1 <= month <= 12 and 1 <= day <= 31):
        return _NOTHING
    if month == 12:
        length = 31
    else:
        length = days_from_civil(year, month + 1, 1) - days_from_civil(year, month, 1)
    if day > length or part[3] > 23 or part[4] > 59 or part[5] > 59:
        return _NOTHING
    hours = days_from_civil(year, month, day) * 24 + int(part[3])
    minutes = hours * 60 + int(part[4]) - shift_min
    return int((minutes * 60 + int(part[5])) * 1000 + milli)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def _compact(data: Bytes, at: int, last: int, part: NDArray[np.int64]) -> int:
    """Digits alone: YYMMDDHH, YYYYMMDDHH, YYYYMMDDHHMMSS[mmm], or seconds or ms since 1970."""
    digits = last - at
    number = 0
    for place in range(at, last):
        number = number * 10 + digit(data, place)
    if digits == 13:
        return number
    if digits == 10 and number < 1_970_000_000:
        return number * 1000
    milli = 0
    if digits == 17:
        milli, number, digits = number % 1000, number // 1000, 14
    elif digits == 8:
        number, digits = number + 2_000_000_000, 10
    if digits == 10:
        number, digits = number * 10_000, 14
    if digits != 14:
        return _NOTHING
    for place in range(5, 0, -1):
        part[place] = number % 100
        number //= 100
    part[0] = number
    return int(_moment(part, milli, 0))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def _stamp(data: Bytes, at: int, last: int, part: NDArray[np.int64]) -> int:
    """Y-M-D or M/D/Y, then perhaps h:m[:s[.fraction]] and a zone, +hh:mm, after a blank or T."""
    count, digits, number, slashes, milli, scale = 0, 0, 0, 0, 0, 0
    while at < last and count < 6:
        byte = data[at]
        if 48 <= byte <= 57:
            number = number * 10 + digit(data, at)
            digits += 1
            if digits > 4:
                return _NOTHING
        elif byte in (47, 45, 58, 32, 84):
            if (byte == 45 and count >= 3) or digits == 0:
                break
            slashes += byte == 47
            part[count] = number
            count, digits, number = count + 1, 0, 0
        else:
            break
        at += 1
    if digits and count < 6:
        part[count] = number
        count += 1
    if count < 3 or count == 4:
        return _NOTHING
    if at < last and data[at] == 46:
        at, scale = at + 1, 100
        while at < last and 48 <= data[at] <= 57:
            milli += scale * digit(data, at)
            scale //= 10
            at += 1
    shift = 0
    if at < last and data[at] == 90:
        at += 1
    elif at < last and (data[at] == 43 or data[at] == 45):
        ahead = data[at] == 43
        at += 1
        digits, number = 0, 0
        while at < last and digits < 4:
            if 48 <= data[at] <= 57:
                number = number * 10 + digit(data, at)
                digits += 1
            elif data[at] != 58:
                break
            at += 1
        if digits == 2:
            number *= 100
        elif digits != 4:
            return _NOTHING
        shift = number // 100 * 60 + number % 100
        if not ahead:
            shift = -shift
    if at < last:
        return _NOTHING
    if slashes == 2:
        part[0], part[1], part[2] = part[2], part[0], part[1]
    return int(_moment(part, milli, shift))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def moments(
    data: Bytes,
    start: Places,
    stop: Places,
    fault: Faults,
    needed: bool,
    value: NDArray[np.int64],
    known: Bytes,
) -> None:
    """Fields that tell a time as milliseconds since 1970, UTC where no zone is given."""
    part = np.zeros(6, np.int64)
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
        part[:] = 0
        plain = last - at <= 17
        for place in range(at, last):
            plain &= 48 <= data[place] <= 57
        found = _compact(data, at, last, part) if plain else _stamp(data, at, last, part)
        if found == _NOTHING:
            fault[line] = TIME
        else:
            value[line] = found
            known[line] = 1
