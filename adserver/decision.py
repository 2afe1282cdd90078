"""What a request gets back, whatever the dialect it is answered in."""

from __future__ import annotations

from dataclasses import dataclass, field

from adserver.request import AdRequest, Slot
from auction.columns import STANDARD_TIER, Pricing, Rejection


@dataclass(frozen=True, slots=True)
class Creative:
    """One ad as the page will show it; read from the snapshot only for winners and runners-up."""

    ad_id: int
    creative_id: str
    campaign_id: int
    line_item_id: int
    advertiser_id: int
    advertiser: str
    adomain: str
    category: str
    """IAB category of what is advertised."""
    title: str
    width: int
    height: int
    markup: str
    """HTML with the macros {click} (redirect through us) and {landing} (the advertiser's page)."""
    landing_url: str
    attributes: tuple[int, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Sold:
    """The winner of one slot. Prices in micros."""

    creative: Creative
    bid_micros: int
    per_click: bool
    bid_cpm_micros: int
    """The bid on the common scale: expected micros per thousand impressions."""
    clear_micros: int
    """Price per thousand impressions (expected, for a bid per click)."""
    charge_micros: int
    """Price of one billable event."""
    pctr: float
    first_price: bool
    token: str = ""
    """Signed path parameters of the event URLs are derived from it (adserver.tokens)."""
    reserved_micros: int = 0
    """What the ledger set aside for it: its expected cost."""
    pricing: Pricing = Pricing.CPM
    deal: int = 0
    """Id of the deal it was sold under; 0: the open auction."""
    deal_key: str = ""
    """What the request calls that deal."""
    tier: int = STANDARD_TIER
    full_bid_micros: int = 0
    """The bid before pacing held it back."""
    contract: bool = False
    """Sold in a guaranteed or weighted tier: the winner pays its own bid."""
    fixed_price: bool = False
    """Sold in a deal whose floor is the price."""

    @property
    def basis(self) -> str:
        """How the price came about, in one word."""
        if self.fixed_price:
            return "fixed_price"
        if self.contract:
            return "contract"
        return "first_price" if self.first_price else "second_price"


@dataclass(frozen=True, slots=True)
class RunnerUp:
    creative: Creative
    bid_cpm_micros: int
    pctr: float
    reason: Rejection


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one slot: sold, or empty for exactly one reason."""

    slot: Slot
    sold: Sold | None
    reason: Rejection
    runner_up: RunnerUp | None = None
    number: int = 0
    """The serial number behind the slot's single-use events."""
    plain_ad: int = 0
    plain_advertiser: int = 0
    """Who would have won with fairness off."""
    plain_clear_micros: int = 0
    relaxed: bool = False
    """Sold past the fairness cap, because the slot would have stayed empty."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many ads were left after each step."""

    catalogue: int = 0
    eligible: int = 0
    retrieved: int = 0
    scored: int = 0
    plan: str = ""
    rejected: dict[str, int] = field(default_factory=dict)
    """Rejection name -> ads; filled for no-fill and for explain=summary."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request; always exists, possibly with nothing sold."""

    id: str
    request: AdRequest
    outcomes: tuple[Outcome, ...]
    quality: int
    """0 full model · 1 fewer candidates scored · 2 fallback model · 3 house ad · 4 none."""
    snapshot: int
    model: str
    """Name and version of the click model that decided."""
    funnel: Funnel
    stage_ms: dict[str, float]
    took_ms: float
    arm: str = "production"
    """The model's part in its release: production or canary."""
