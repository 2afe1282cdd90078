"""Lines into fields, and fields into text."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from feedback.importing.kernels.faults import (
    EMPTY,
    FIELDS,
    HEX,
    MISSING,
    NUL,
    QUOTE,
    SOUND,
    TEXT,
    TOO_LONG,
    Bytes,
    Faults,
    Places,
)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def trim(data: Bytes, begin: Places, end: Places, fault: Faults, longest: int) -> Bytes:
    """Cut off carriage returns; mark empty and overlong lines and zero bytes.

    Returns which lines hold bytes outside ASCII.
    """
    wide = np.zeros(len(begin), np.uint8)
    for line in range(len(begin)):
        if end[line] > begin[line] and data[end[line] - 1] == 13:
            end[line] -= 1
        if fault[line] != SOUND:
            continue
        if end[line] == begin[line]:
            fault[line] = EMPTY
        elif end[line] - begin[line] > longest:
            fault[line] = TOO_LONG
        else:
            low, high = 255, 0
            for at in range(begin[line], end[line]):
                low = min(low, data[at])
                high = max(high, data[at])
            if low == 0:
                fault[line] = NUL
            wide[line] = high >= 128
    return wide


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def split(
    data: Bytes,
    begin: Places,
    end: Places,
    fault: Faults,
    rule: tuple[int, bool, bool, int, int],
    start: Places,
    stop: Places,
) -> None:
    """Fill start and stop [W, lines] with the fields of each sound line.

    `rule`: delimiter, whether runs of blanks delimit instead, whether a field may stand between
    quotation marks, the fewest and the most fields. Fields that a line lacks are empty. A doubled
    quotation mark within quotes stays doubled.
    """
    delimiter, runs, quoted, fewest, most = rule
    for line in range(len(begin)):
        if fault[line] != SOUND:
            start[:, line] = 0
            stop[:, line] = 0
            continue
        at, last, count = begin[line], end[line], 0
        if runs:
            while last > at and (data[last - 1] == 32 or data[last - 1] == 9):
                last -= 1
        while True:
            if runs:
                while at < last and (data[at] == 32 or data[at] == 9):
                    at += 1
            first, after = at, at
            if quoted and at < last and data[at] == 34:
                first = at + 1
                after = first
                while after < last and not (
                    data[after] == 34 and (after + 1 == last or data[after + 1] != 34)
                ):
                    after += 2 if data[after] == 34 else 1
                at = after + 1
                if after >= last or (at < last and data[at] != delimiter):
                    fault[line] = QUOTE
                    break
            else:
                while after < last and not (
                    data[after] == delimiter or (runs and (data[after] == 32 or data[after] == 9))
                ):
                    after += 1
                at = after
            if count < len(start):
                start[count, line] = first
                stop[count, line] = after
            count += 1
            if at >= last:
                break
            at += 1
        if fault[line] == SOUND and not fewest <= count <= most:
            fault[line] = FIELDS
        for field in range(count, len(start)):
            start[field, line] = 0
            stop[field, line] = 0


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def texts(
    data: Bytes,
    start: Places,
    stop: Places,
    fault: Faults,
    bounds: tuple[int, bool, bool],
    known: Bytes,
) -> None:
    """Mark what is too long, or not hexadecimal; `bounds`: bytes, whether hex, whether needed."""
    longest, hexadecimal, needed = bounds
    for line in range(len(start)):
        first, last = start[line], stop[line]
        known[line] = last > first
        if fault[line] != SOUND:
            continue
        if first == last:
            if needed:
                fault[line] = MISSING
        elif last - first > longest:
            fault[line] = TEXT
        elif hexadecimal:
            for at in range(first, last):
                byte = data[at]
                if not (48 <= byte <= 57 or 97 <= byte <= 102 or 65 <= byte <= 70):
                    fault[line] = HEX
                    break


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def gather(
    data: Bytes, start: Places, stop: Places, row: Places, offset: NDArray[np.int32], out: Bytes
) -> None:
    """Copy the fields of `row` end to end; `offset` [rows + 1] is filled already."""
    for place in range(len(row)):
        first, to = start[row[place]], offset[place]
        for step in range(stop[row[place]] - first):
            out[to + step] = data[first + step]
