"""The same auction one sale at a time, in plain Python: slow, short, and the oracle of the kernel.

Read this to know what the auction does: the tests hold `mechanism.run_auction` equal to it, to the
last micro and the last reason. It knows one page; nothing of columns and batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from auction.columns import MILLE, PPM, Rejection
from auction.plain_bidder import Bidder, draw_key, is_twin, shares_number, tie_rank
from auction.plain_joint import sell_jointly
from auction.plain_packages import sell_packages
from auction.settings import VCG, AuctionSettings, Mode

Pair = tuple[int, Bidder]
ENDLESS = 2**62


@dataclass(slots=True)
class PlainSale:
    winner: Bidder
    runner_up: Bidder | None
    clear: int
    charge: int
    cost: int
    relaxed: bool


@dataclass(slots=True)
class PlainPage:
    """The auction of one page: its floors (value units), its rules, and who is still in."""

    bidders: list[Bidder]
    floors: list[int]
    private: list[bool]
    first_price: bool
    seed: int
    settings: AuctionSettings
    left: list[int]
    """Money by account; sales are taken from it."""
    dual: dict[tuple[int, int], int]
    """By slot and advertiser; none is 0."""
    room: dict[tuple[int, int], int]
    """By slot and advertiser: sales before the hard cap; none is endless."""
    scope: list[tuple[int, ...]]
    """By slot: where its exposure counts."""
    sales: dict[int, PlainSale] = field(default_factory=dict)

    def sell(self, lot: Pair | None = None) -> None:
        """Tier by tier inside the caps; then, past them rather than unfilled, what is left.

        Before all that the slot that goes by lot, to the bidder that was drawn (`plain_lottery`).
        """
        for bidder in self.bidders:
            self.admit(bidder)
        if lot is not None:
            self.sell_by_lot(*lot)
        tiers = sorted({bidder.tier for bidder in self.bidders})
        for tier in tiers:
            self.begin(tier)
            sell_packages(self, tier)
            self.sell_rows(tier, relaxed=False)
        for tier in tiers:
            self.sell_rows(tier, relaxed=True)
        self.tell_lost_to_deals()

    def sell_by_lot(self, slot: int, drawn: Bidder) -> None:
        for bidder in self.bidders:
            if bidder.running and bidder.passes == {slot}:
                bidder.code = Rejection.EXPLORED
        self.record(slot, drawn, None, self.floor_price(slot, drawn), relaxed=False)
        self.make_room(slot, drawn, relaxed=False)

    def admit(self, bidder: Bidder) -> None:
        if bidder.refused:
            bidder.code = bidder.refused
            return
        money = self.money(bidder)
        bidder.allowed = {t for t in bidder.fits if bidder.deal >= 0 or not self.private[t]}
        bidder.affords = {t for t in bidder.allowed if bidder.cost_of_bid(t) <= money}
        bidder.passes = {t for t in bidder.affords if bidder.value(t) >= self.floor(t, bidder)}
        bidder.running = bool(bidder.passes)
        if not bidder.running:
            bidder.code = self.why_out(bidder)

    def why_out(self, bidder: Bidder) -> Rejection:
        if not bidder.fits:
            return Rejection.SIZE
        if not bidder.allowed:
            return Rejection.NOT_IN_DEAL
        if not bidder.affords:
            return Rejection.BUDGET
        return self.why_below(bidder, bidder.affords)

    def why_below(self, bidder: Bidder, slots: set[int]) -> Rejection:
        if any(bidder.full_unit * bidder.event[t] >= self.floor(t, bidder) for t in slots):
            return Rejection.PACING
        return Rejection.BELOW_FLOOR if bidder.deal < 0 else Rejection.BELOW_DEAL_FLOOR

    def floor(self, slot: int, bidder: Bidder) -> int:
        """The deal's in place of the slot's, but its personal reserve if that is higher."""
        floor = self.floors[slot] if bidder.floor is None else bidder.floor
        return max(1, floor, 0 if bidder.fixed else bidder.reserve)

    def money(self, bidder: Bidder) -> int:
        """The least of its accounts; one that the ledger does not know has none."""
        known = [a for a in bidder.account if a >= 0]
        least = min((self.left[a] if a < len(self.left) else 0 for a in known), default=ENDLESS)
        return max(0, least)

    def begin(self, tier: int) -> None:
        """Say what becomes of the tier's rows if nothing else does, while they have a chance."""
        for bidder in self.bidders:
            if bidder.tier != tier or not self.chances(bidder):
                continue
            bidder.code = Rejection.ROADBLOCK if bidder.package else Rejection.OUTBID
            if not any(self.within_cap(t, bidder) for t in self.chances(bidder)):
                bidder.code = Rejection.FAIRNESS

    def chances(self, bidder: Bidder) -> set[int]:
        return bidder.passes & self.open_slots() if bidder.running else set()

    def open_slots(self) -> set[int]:
        return set(range(len(self.floors))) - set(self.sales)

    def sell_rows(self, tier: int, relaxed: bool) -> None:
        for _, bidder in self.pairs(tier, relaxed):
            bidder.code = Rejection.OUTBID
        if self.settings.mechanism == VCG and self.mode(tier) is Mode.AUCTION:
            sell_jointly(self, tier, relaxed)
        else:
            self.sell_one_by_one(tier, relaxed)

    def sell_one_by_one(self, tier: int, relaxed: bool) -> None:
        while pairs := self.pairs(tier, relaxed):
            slot, winner = max(pairs, key=self.order)
            rivals = [(t, b) for t, b in pairs if t == slot and b.advertiser != winner.advertiser]
            runner_up = max(rivals, key=self.order)[1] if rivals else None
            self.record(slot, winner, runner_up, self.price(slot, winner, runner_up), relaxed)
            self.make_room(slot, winner, relaxed)

    def pairs(self, tier: int, relaxed: bool) -> list[Pair]:
        return [
            (t, b)
            for b in self.bidders
            if b.tier == tier and not b.package
            for t in self.chances(b)
            if relaxed or self.within_cap(t, b)
        ]

    def order(self, pair: Pair) -> tuple[int, int, int, int]:
        """Score, then the earlier slot, then the ad's rank by lot, then the earlier row."""
        slot, bidder = pair
        return self.score(slot, bidder), -slot, tie_rank(self.seed, bidder.ad), -bidder.row

    def score(self, slot: int, bidder: Bidder) -> int:
        """By what the rows of a tier are compared."""
        mode = self.mode(bidder.tier)
        if mode is Mode.AUCTION:
            return bidder.rank(slot) - self.dual_of(slot, bidder)
        if mode is Mode.GUARANTEED:
            return bidder.share
        return draw_key(self.seed, bidder.ad, bidder.share)

    def mode(self, tier: int) -> Mode:
        return self.settings.modes.get(tier, Mode.AUCTION)

    def dual_of(self, slot: int, bidder: Bidder) -> int:
        return self.dual.get((slot, bidder.advertiser), 0) if self.competes(bidder) else 0

    def room_of(self, slot: int, bidder: Bidder) -> int:
        room = self.room.get((slot, bidder.advertiser), ENDLESS)
        return room if self.competes(bidder) else ENDLESS

    def competes(self, bidder: Bidder) -> bool:
        """Fairness is about auctions: what another tier promises, it delivers."""
        return self.mode(bidder.tier) is Mode.AUCTION

    def within_cap(self, slot: int, bidder: Bidder) -> bool:
        return self.room_of(slot, bidder) > 0

    def price(self, slot: int, winner: Bidder, runner_up: Bidder | None) -> int:
        """For one billable event: the least bid that would still have won, and the increment.

        The runner-up's score is turned into a price by the winner's own weight.
        """
        if self.pays_its_bid(winner):
            return winner.unit
        floor = self.floor_price(slot, winner)
        if runner_up is None or winner.fixed:
            return floor
        asked = self.score(slot, runner_up) + self.dual_of(slot, winner)
        weight, event = winner.weight[slot], winner.event[slot]
        step = self.settings.increment_micros * MILLE
        critical = -(-(asked * event + step * weight) // (weight * event))
        return min(winner.unit, max(floor, critical))

    def pays_its_bid(self, winner: Bidder) -> bool:
        auctioned = self.mode(winner.tier) is Mode.AUCTION and not self.first_price
        return not auctioned and not winner.fixed

    def floor_price(self, slot: int, bidder: Bidder) -> int:
        return -(-self.floor(slot, bidder) // bidder.event[slot])

    def record(
        self, slot: int, winner: Bidder, runner_up: Bidder | None, charge: int, relaxed: bool
    ) -> None:
        event = winner.event[slot]
        cost = -(-charge * event // PPM)
        clear = charge * event // MILLE
        self.sales[slot] = PlainSale(winner, runner_up, clear, charge, cost, relaxed)
        self.take_off(winner, cost)
        winner.running, winner.code = False, Rejection.WON

    def take_off(self, bidder: Bidder, micros: int) -> None:
        for account in bidder.account:
            if account >= 0:
                self.left[account] -= micros

    def make_room(self, slot: int, winner: Bidder, relaxed: bool) -> None:
        """Take out what may not stand beside the winner, or can no longer pay."""
        for other_slot, scope in enumerate(self.scope):
            joined = other_slot == slot or shares_number(scope, self.scope[slot])
            if joined and (other_slot, winner.advertiser) in self.room:
                self.room[other_slot, winner.advertiser] -= 1
        for other in self.bidders:
            if other.running:
                self.meet(winner, other, relaxed)

    def meet(self, winner: Bidder, other: Bidder, relaxed: bool) -> None:
        kin = other.advertiser == winner.advertiser
        if is_twin(winner, other):
            self.bar(other, Rejection.DUPLICATE)
        elif winner.labels & other.labels or (kin and self.settings.advertiser_once):
            self.bar(other, Rejection.EXCLUSION)
        elif shares_number(other.account, winner.account):
            self.check_budget(other)
        chances = self.chances(other)
        inside = any(self.within_cap(slot, other) for slot in chances)
        if kin and chances and not relaxed and not inside:
            other.code = Rejection.FAIRNESS

    def bar(self, bidder: Bidder, code: Rejection) -> None:
        """Out of the page; with no slot open to it any more it keeps the code it had."""
        if self.chances(bidder):
            bidder.code = code
        bidder.running = False

    def check_budget(self, bidder: Bidder) -> None:
        chances = self.chances(bidder)
        too_dear = {t for t in chances if bidder.cost_of_bid(t) > self.money(bidder)}
        bidder.passes -= too_dear
        bidder.affords -= too_dear
        if chances and chances == too_dear:
            bidder.running, bidder.code = False, Rejection.BUDGET

    def tell_lost_to_deals(self) -> None:
        deals = {t for t, sale in self.sales.items() if sale.winner.deal >= 0}
        for bidder in self.bidders:
            open_bid = bidder.code is Rejection.OUTBID and bidder.deal < 0
            if open_bid and bidder.passes <= deals:
                bidder.code = Rejection.LOST_TO_DEAL

    def why_unsold(self, slot: int) -> Rejection:
        """What kept the best bidder that holds no other slot of the page from taking this one."""
        fitting = [b for b in self.bidders if slot in b.fits]
        losers = [b for b in fitting if b.code]
        if not losers:
            return Rejection.DUPLICATE if fitting else Rejection.NO_CANDIDATE
        best = max(losers, key=lambda b: (b.value(slot), tie_rank(self.seed, b.ad), -b.row))
        if best.refused:
            return best.refused
        if slot not in best.allowed:
            return Rejection.NOT_IN_DEAL
        if slot not in best.affords:
            return Rejection.BUDGET
        if slot not in best.passes:
            return self.why_below(best, {slot})
        return best.code
