"""All open slots of a page sold at once (VCG) in plain Python; the oracle of `kernels.joint`.

Tries every assignment, so give it small pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from auction.plain_bidder import Bidder, is_twin, tie_rank

if TYPE_CHECKING:
    from auction.plain import Pair, PlainPage

Worth = tuple[int, int]
"""Score and lots of an assignment: the greater wins."""
Assignment = dict[int, Bidder]


def sell_jointly(page: PlainPage, tier: int, relaxed: bool) -> None:
    while pairs := page.pairs(tier, relaxed):
        market = Market(page, pairs)
        for slot, winner in sorted(market.assignment.items()):
            if (slot, winner.row) in {(t, b.row) for t, b in page.pairs(tier, relaxed)}:
                charge = market.price(slot, winner)
                page.record(slot, winner, market.entrant(winner), charge, relaxed)
                page.make_room(slot, winner, relaxed)


class Market:
    """Who stands where for the greatest total score, and what each costs the others."""

    def __init__(self, page: PlainPage, pairs: list[Pair]) -> None:
        self.page = page
        slots = range(len(page.floors))
        self.lift = max(page.dual_of(t, b) for b in page.bidders for t in slots)
        self.fitting = {t: [b for s, b in pairs if s == t] for t, _ in pairs}
        self.group = groups(page, {b.row: b for _, b in pairs}.values())
        self.worth, self.assignment = self.best(sorted(self.fitting), frozenset())

    def best(self, slots: list[int], taken: frozenset[int]) -> tuple[Worth, Assignment]:
        """Of these slots, to groups that are not taken."""
        if not slots:
            return (0, 0), {}
        slot, others = slots[0], slots[1:]
        top = self.best(others, taken)
        for bidder in self.fitting[slot]:
            group = self.group[bidder.row]
            if group in taken:
                continue
            (score, lots), rest = self.best(others, taken | {group})
            lot = (tie_rank((self.page.seed + slot) % 2**64, bidder.ad) >> 10) + 1
            worth = score + self.score(slot, bidder), lots + lot
            if worth > top[0]:
                top = worth, {slot: bidder, **rest}
        return top

    def score(self, slot: int, bidder: Bidder) -> int:
        """What the row adds above its floor and its dual price, plus one amount for all."""
        above = bidder.unit - self.page.floor_price(slot, bidder)
        return above * bidder.weight[slot] - self.page.dual_of(slot, bidder) + self.lift

    def without(self, winner: Bidder) -> tuple[Worth, Assignment]:
        return self.best(sorted(self.fitting), frozenset({self.group[winner.row]}))

    def price(self, slot: int, winner: Bidder) -> int:
        if self.page.pays_its_bid(winner):
            return winner.unit
        floor = self.page.floor_price(slot, winner)
        if winner.fixed:
            return floor
        externality = self.without(winner)[0][0] - (self.worth[0] - self.score(slot, winner))
        asked = max(0, externality - self.lift + self.page.dual_of(slot, winner))
        return min(winner.unit, floor - (-asked // winner.weight[slot]))

    def entrant(self, winner: Bidder) -> Bidder | None:
        """Who would come onto the page in the winner's stead, if it is of another advertiser."""
        here = {self.group[b.row] for b in self.assignment.values()}
        for bidder in self.without(winner)[1].values():
            if self.group[bidder.row] not in here:
                return bidder if bidder.advertiser != winner.advertiser else None
        return None


def groups(page: PlainPage, bidders: Iterable[Bidder]) -> dict[int, int]:
    """By row: rows that must not stand together, however many lie between them, share a number."""
    group: dict[int, int] = {}
    known: list[Bidder] = []
    for bidder in bidders:
        joined = {group[other.row] for other in known if barred(page, bidder, other)}
        for row, number in group.items():
            group[row] = bidder.row if number in joined else number
        group[bidder.row] = bidder.row
        known.append(bidder)
    return group


def barred(page: PlainPage, one: Bidder, other: Bidder) -> bool:
    kin = page.settings.advertiser_once and one.advertiser == other.advertiser
    return bool(kin or is_twin(one, other) or one.labels & other.labels)
