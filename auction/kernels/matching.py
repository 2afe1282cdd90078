"""Which row of a package stands in which slot."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.kernels.scoring import score_of
from auction.kernels.ties import outranks
from auction.workspace import I64, Lots, Page, Rows


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def usable(i: int, slot: int, open_slots: int, page: Page) -> bool:
    return bool((page.passes[i] & open_slots) >> slot & 1 and page.room[slot, i] > 0)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def members_of(
    rows: Rows, lots: Lots, mode: int, package: int, tier: int, open_slots: int, page: Page
) -> I64:
    """Rows of the package that may stand somewhere, best first; of twins only the better."""
    found, best = np.empty(rows.ad.size, np.int64), np.empty(rows.ad.size, np.int64)
    count = 0
    for i in range(rows.ad.size):
        if rows.package[i] != package or rows.tier[i] != tier or not page.alive[i]:
            continue
        top, somewhere = 0, False
        for s in range(page.best.size):
            if usable(i, s, open_slots, page):
                score = score_of(rows, lots, mode, i, s, page)
                top = score if not somewhere else max(top, score)
                somewhere = True
        if somewhere:
            count = insert(rows, lots, found, best, count, i, top)
    return found[: keep_no_twins(rows, found[:count])]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def insert(rows: Rows, lots: Lots, found: I64, best: I64, count: int, i: int, top: int) -> int:
    """Keep the order: score, then lot, then row."""
    at = count
    while at > 0 and (
        top > best[at - 1]
        or (top == best[at - 1] and outranks(lots.seed, rows.ad[i], rows.ad[found[at - 1]]))
    ):
        found[at], best[at] = found[at - 1], best[at - 1]
        at -= 1
    found[at], best[at] = i, top
    return count + 1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def keep_no_twins(rows: Rows, found: I64) -> int:
    """Move the first of each kind to the front; how many they are."""
    kept = 0
    for i in found:
        twin = False
        for k in range(kept):
            j = found[k]
            twin |= (rows.ad[i] == rows.ad[j]) | (rows.creative[i] == rows.creative[j])
        if not twin:
            found[kept] = i
            kept += 1
    return kept


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def match(
    rows: Rows, lots: Lots, mode: int, members: I64, open_slots: int, page: Page, taken: I64
) -> int:
    """Fill `taken` [S] with members, -1 where none; as many slots as can be filled at once.

    Slot by slot the shortest augmenting path (Kuhn 1955), each slot preferring the members that
    score most in it.
    """
    taken[:] = -1
    held = np.full(members.size, -1, np.int64)
    count = 0
    for s in range(taken.size):
        if (open_slots >> s) & 1:
            count += augment(rows, lots, mode, members, open_slots, page, taken, held, s)
    return count


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def augment(
    rows: Rows,
    lots: Lots,
    mode: int,
    members: I64,
    open_slots: int,
    page: Page,
    taken: I64,
    held: I64,
    start: int,
) -> bool:
    """Find a member for the slot, moving others if it must; `held` is the slot of each member,
    `taken` in this module the place in `members`."""
    reached_from = np.full(members.size, -1, np.int64)
    queue = np.empty(taken.size + 1, np.int64)
    queue[0], head, tail = start, 0, 1
    while head < tail:
        slot = queue[head]
        head += 1
        while True:
            m = best_member(rows, lots, mode, members, open_slots, page, reached_from, slot)
            if m < 0:
                break
            reached_from[m] = slot
            if held[m] >= 0:
                queue[tail] = held[m]
                tail += 1
                continue
            while m >= 0:
                at = reached_from[m]
                before = taken[at]
                taken[at], held[m] = m, at
                m = before
            return True
    return False


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def best_member(
    rows: Rows,
    lots: Lots,
    mode: int,
    members: I64,
    open_slots: int,
    page: Page,
    reached_from: I64,
    slot: int,
) -> int:
    """Of the members not yet reached the one that scores most in the slot, the first of equals."""
    best, top = -1, 0
    for m in range(members.size):
        if reached_from[m] >= 0 or not usable(members[m], slot, open_slots, page):
            continue
        score = score_of(rows, lots, mode, members[m], slot, page)
        if best < 0 or score > top:
            best, top = m, score
    return best
