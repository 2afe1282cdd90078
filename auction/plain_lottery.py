"""Which bidders a slot's lot could fall on, and on whom it falls.

The oracle of `kernels.exploring`.
"""

from __future__ import annotations

from auction.plain import PlainPage
from auction.plain_bidder import Bidder, tie_rank
from auction.settings import Mode

LOT = 0xD6E8FEB86659FD93


def could_be_drawn(page: PlainPage) -> list[list[Bidder]]:
    """By slot of a page that nothing has been sold on, in the order of rows.

    Nobody, where the best tier holds contracts, deals or packages, or bids are first prices.
    """
    for bidder in page.bidders:
        page.admit(bidder)
    running = [bidder for bidder in page.bidders if bidder.running]
    best = min((bidder.tier for bidder in running), default=0)
    first = [bidder for bidder in running if bidder.tier == best]
    special = any(bidder.deal >= 0 or bidder.package for bidder in first)
    if special or page.first_price or page.mode(best) is not Mode.AUCTION:
        first = []
    slots = range(len(page.floors))
    return [[b for b in first if slot in b.passes and page.within_cap(slot, b)] for slot in slots]


def drawn_slot(could: list[list[Bidder]], seed: int) -> int:
    """Of the slots that somebody could be drawn for, each as likely as any other; -1: none."""
    slots = [slot for slot, bidders in enumerate(could) if bidders]
    return slots[tie_rank(seed ^ LOT, len(could)) % len(slots)] if slots else -1


def drawn(could: list[Bidder], slot: int, seed: int) -> Bidder | None:
    """Each as likely as any other."""
    return could[tie_rank(seed ^ LOT, slot) % len(could)] if could else None
