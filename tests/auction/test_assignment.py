"""VCG: the assignment of greatest total score, and what each winner costs the others."""

from __future__ import annotations

import numpy as np
import pytest
from assignment_oracle import best_total, best_total_compiled, total_of
from numba import njit

from auction.kernels.assignment import NOT_BIDDING, Table, assign, unite, unite_labels

ROUNDS = 25_000
"""Pages per shape; four shapes, hence 100 000."""
SHAPES = [(1, 6), (2, 6), (3, 6), (4, 5)]


def pages(rng, rounds, slots, n):
    """Scores of many pages: narrow ranges, so that ties abound, and wide ones; a fifth not bidding,
    few groups or many."""
    span = rng.choice([2, 6, 1_000, 2**40, 2**59], (rounds, 1, 1))
    score = (rng.random((rounds, slots, n)) * span).astype(np.int64)
    score[rng.random(score.shape) < 0.2] = NOT_BIDDING
    group = rng.integers(0, rng.choice([2, 4, 20], (rounds, 1)), (rounds, n)).astype(np.int32)
    ad = np.argsort(rng.random((rounds, n)), axis=1).astype(np.int32)
    seed = rng.integers(0, 2**63, rounds).astype(np.uint64)
    return score, group, ad, seed


@njit(cache=True)
def first_wrong(score, group, ad, seed, table):
    """The first page whose assignment is not allowed, not best, or wrongly priced; -1: none."""
    for page in range(len(seed)):
        assign(score[page], group[page], ad[page], seed[page], table)
        total = total_of(table.row, score[page], group[page], -1)
        if total != best_total_compiled(score[page], group[page], -1):
            return page
        for s in range(len(table.row)):
            if table.externality[s] != loss_of_others(
                score[page], group[page], total, table.row, s
            ):
                return page
            if table.row[s] < 0 and table.entrant[s] >= 0:
                return page
    return -1


@njit(cache=True)
def loss_of_others(score, group, total, row, slot):
    if row[slot] < 0:
        return 0
    without = best_total_compiled(score, group, group[row[slot]])
    return without - (total - score[slot, row[slot]])


def solved(score, group, ad=None, seed=1):
    """Rows, externalities and entrants of one page."""
    score = np.array(score, np.int64)
    table = Table.sized(score.shape[0])
    ad = np.arange(score.shape[1]) if ad is None else ad
    assign(score, np.array(group, np.int32), np.array(ad, np.int32), np.uint64(seed), table)
    return table.row.tolist(), table.externality.tolist(), table.entrant.tolist()


@pytest.mark.parametrize(("slots", "n"), SHAPES)
def test_totals_and_externalities_are_those_of_a_search_of_all_assignments(slots, n):
    score, group, ad, seed = pages(np.random.default_rng(slots), ROUNDS, slots, n)

    wrong = first_wrong(score, group, ad, seed, Table.sized(slots))

    assert wrong == -1, (score[wrong], group[wrong])


def test_the_compiled_oracle_is_the_readable_one():
    score, group, _, _ = pages(np.random.default_rng(5), 100, 3, 4)

    for page in range(100):
        for banned in (-1, int(group[page, 0])):
            readable = best_total(score[page], group[page], banned)
            assert best_total_compiled(score[page], group[page], banned) == readable


def test_greatest_scores_do_not_overflow():
    top = 2**63 - 1

    assert solved([[top, top - 2, 5], [top, top - 1, 5]], [0, 1, 2]) == (
        [0, 1],
        [5, 5],
        [2, 2],
    )


def test_the_greatest_total_may_give_the_best_row_its_second_best_slot():
    """Greedy would sell the first slot to row 0 for 10 and leave 1 for the second."""
    rows, externality, entrant = solved([[10, 9], [8, 1]], [0, 1])

    assert rows == [1, 0]
    assert externality == [2, 0]  # without row 1, row 0 would stand in the first slot
    assert entrant == [-1, -1]


def test_with_separable_position_effects_prices_are_those_of_the_usual_formula():
    """P_l = sum over k >= l of (x_k - x_{k+1}) s_{k+1}."""
    rng = np.random.default_rng(11)
    for _ in range(500):
        slots, n = int(rng.integers(1, 7)), int(rng.integers(1, 40))
        effect = np.sort(rng.integers(0, 1_000, slots))[::-1]
        worth = rng.integers(0, 10**6, n)

        rows, externality, _ = solved(np.outer(effect, worth), np.arange(n))

        ranked = np.append(np.sort(worth)[::-1], np.zeros(slots + 1, np.int64))
        step = effect - np.append(effect[1:], 0)
        usual = [int((step[k:] * ranked[k + 1 : slots + 1]).sum()) for k in range(slots)]
        assert externality == [usual[s] if rows[s] >= 0 else 0 for s in range(slots)]


@pytest.mark.parametrize("slots", [1, 3, 8, 20])
def test_the_order_of_rows_does_not_matter_even_in_ties(slots):
    rng = np.random.default_rng(slots)
    for _ in range(50):
        n = int(rng.integers(1, 60))
        score, group, ad, seed = (column[0] for column in pages(rng, 1, slots, n))
        order = rng.permutation(n)

        rows, externality, entrant = solved(score, group, ad, seed)
        shuffled = solved(score[:, order], group[order], ad[order], seed)

        assert [order[row] if row >= 0 else -1 for row in shuffled[0]] == rows
        assert shuffled[1] == externality
        assert [order[row] if row >= 0 else -1 for row in shuffled[2]] == entrant


def test_over_many_seeds_tied_rows_win_each_slot_equally_often():
    won = np.zeros((2, 3))
    for seed in range(3_000):
        rows, _, _ = solved(np.full((2, 3), 7), [0, 1, 2], ad=[5, 6, 7], seed=seed * 97)
        won[[0, 1], rows] += 1

    assert (abs(won / 3_000 - 1 / 3) < 0.03).all()


def test_a_pair_at_its_floor_is_sold_rather_than_the_slot_left_empty():
    assert solved([[0]], [0]) == ([0], [0], [-1])


def test_a_page_of_nobody_stays_empty():
    assert solved([[NOT_BIDDING], [NOT_BIDDING]], [0]) == ([-1, -1], [0, 0], [-1, -1])
    assert solved(np.zeros((2, 0)), []) == ([-1, -1], [0, 0], [-1, -1])


def net_of(bid, rate, floor):
    """Scores of bids per click: value above the floor, or not bidding."""
    net = bid * rate - floor[:, None]
    return np.where(net >= 0, net, NOT_BIDDING)


def worth_keeping(bid, value, rate, floor, bidder):
    """What the bidder keeps of its true value, in value units, and its click rate."""
    rows, externality, _ = solved(net_of(bid, rate, floor), np.arange(len(bid)))
    if bidder not in rows:
        return 0, 0
    s = rows.index(bidder)
    return int(value * rate[s, bidder] - floor[s] - externality[s]), int(rate[s, bidder])


def test_no_bid_but_the_true_value_keeps_more():
    """Exactly: not by one millionth of a micro, whatever rates and floors are."""
    rng = np.random.default_rng(3)
    for _ in range(400):
        slots, n = int(rng.integers(1, 5)), int(rng.integers(1, 9))
        value = rng.integers(1, 300, n) * 1_000
        rate = rng.integers(1, 10_000, (slots, n))
        floor = rng.integers(0, 2 * 10**8, slots)
        honest, _ = worth_keeping(value, value[0], rate, floor, 0)
        assert honest >= 0
        for factor in (0.3, 0.5, 0.8, 0.95, 1.05, 1.25, 2, 5):
            bid = value.copy()
            bid[0] = int(value[0] * factor)

            kept, _ = worth_keeping(bid, value[0], rate, floor, 0)

            assert kept <= honest


def test_a_raised_bid_never_wins_fewer_clicks():
    rng = np.random.default_rng(4)
    for _ in range(400):
        slots, n = int(rng.integers(1, 5)), int(rng.integers(1, 9))
        bid = rng.integers(1, 300, n)
        rate, floor = rng.integers(1, 50, (slots, n)), rng.integers(0, 5_000, slots)
        clicks = []
        for more in (0, 5, 20, 80, 320):
            raised = bid.copy()
            raised[0] += more
            clicks.append(worth_keeping(raised, 0, rate, floor, 0)[1])

        assert clicks == sorted(clicks)


def test_rows_that_share_any_key_become_one_group():
    group = np.arange(6, dtype=np.int32)

    unite(np.array([4, 9, 4, -1, 7, -1], np.int32), group)  # 0-2
    assert group.tolist() == [0, 1, 0, 3, 4, 5]
    unite(np.array([1, 2, 3, 3, 2, -1], np.int32), group)  # 2-3, 1-4
    assert group.tolist() == [0, 1, 0, 0, 1, 5]
    unite_labels(np.array([0, 0b10, 0, 0, 0, 1 << 63 | 0b10], np.uint64), group)  # 1-5
    assert group.tolist() == [0, 1, 0, 0, 1, 1]


def test_uniting_equals_comparing_all_pairs():
    rng = np.random.default_rng(8)
    for _ in range(100):
        n = int(rng.integers(0, 50))
        keys = [rng.integers(-1, 40, n).astype(np.int32) for _ in range(2)]
        group = np.arange(n, dtype=np.int32)
        for key in keys:
            unite(key, group)

        plain = np.arange(n)
        for _ in range(n):
            for key in keys:
                for one in np.unique(key[key >= 0]):
                    plain[key == one] = plain[key == one].min()
        assert group.tolist() == plain.tolist()
