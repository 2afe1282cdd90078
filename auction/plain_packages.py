"""Roadblocks and companions on a page in plain Python; the oracle of `kernels.packages`."""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from typing import TYPE_CHECKING

from auction.columns import PackageKind, Rejection
from auction.plain_bidder import Bidder, draw_key, is_twin, tie_rank
from auction.settings import Mode

if TYPE_CHECKING:
    from auction.plain import PlainPage

Offer = dict[int, Bidder]
"""The row of a package in each slot that it would take."""
PART = 24


def sell_packages(page: PlainPage, tier: int) -> None:
    """While one package is worth more than the single rows it displaces, the best of them wins."""
    while page.open_slots():
        rivals = sold_to_single_rows(page, tier)
        offers = [
            offer for number in packages(page, tier) if (offer := offered(page, number, tier))
        ]
        better = [offer for offer in offers if beats(page, offer, rivals)]
        if not better:
            return
        seat(page, max(better, key=lambda offer: standing(page, offer)), rivals)


def packages(page: PlainPage, tier: int) -> list[int]:
    return sorted({b.package for b in page.bidders if b.package and b.running and b.tier == tier})


def sold_to_single_rows(page: PlainPage, tier: int) -> Offer:
    """Who would win which open slot if there were no packages."""
    trial = deepcopy(page)
    trial.sell_rows(tier, relaxed=False)
    own = {bidder.row: bidder for bidder in page.bidders}
    return {t: own[sale.winner.row] for t, sale in trial.sales.items() if t not in page.sales}


def offered(page: PlainPage, number: int, tier: int) -> Offer | None:
    """The slots of a package, if it finds those its kind asks for, the money and the room."""
    everyone = [b for b in page.bidders if b.package == number]
    runners = [b for b in everyone if b.running and b.tier == tier]
    offer = matched(page, members(page, runners))
    kind = everyone[-1].kind
    wanted = {PackageKind.ALL: len(page.floors), PackageKind.SET: len(everyone)}.get(kind, 2)
    if len(offer) < wanted:
        return None
    inside = all(page.room_of(t, b) >= len(offer) for t, b in offer.items())
    if inside and can_pay(page, offer):
        return offer
    for bidder in runners:
        bidder.code = Rejection.BUDGET if inside else Rejection.FAIRNESS
    return None


def members(page: PlainPage, runners: list[Bidder]) -> list[Bidder]:
    """Rows that may stand somewhere, best first; of twins only the better."""
    useful = [bidder for bidder in runners if usable(page, bidder)]
    best = {b.row: max(page.score(t, b) for t in usable(page, b)) for b in useful}
    useful.sort(key=lambda b: (-best[b.row], -tie_rank(page.seed, b.ad), b.row))
    kept: list[Bidder] = []
    for bidder in useful:
        if not any(is_twin(bidder, other) for other in kept):
            kept.append(bidder)
    return kept


def usable(page: PlainPage, bidder: Bidder) -> set[int]:
    return {t for t in page.chances(bidder) if page.within_cap(t, bidder)}


def matched(page: PlainPage, rows: list[Bidder]) -> Offer:
    """As many slots as can be filled at once: Kuhn's algorithm, shortest path first."""
    offer: Offer = {}
    for start in sorted(page.open_slots()):
        reached: dict[int, int] = {}
        queue = deque([start])
        while queue:
            free = reach(page, rows, offer, reached, queue)
            if free is not None:
                move(rows, offer, reached, free)
                break
    return offer


def reach(
    page: PlainPage, rows: list[Bidder], offer: Offer, reached: dict[int, int], queue: deque[int]
) -> int | None:
    """Follow one slot to the rows that could stand there; a row that stands nowhere, if any."""
    slot = queue.popleft()
    holds = {bidder.row: t for t, bidder in offer.items()}
    fitting = [m for m, b in enumerate(rows) if m not in reached and slot in usable(page, b)]
    for m in sorted(fitting, key=lambda m: (-page.score(slot, rows[m]), m)):
        reached[m] = slot
        if rows[m].row not in holds:
            return m
        queue.append(holds[rows[m].row])
    return None


def move(rows: list[Bidder], offer: Offer, reached: dict[int, int], free: int) -> None:
    place = {bidder.row: m for m, bidder in enumerate(rows)}
    m: int | None = free
    while m is not None:
        slot = reached[m]
        before = offer.get(slot)
        offer[slot] = rows[m]
        m = place[before.row] if before else None


def can_pay(page: PlainPage, offer: Offer) -> bool:
    """Whether the accounts could pay all bids of the package, one after the other."""
    left = list(page.left)
    try:
        for slot, bidder in sorted(offer.items()):
            if bidder.cost_of_bid(slot) > page.money(bidder):
                return False
            page.take_off(bidder, bidder.cost_of_bid(slot))
    finally:
        page.left[:] = left
    return True


def standing(page: PlainPage, offer: Offer) -> tuple[int, int]:
    """The package's score, and the lot of its lowest ad, which draws for all in a weighted tier."""
    lowest = min(offer.values(), key=lambda b: b.ad)
    worth = sum(page.score(t, b) for t, b in offer.items())
    if page.mode(lowest.tier) is Mode.WEIGHTED:
        worth = draw_key(page.seed, lowest.ad, lowest.share)
    return worth, tie_rank(page.seed, lowest.ad)


def beats(page: PlainPage, offer: Offer, rivals: Offer) -> bool:
    displaced = [page.score(t, rivals[t]) for t in offer if t in rivals]
    tier = next(iter(offer.values())).tier
    total = max if page.mode(tier) is Mode.WEIGHTED else sum
    return not displaced or standing(page, offer)[0] > total(displaced)


def seat(page: PlainPage, offer: Offer, rivals: Offer) -> None:
    """Sell all slots of the package at one part of its bids, then make room for each row."""
    part = part_to_pay(page, offer, rivals)
    for slot, winner in sorted(offer.items()):
        rival = rivals.get(slot)
        if rival is not None and rival.advertiser == winner.advertiser:
            rival = None
        charge = winner.unit
        if not page.pays_its_bid(winner):
            asked = 0 if winner.fixed else -(-winner.unit * part >> PART)
            charge = min(charge, max(page.floor_price(slot, winner), asked))
        page.record(slot, winner, rival, charge, relaxed=False)
    for slot, winner in sorted(offer.items()):
        page.make_room(slot, winner, relaxed=False)


def part_to_pay(page: PlainPage, offer: Offer, rivals: Offer) -> int:
    """What other advertisers displaced is worth, of what the package ranks, in 2**-PART."""
    displaced = {
        t: rivals[t]
        for t, b in offer.items()
        if t in rivals and rivals[t].advertiser != b.advertiser
    }
    asked = sum(page.score(t, b) for t, b in displaced.items())
    asked += sum(page.dual_of(t, b) for t, b in offer.items())
    own = sum(b.rank(t) for t, b in offer.items())
    if not displaced or asked <= 0:
        return 0
    return min(1 << PART, -(-(asked << PART) // own))
