"""On what terms of fairness each page was sold: written down, or given to sell it so again."""

from __future__ import annotations

from numba import njit

from auction.workspace import MOST_ROOM, Page, Terms


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def keep_terms(terms: Terms, low: int, page: Page) -> None:
    """The page's dual prices and rooms; its rows begin at `low`."""
    slots, n = page.dual.shape
    for s in range(slots):
        for i in range(n):
            terms.dual[low + i, s] = page.dual[s, i]
            terms.room[low + i, s] = max(0, min(page.room[s, i], MOST_ROOM))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def given_terms(terms: Terms, low: int, page: Page) -> bool:
    """What `keep_terms` kept, for the page; False when fairness changed nothing on it."""
    matters = False
    slots, n = page.dual.shape
    for s in range(slots):
        for i in range(n):
            page.dual[s, i] = terms.dual[low + i, s]
            page.room[s, i] = terms.room[low + i, s]
            matters |= (page.dual[s, i] != 0) | (page.room[s, i] <= slots)
    return matters
