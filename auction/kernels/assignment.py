"""Which rows of a page stand in which slots so that the total score is greatest; who gives way.

    table = Table.sized(slots)                        # once per batch
    assign(score, group, ad, seed, table)             # per page
    table.row, table.externality, table.entrant       # [S] each

Knows scores and groups only. `score` [S, n] is what a row adds to the page in a slot *above the
floor it must pay there*, in rank units: `rank - floor`, at least 0, and NOT_BIDDING where the pair
may not be. A group wins at most one slot: the advertiser where it may stand once only, else the
row. Rows that must not stand together for any reason (twins, competitors) belong into one group;
`unite` joins them. An empty slot scores 0, and a pair that scores 0 beats an empty slot.

**Price** (Vickrey 1961, Clarke 1971, Groves 1973). Seller and bidders together gain
W = Σ (rank − floor). A winner's *externality* is what the others lose by its presence,

    externality = W(without its group) − (W − its own score)      in 0 .. its own score
    price = floor + externality                                   in rank units, floor .. rank

The floor is the seller's own cost of giving the slot away. What a bidder keeps is
`rank − price = W − W(without it)`, whose second part it cannot move: it keeps most when W as the
auction computes it is W as it is, that is when it bids what a click is worth to it. Weights
(quality, squashing) and dual prices that do not depend on the bid keep that true.

**The usual formula** is a case of it. Where rank = x_slot · s_row with position effects
x_1 >= .. >= x_L, x_{L+1} = 0, no floors, s sorted, the winner of slot l moves everybody below it up
by one: externality = Σ_{k=l..L} (x_k − x_{k+1}) · s_{k+1} (Edelman, Ostrovsky, Schwarz 2007). The
assignment needs neither that form nor an order of the slots.

**Dual prices** μ of exposure must not empty a slot, but `rank − floor − μ` may be below 0. Give
`rank − floor − μ + M` with one M for the page, the greatest μ of its rows (those refused included,
so that no bid moves it): the price is then max(floor, floor + μ − M + externality). For one slot
that is exactly the critical bid max(floor, other's rank − other's μ + μ). For several it is the
affine maximiser of Roberts (1979), truthful up to the floor: where max() binds, a bidder can gain
at most M.

**Method.** Slots enter one by one along the best augmenting path (Kuhn 1955); as the graph of
slots alone is searched, a step costs O(S²) times the length of the path, whatever n. Only the best
S + 1 groups of a slot can matter: at most S of them stand elsewhere. Once all slots are in, one
search from the free groups gives every externality at once: the best path that refills the slot,
which cannot pass through the leaving winner, because an optimum has no gainful cycle.
Scores are compared with a lot of (seed, ad, slot) behind them, so ties are fair over many seeds,
identical in a replay, and independent of the order of rows. No intermediate sum exceeds the
greatest score: all of int64 is exact. The oracle is a search of all assignments in the tests.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from auction.kernels.ties import tie_rank
from auction.workspace import I32, I64, U64

NOT_BIDDING = -(2**63)
_NOBODY = -1


class Table(NamedTuple):
    """The answer, [S] by slot of the page, and work space for it."""

    row: I64
    """Row that wins the slot, -1 when it stays empty."""
    externality: I64
    """What the others would gain if the winner's group were not there; 0 for an empty slot."""
    entrant: I64
    """Row that would come onto the page in the winner's stead (into this slot or, as others move,
    into another); -1 when a slot would stay empty."""
    own: I64
    """Score of the winner in its slot; 0 when empty."""
    own_lot: I64
    held: I64
    """Group that holds the slot, where `row` is not -1."""
    listed: I64
    """[S] candidates of the slot, at most S + 1."""
    best_row: I64
    """[S, S + 1] best row of each of the best groups, best first."""
    best_group: I64
    best_score: I64
    best_lot: I64
    place: I64
    """[S, S] where the holder of slot t stands among the candidates of slot s; -1: not there."""
    gain: I64
    """[S] best path that refills the slot: its score,"""
    gain_lot: I64
    """its lots,"""
    after: I64
    """and the slot whose holder moves here; -1: its end, with the row in"""
    last: I64

    @classmethod
    def sized(cls, slots: int) -> Table:
        def column() -> I64:
            return np.zeros(slots, np.int64)

        def best() -> I64:
            return np.zeros((slots, slots + 1), np.int64)

        return cls(
            row=column(),
            externality=column(),
            entrant=column(),
            own=column(),
            own_lot=column(),
            held=column(),
            listed=column(),
            best_row=best(),
            best_group=best(),
            best_score=best(),
            best_lot=best(),
            place=np.zeros((slots, slots), np.int64),
            gain=column(),
            gain_lot=column(),
            after=column(),
            last=column(),
        )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def assign(score: I64, group: I32, ad: I32, seed: np.uint64, table: Table) -> None:
    """The assignment of greatest total score, and what each winner costs the others.

    `score` [S, n], `group` and `ad` [n]; `table` is sized for S slots or more. Ads of different
    groups differ. Reads `score`, changes only `table`.
    """
    slots = score.shape[0]
    for s in range(slots):
        table.row[s] = _NOBODY
        find_candidates(score[s], group, ad, seed, s, slots + 1, table)
    for s in range(slots):
        find_gains(s, table)
        enter(s, table)
        move_along(s, slots, table)
    for s in range(slots):
        table.externality[s] = 0
        table.entrant[s] = _NOBODY
    find_gains(slots, table)
    for s in range(slots):
        if table.row[s] != _NOBODY:
            table.externality[s] = table.gain[s]
            end = s
            while table.after[end] >= 0:
                end = table.after[end]
            table.entrant[s] = table.last[end]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def lot_of(seed: np.uint64, ad: int, slot: int) -> int:
    """At least 1 and so small that a page's lots add up within 64 bits."""
    return int(tie_rank(seed + np.uint64(slot), ad) >> np.uint64(10)) + 1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def find_candidates(
    score: I64, group: I32, ad: I32, seed: np.uint64, slot: int, most: int, table: Table
) -> None:
    """The best row of each of the best `most` groups, best first."""
    scores, lots = table.best_score[slot], table.best_lot[slot]
    rows, groups = table.best_row[slot], table.best_group[slot]
    count = 0
    least = 0
    for i in range(score.size):
        if score[i] < least:
            continue
        lot = lot_of(seed, ad[i], slot)
        at = count
        for k in range(count):
            if groups[k] == group[i]:
                at = k
                break
        if at < count:
            if not exceeds(score[i], lot, scores[at], lots[at]):
                continue
        elif count < most:
            count += 1
        elif exceeds(score[i], lot, scores[count - 1], lots[count - 1]):
            at = count - 1
        else:
            continue
        while at > 0 and exceeds(score[i], lot, scores[at - 1], lots[at - 1]):
            scores[at], lots[at] = scores[at - 1], lots[at - 1]
            rows[at], groups[at] = rows[at - 1], groups[at - 1]
            at -= 1
        scores[at], lots[at], rows[at], groups[at] = score[i], lot, i, group[i]
        if count == most:
            least = scores[count - 1]
    table.listed[slot] = count


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def exceeds(score: int, lot: int, other: int, other_lot: int) -> bool:
    return bool(score > other or (score == other and lot > other_lot))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def find_gains(slots: int, table: Table) -> None:
    """For each of the first `slots` slots that is held: the best way to fill it anew.

    Bellman's recursion (1958) on the slots: a free group, nobody, or the holder of another slot,
    whose slot is then filled anew. `own - gain` is never below 0 in an optimum.
    """
    for s in range(slots):
        end_here(s, slots, table)
    changed = True
    while changed:
        changed = False
        for s in range(slots):
            if table.row[s] != _NOBODY:
                changed |= improve(s, slots, table)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def enter(slot: int, table: Table) -> None:
    """The best way to fill a slot that is not in the assignment yet."""
    end_here(slot, slot, table)
    improve(slot, slot, table)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def end_here(slot: int, slots: int, table: Table) -> None:
    """Fill the slot with its best free group, or with nobody."""
    table.gain[slot] = 0
    table.gain_lot[slot] = 0
    table.after[slot] = _NOBODY
    table.last[slot] = _NOBODY
    for k in range(table.listed[slot]):
        free = True
        for t in range(slots):
            if table.row[t] != _NOBODY and table.held[t] == table.best_group[slot, k]:
                free = False
                break
        if free:
            table.gain[slot] = table.best_score[slot, k]
            table.gain_lot[slot] = table.best_lot[slot, k]
            table.last[slot] = table.best_row[slot, k]
            return


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def improve(slot: int, slots: int, table: Table) -> bool:
    """Let the holder of another slot move here if that is better."""
    better = False
    for t in range(slots):
        at = table.place[slot, t]
        if t == slot or table.row[t] == _NOBODY or at < 0:
            continue
        score = table.best_score[slot, at] - (table.own[t] - table.gain[t])
        lot = table.best_lot[slot, at] - (table.own_lot[t] - table.gain_lot[t])
        if exceeds(score, lot, table.gain[slot], table.gain_lot[slot]):
            table.gain[slot] = score
            table.gain_lot[slot] = lot
            table.after[slot] = t
            better = True
    return better


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def move_along(slot: int, slots: int, table: Table) -> None:
    """Fill `slot` along its best path: holders move, a free row comes in at the end."""
    here = slot
    while table.after[here] >= 0:
        there = table.after[here]
        take(here, table.place[here, there], table)
        here = there
    table.row[here] = _NOBODY
    table.own[here] = 0
    table.own_lot[here] = 0
    for k in range(table.listed[here]):
        if table.best_row[here, k] == table.last[here]:
            take(here, k, table)
            break
    here = slot
    while True:
        if table.row[here] != _NOBODY:
            find_holder(here, slots, table)
        if table.after[here] < 0:
            return
        here = table.after[here]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def take(slot: int, at: int, table: Table) -> None:
    table.row[slot] = table.best_row[slot, at]
    table.held[slot] = table.best_group[slot, at]
    table.own[slot] = table.best_score[slot, at]
    table.own_lot[slot] = table.best_lot[slot, at]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def find_holder(slot: int, slots: int, table: Table) -> None:
    """Where the slot's holder stands among the candidates of every slot."""
    for s in range(slots):
        table.place[s, slot] = -1
        for k in range(table.listed[s]):
            if table.best_group[s, k] == table.held[slot]:
                table.place[s, slot] = k
                break


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def unite(key: I32, group: I32) -> None:
    """Join the groups of rows with the same key, where it is not negative.

    Begin with `group[i] = i`; unite by advertiser, ad, creative as the rules ask; groups stay
    numbers of rows. About 10 ns a row.
    """
    size = 8
    while size < 2 * key.size:
        size *= 2
    first = np.full(size, _NOBODY, np.int32)
    for i in range(key.size):
        if key[i] < 0:
            continue
        at = (np.int64(key[i]) * 0x9E3779B1 >> 7) & (size - 1)
        while first[at] != _NOBODY and key[first[at]] != key[i]:
            at = (at + 1) & (size - 1)
        if first[at] == _NOBODY:
            first[at] = i
        else:
            join(group, i, first[at])
    flatten(group)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def unite_labels(labels: U64, group: I32) -> None:
    """Join the groups of rows that share a label.

    Stricter than the rule where a row has several labels: what it joins may not stand together
    either. Exact exclusion by pairs would make the assignment NP-hard (independent set).
    """
    first = np.full(64, _NOBODY, np.int32)
    for i in range(labels.size):
        left, bit = labels[i], 0
        while left != 0:
            if left & np.uint64(1):
                if first[bit] == _NOBODY:
                    first[bit] = i
                else:
                    join(group, i, first[bit])
            left, bit = left >> np.uint64(1), bit + 1
    flatten(group)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def join(group: I32, one: int, other: int) -> None:
    while group[one] != one:
        one = group[one]
    while group[other] != other:
        other = group[other]
    group[max(one, other)] = min(one, other)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def flatten(group: I32) -> None:
    """Each row names the first row of its group, which is never after it."""
    for i in range(group.size):
        group[i] = group[group[i]]
