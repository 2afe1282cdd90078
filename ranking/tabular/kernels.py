"""Loops over rows of a log that numpy would need many passes for."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_32, _29 = np.uint64(32), np.uint64(29)
LONG_AGO = -10.0
"""When, in units of the fading, a value was last shown that never was; rows begin at 0."""


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def mixed(word: np.uint64) -> np.uint64:
    """A word whose every bit depends on all bits of the given one; never 0."""
    word = (word ^ (word >> _32)) * _SPREAD
    word = (word ^ (word >> _29)) * _MIX
    word = word ^ (word >> _32)
    return word if word != 0 else np.uint64(1)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def hash_words(words: U64, out: U64) -> None:
    for row in range(len(words)):
        out[row] = mixed(words[row])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def hash_texts(data: NDArray[np.uint8], offset: NDArray[np.int32], out: U64) -> None:
    """FNV-1a of the bytes offset[row] … offset[row + 1], mixed."""
    for row in range(len(offset) - 1):
        word = _FNV_START
        for place in range(offset[row], offset[row + 1]):
            word = (word ^ np.uint64(data[place])) * _FNV_PRIME
        out[row] = mixed(word)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def hash_tokens(data: NDArray[np.uint8], offset: NDArray[np.int32], out: U64) -> None:
    """[R, most] a hash of each token between commas or blanks; 0 where there are no more."""
    most = out.shape[1]
    for row in range(len(offset) - 1):
        word, inside, found = _FNV_START, False, 0
        for place in range(offset[row], offset[row + 1] + 1):
            ends = place == offset[row + 1] or data[place] == 44 or data[place] == 32
            if not ends:
                word = (word ^ np.uint64(data[place])) * _FNV_PRIME
                inside = True
            elif inside:
                if found < most:
                    out[row, found] = mixed(word)
                found += 1
                word, inside = _FNV_START, False


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def insert(slot: U64, row: NDArray[np.int32], key: U64, first: int) -> None:
    """Give each key, none of which is there, the next row from `first` on; linear probing."""
    mask = np.uint64(len(slot) - 1)
    one = np.uint64(1)
    for number in range(len(key)):
        place = key[number] & mask
        while slot[place] != 0:
            place = (place + one) & mask
        slot[place] = key[number]
        row[place] = first + number


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def find(slot: U64, row: NDArray[np.int32], key: U64, out: NDArray[np.int32]) -> None:
    """The row of each key; −1 where it has none."""
    mask = np.uint64(len(slot) - 1)
    one = np.uint64(1)
    for number in range(len(key)):
        place = key[number] & mask
        while slot[place] != 0 and slot[place] != key[number]:
            place = (place + one) & mask
        out[number] = row[place] if slot[place] != 0 else -1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def running(
    code: NDArray[np.int32],
    click: NDArray[np.uint8],
    moment: NDArray[np.float64],
    prior: NDArray[np.float64],
    strength: float,
    unit: float,
    cells: int,
    out: NDArray[np.float32],
) -> None:
    """What was known of each row's value before its moment, into [R, 5].

    Rows stand in order of their moments, whose unit is that of the decay; rows of one moment do
    not see each other. Smoothed rate over the prior, log(1 + shown), the same two with decay, and
    log(1 + units since it was last shown), as if that were long ago before the first time.
    """
    state = np.zeros((cells, 5))
    state[:, 4] = LONG_AGO
    begin = 0
    while begin < len(code):
        end = begin
        while end < len(code) and moment[end] == moment[begin]:
            cell = state[code[end]]
            fade = math.exp(cell[4] - moment[end])
            p = prior[end]
            out[end, 0] = math.log((cell[1] + strength * p) / ((cell[0] + strength) * p))
            out[end, 1] = math.log1p(cell[0])
            lately = fade * cell[2]
            out[end, 2] = math.log((fade * cell[3] + strength * p) / ((lately + strength) * p))
            out[end, 3] = math.log1p(lately)
            out[end, 4] = math.log1p(unit * (moment[end] - cell[4]))
            end += 1
        for row in range(begin, end):
            cell = state[code[row]]
            fade = math.exp(cell[4] - moment[row])
            cell[0] += 1
            cell[1] += click[row]
            cell[2] = fade * cell[2] + 1
            cell[3] = fade * cell[3] + click[row]
            cell[4] = moment[row]
        begin = end


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def linear(
    weight: NDArray[np.float64],
    identity: NDArray[np.int32],
    number: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """weight[0] + Σ weight of the row's identities + Σ number · weight; −1 is no identity."""
    numbers = number.shape[1]
    for row in range(len(out)):
        total = weight[0]
        for column in range(numbers):
            total += number[row, column] * weight[1 + column]
        for column in range(identity.shape[1]):
            if identity[row, column] >= 0:
                total += weight[1 + numbers + identity[row, column]]
        out[row] = total


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def linear_gradient(
    push: NDArray[np.float64],
    identity: NDArray[np.int32],
    number: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Σ over rows of push · the derivative of `linear` by each weight, added to out."""
    numbers = number.shape[1]
    for row in range(len(push)):
        out[0] += push[row]
        for column in range(numbers):
            out[1 + column] += push[row] * number[row, column]
        for column in range(identity.shape[1]):
            if identity[row, column] >= 0:
                out[1 + numbers + identity[row, column]] += push[row]
