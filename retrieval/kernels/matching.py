"""Targeting: which line items may answer a request. The oracle is Python sets in the tests."""

from __future__ import annotations

import numpy as np
from numba import njit

from retrieval.kernels.bits import ONE


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def copy_words(source, words):  # type: ignore[no-untyped-def]
    """Word by word: numba takes seconds to compile arrays that are assigned to slices."""
    for w in range(words.size):
        words[w] = source[w]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def add_set(words, number, dense_row, dense, sparse_start, sparse):  # type: ignore[no-untyped-def]
    """Set the bits of one posting."""
    row = dense_row[number]
    if row >= 0:
        for w in range(words.size):
            words[w] |= dense[row, w]
    for i in range(sparse_start[number], sparse_start[number + 1]):
        item = np.int64(sparse[i])
        words[item >> 6] |= ONE << np.uint64(item & 63)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def drop_set(words, number, dense_row, dense, sparse_start, sparse):  # type: ignore[no-untyped-def]
    """Clear the bits of one posting."""
    row = dense_row[number]
    if row >= 0:
        for w in range(words.size):
            words[w] &= ~dense[row, w]
    for i in range(sparse_start[number], sparse_start[number + 1]):
        item = np.int64(sparse[i])
        words[item >> 6] &= ~(ONE << np.uint64(item & 63))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def target(  # type: ignore[no-untyped-def]
    words,
    allowed,
    dimension,
    open_,
    include,
    exclude,
    dense_row,
    dense,
    sparse_start,
    sparse,
    terms,
):
    """Keep the line items whose targeting in one dimension the request meets."""
    copy_words(open_[dimension], allowed)
    for term in terms:
        if include[term] >= 0:
            add_set(allowed, include[term], dense_row, dense, sparse_start, sparse)
    for w in range(words.size):
        words[w] &= allowed[w]
    for term in terms:
        if exclude[term] >= 0:
            drop_set(words, exclude[term], dense_row, dense, sparse_start, sparse)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def place(line_slots, placed, include, sparse_start, sparse, slot_placement):  # type: ignore[no-untyped-def]
    """Set the slots of the line items that are tied to the placements of the request.

    The slots of the last request are cleared by walking its own placements, which `placed`
    remembers: a pass over every line item would cost more than the whole match.
    """
    for number in placed:
        if number >= 0:
            for i in range(sparse_start[include[number]], sparse_start[include[number] + 1]):
                line_slots[sparse[i]] = np.uint32(0)
    placed[:] = -1
    for slot in range(slot_placement.size):
        number = slot_placement[slot]
        placed[slot] = number
        if number >= 0:
            for i in range(sparse_start[include[number]], sparse_start[include[number] + 1]):
                line_slots[sparse[i]] |= np.uint32(1 << slot)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def match(  # type: ignore[no-untyped-def]
    words, line_slots, placed, allowed, live, open_, unrestricted, include, exclude,
    dense_row, dense, sparse_start, sparse, term, term_start, blocked, slot_placement,
):  # fmt: skip
    """Line items that may answer a request, as bits of `words`."""
    copy_words(live, words)
    for d in range(open_.shape[0]):
        terms = term[term_start[d] : term_start[d + 1]]
        target(words, allowed, d, open_, include, exclude,
               dense_row, dense, sparse_start, sparse, terms)  # fmt: skip
    for number in blocked:
        drop_set(words, include[number], dense_row, dense, sparse_start, sparse)
    place(line_slots, placed, include, sparse_start, sparse, slot_placement)
    copy_words(unrestricted, allowed)
    for number in slot_placement:
        if number >= 0:
            add_set(allowed, include[number], dense_row, dense, sparse_start, sparse)
    for w in range(words.size):
        words[w] &= allowed[w]
