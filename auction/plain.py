"""The same auction one sale at a time, in plain Python: slow, short, and the oracle of the kernel.

Read this to know what the auction does: the tests hold `mechanism.run_auction` equal to it, to the
last micro and the last reason. It knows one page; nothing of columns and batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from auction.columns import MILLE, PPM, Rejection
from auction.settings import AuctionSettings

Pair = tuple[int, "Bidder"]
ENDLESS = 2**62


@dataclass(slots=True)
class Bidder:
    """One row of a page, with the slots (numbers) it may still have."""

    row: int
    ad: int
    creative: int
    advertiser: int
    account: tuple[int, ...]
    value: dict[int, int]
    """By slot that it fits: what one impression is worth, in value units."""
    ppm: list[int] | None
    """Click rate by slot of a bid per click."""
    refused: Rejection
    """Why an earlier stage let it go; WON when it did not."""
    code: Rejection = Rejection.OUTBID
    affords: set[int] = field(default_factory=set)
    passes: set[int] = field(default_factory=set)
    running: bool = False


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

    def sell(self) -> None:
        for bidder in self.bidders:
            self.admit(bidder)
        while pairs := self.open_pairs():
            inside = [pair for pair in pairs if self.within_cap(*pair)]
            if inside:
                self.sell_next(inside, relaxed=False)
                continue
            for _, bidder in pairs:  # past the cap rather than unfilled
                bidder.code = Rejection.OUTBID
            self.sell_next(pairs, relaxed=True)

    def sell_next(self, pairs: list[Pair], relaxed: bool) -> None:
        slot, winner = max(pairs, key=self.order)
        rivals = [(t, b) for t, b in pairs if t == slot and b.advertiser != winner.advertiser]
        runner_up = max(rivals, key=self.order)[1] if rivals else None
        self.sales[slot] = self.sale(slot, winner, runner_up, relaxed)
        for account in winner.account:
            if account >= 0:
                self.left[account] -= self.sales[slot].cost
        self.make_room(slot, winner, relaxed)

    def admit(self, bidder: Bidder) -> None:
        if bidder.refused:
            bidder.code = bidder.refused
            return
        money = self.money(bidder)
        bidder.affords = {t for t, value in bidder.value.items() if -(-value // PPM) <= money}
        bidder.passes = {t for t in bidder.affords if bidder.value[t] >= max(1, self.floors[t])}
        bidder.running = bool(bidder.passes)
        if not bidder.value:
            bidder.code = Rejection.SIZE
        elif not bidder.affords:
            bidder.code = Rejection.BUDGET
        elif not bidder.passes:
            bidder.code = Rejection.BELOW_FLOOR
        elif not any(self.within_cap(slot, bidder) for slot in bidder.passes):
            bidder.code = Rejection.FAIRNESS

    def money(self, bidder: Bidder) -> int:
        """The least of its accounts; one that the ledger does not know has none."""
        known = [a for a in bidder.account if a >= 0]
        least = min((self.left[a] if a < len(self.left) else 0 for a in known), default=ENDLESS)
        return max(0, least)

    def open_pairs(self) -> list[Pair]:
        return [(t, b) for b in self.bidders if b.running for t in self.chances(b)]

    def is_open(self, slot: int) -> bool:
        return slot not in self.sales

    def within_cap(self, slot: int, bidder: Bidder) -> bool:
        return self.room.get((slot, bidder.advertiser), 1) > 0

    def score(self, slot: int, bidder: Bidder) -> int:
        return bidder.value[slot] - self.dual.get((slot, bidder.advertiser), 0)

    def order(self, pair: Pair) -> tuple[int, int, int, int]:
        """Score, then the earlier slot, then the ad's rank by lot, then the earlier row."""
        slot, bidder = pair
        return self.score(slot, bidder), -slot, tie_rank(self.seed, bidder.ad), -bidder.row

    def sale(self, slot: int, winner: Bidder, runner_up: Bidder | None, relaxed: bool) -> PlainSale:
        critical = winner.value[slot]
        if not self.first_price:
            asked = self.floors[slot]
            if runner_up is not None:
                dual = self.dual.get((slot, winner.advertiser), 0)
                step = self.settings.increment_micros * MILLE
                asked = max(asked, self.score(slot, runner_up) + dual + step)
            critical = min(critical, asked)
        if winner.ppm is None:
            charge = -(-critical // PPM)
            return PlainSale(winner, runner_up, charge * MILLE, charge, charge, relaxed)
        ppm = winner.ppm[slot]
        charge = -(-critical // ppm)
        cost = -(-charge * ppm // PPM)
        return PlainSale(winner, runner_up, charge * ppm // MILLE, charge, cost, relaxed)

    def make_room(self, slot: int, winner: Bidder, relaxed: bool) -> None:
        """Take out what may not stand beside the winner, or can no longer pay."""
        winner.running, winner.code = False, Rejection.WON
        for other_slot, scope in enumerate(self.scope):
            joined = other_slot == slot or shares_number(scope, self.scope[slot])
            if joined and (other_slot, winner.advertiser) in self.room:
                self.room[other_slot, winner.advertiser] -= 1
        for other in self.bidders:
            if other.running and other.advertiser == winner.advertiser:
                self.meet_kin(winner, other, relaxed)
            elif other.running:
                self.meet(winner, other)

    def meet_kin(self, winner: Bidder, other: Bidder, relaxed: bool) -> None:
        if self.settings.advertiser_once and not is_twin(winner, other):
            self.bar(other, Rejection.EXCLUSION)
            return
        self.meet(winner, other)
        open_to = self.chances(other)
        inside = any(self.within_cap(slot, other) for slot in open_to)
        if other.running and not relaxed and open_to and not inside:
            other.code = Rejection.FAIRNESS

    def meet(self, winner: Bidder, other: Bidder) -> None:
        if is_twin(winner, other):
            self.bar(other, Rejection.DUPLICATE)
        elif shares_number(other.account, winner.account):
            self.check_budget(other)

    def bar(self, bidder: Bidder, code: Rejection) -> None:
        """Out of the page; with no slot open to it any more it was simply outbid."""
        bidder.running = False
        if self.chances(bidder):
            bidder.code = code

    def check_budget(self, bidder: Bidder) -> None:
        chances = self.chances(bidder)
        too_dear = {t for t in chances if -(-bidder.value[t] // PPM) > self.money(bidder)}
        bidder.passes -= too_dear
        bidder.affords -= too_dear
        if chances and chances == too_dear:
            bidder.running, bidder.code = False, Rejection.BUDGET

    def chances(self, bidder: Bidder) -> set[int]:
        return {t for t in bidder.passes if self.is_open(t)}

    def why_unsold(self, slot: int) -> Rejection:
        """What kept the best bidder that holds no other slot of the page from taking this one."""
        fitting = [b for b in self.bidders if slot in b.value]
        losers = [b for b in fitting if b.code]
        if not losers:
            return Rejection.DUPLICATE if fitting else Rejection.NO_CANDIDATE
        best = max(losers, key=lambda b: (b.value[slot], tie_rank(self.seed, b.ad), -b.row))
        if best.refused:
            return best.refused
        if slot not in best.affords:
            return Rejection.BUDGET
        if slot not in best.passes:
            return Rejection.BELOW_FLOOR
        return best.code


def is_twin(one: Bidder, other: Bidder) -> bool:
    return one.ad == other.ad or one.creative == other.creative


def shares_number(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Of two accounts or scopes by level: whether one level has the same in both."""
    return any(a == b >= 0 for a, b in zip(one, other, strict=True))


def tie_rank(seed: int, ad: int) -> int:
    """splitmix64 of the request's seed and the ad."""
    word = 2**64 - 1
    x = ((seed ^ (ad * 0x9E3779B97F4A7C15 & word)) + 0x9E3779B97F4A7C15) & word
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & word
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & word
    return x ^ (x >> 31)
