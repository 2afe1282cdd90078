"""One row of a page in plain Python, and the lots it draws; half of the oracle of `plain`."""

from __future__ import annotations

from dataclasses import dataclass, field

from auction.columns import PPM, PackageKind, Rejection

WORD = 2**64 - 1
DRAW = 0xA0761D6478BD642F


@dataclass(slots=True)
class Bidder:
    """One row of a page, with the slots (numbers) it may still have."""

    row: int
    ad: int
    creative: int
    advertiser: int
    account: tuple[int, ...]
    unit: int
    """Bid for one billable event."""
    event: list[int]
    """By slot: billable events of a million impressions."""
    weight: list[int]
    """By slot: rank per micro of bid."""
    fits: set[int]
    refused: Rejection
    """Why an earlier stage let it go; WON when it did not."""
    full_unit: int
    """As `unit`, before pacing."""
    tier: int
    share: int
    deal: int
    floor: int | None
    """In place of the slot's, in value units."""
    reserve: int
    fixed: bool
    labels: int
    package: int
    kind: PackageKind
    code: Rejection = Rejection.LOWER_TIER
    allowed: set[int] = field(default_factory=set)
    affords: set[int] = field(default_factory=set)
    passes: set[int] = field(default_factory=set)
    running: bool = False

    def value(self, slot: int) -> int:
        """What one impression is worth, in value units."""
        return self.unit * self.event[slot]

    def rank(self, slot: int) -> int:
        return self.unit * self.weight[slot]

    def cost_of_bid(self, slot: int) -> int:
        return -(-self.value(slot) // PPM)


def is_twin(one: Bidder, other: Bidder) -> bool:
    return one.ad == other.ad or one.creative == other.creative


def shares_number(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Of two accounts or scopes by level: whether one level has the same in both."""
    return any(a == b >= 0 for a, b in zip(one, other, strict=True))


def tie_rank(seed: int, ad: int) -> int:
    """splitmix64 of the request's seed and the ad."""
    x = ((seed ^ (ad * 0x9E3779B97F4A7C15 & WORD)) + 0x9E3779B97F4A7C15) & WORD
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & WORD
    return x ^ (x >> 31)


def draw_key(seed: int, ad: int, share: int) -> int:
    """Of several ads the one with the greatest key wins, each with probability share / sum."""
    return -((minus_log2(tie_rank(seed ^ DRAW, ad) | 1) << 36) // max(1, share))


def minus_log2(u: int) -> int:
    """-log2(u / 2**64) in units of 2**-20, a bit of the fraction at each squaring."""
    top = u.bit_length() - 1
    mantissa, log2 = (u << 63 - top) >> 32, top
    for _ in range(20):
        mantissa = mantissa * mantissa >> 31
        carry = mantissa >> 32
        mantissa, log2 = mantissa >> carry, log2 * 2 + carry
    return (64 << 20) - log2
