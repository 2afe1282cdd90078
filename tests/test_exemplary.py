"""Each case in exemplary/ and edge/ is a small auction whose file name is the claim it holds.

A case names a catalog, may change or leave out some of its ads, describes one page, and expects
what is sold and why everything else was not. The general rules are asserted after each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auction_market import RICH, Ad, Request, as_dict, assert_the_rules_hold, columns
from auction_oracle import plain_auction
from numpy.typing import NDArray

from auction.columns import (
    PPM,
    STANDARD_TIER,
    Bids,
    Level,
    PackageKind,
    Rejection,
    Slate,
    Slots,
    account_of,
)
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.plain_exposure import PlainExposure
from auction.settings import AuctionSettings, FairnessSettings, Mode

HERE = Path(__file__).parent
CASES = sorted([*HERE.glob("exemplary/*.json"), *HERE.glob("edge/*.json")])


@dataclass(frozen=True, slots=True)
class Case:
    names: list[str]
    """Of the ads, in the order of the rows."""
    slot_names: list[str]
    bids: Bids
    slots: Slots
    remaining: NDArray[np.int64]
    settings: AuctionSettings
    caps: FairnessSettings | None
    past_winners: list[int]
    """Advertisers of the sales before this page, oldest first."""
    expect: dict[str, Any]


def read_case(path: Path) -> Case:
    case = json.loads(path.read_text())
    ads = json.loads((HERE / "catalogs" / f"{case['catalog']}.json").read_text())["ads"]
    for name, change in case.get("change", {}).items():
        ads[name] = {**ads.get(name, {}), **change}
    names = case.get("ads", list(ads))
    page = case["page"]
    request = Request(
        ads=tuple(read_ad(number, ads[name]) for number, name in enumerate(names, 1)),
        floors=tuple(slot.get("floor_micros", 0) for slot in page["slots"]),
        first_price=page.get("at") == 1,
        seed=page.get("seed", 1),
        private=tuple(slot.get("private", False) for slot in page["slots"]),
    )
    remaining = RICH.copy()
    for campaign, micros in case.get("remaining_micros", {}).items():
        remaining[account_of(Level.CAMPAIGN, int(campaign))] = micros
    caps = case.get("fairness")
    return Case(
        names,
        [slot["id"] for slot in page["slots"]],
        *columns([request]),
        remaining,
        read_settings(case.get("settings", {})),
        FairnessSettings(**caps) if caps else None,
        case.get("past_winners", []),
        case["expect"],
    )


def read_ad(number: int, ad: dict[str, Any]) -> Ad:
    return Ad(
        ad=number,
        advertiser=ad["advertiser"],
        bid=ad["bid_micros"],
        ppm=tuple(round(rate * PPM) for rate in ad["pctr"]) if ad.get("per_click") else (),
        campaign=ad["campaign"],
        creative=ad.get("creative", 0),
        slots=sum(1 << slot for slot in ad.get("fits", range(20))),
        rejected=Rejection[ad["rejected"]] if "rejected" in ad else 0,
        deal=ad.get("deal", -1),
        tier=ad.get("tier", STANDARD_TIER),
        share=ad.get("share", 1),
        weight=read_weight(ad),
        full_bid=ad.get("full_bid_micros", -1),
        floor=ad.get("floor_micros", -1),
        fixed=ad.get("fixed_price", False),
        labels=ad.get("labels", 0),
        package=ad.get("package", 0),
        kind=PackageKind[ad.get("package_kind", "ALL")],
    )


def read_weight(ad: dict[str, Any]) -> tuple[int, ...]:
    if "quality" in ad:
        rates = ad["pctr"] if ad.get("per_click") else [1]
        return tuple(round(rate * ad["quality"] * PPM) for rate in rates)
    return tuple(ad.get("weight_ppm", ()))


def read_settings(settings: dict[str, Any]) -> AuctionSettings:
    modes = {int(tier): Mode[mode] for tier, mode in settings.get("modes", {}).items()}
    return AuctionSettings(**{**settings, "modes": modes})


def outcome(case: Case, slate: Slate) -> dict[str, Any]:
    """The slate in the words of a case."""
    sold, unsold, relaxed = [], {}, []
    for t, slot in enumerate(case.slot_names):
        row = int(slate.winner[t])
        if row < 0:
            unsold[slot] = Rejection(int(slate.reason[t])).name
            continue
        sale = {"slot": slot, "ad": case.names[row], "clear_micros": int(slate.clear_micros[t])}
        if case.bids.per_click[row]:
            sale["per_click_micros"] = int(slate.charge_micros[t])
        if slate.plain_winner[t] != row:
            sale["instead_of"] = case.names[slate.plain_winner[t]]
        sold.append(sale)
        relaxed += [slot] if slate.relaxed[t] else []
    codes = zip(case.names, slate.rejected.tolist(), strict=True)
    rejected = {name: Rejection(code).name for name, code in codes if code != Rejection.WON}
    parts = {"sold": sold, "unsold": unsold, "rejected": rejected, "relaxed": relaxed}
    return {name: part for name, part in parts.items() if part}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_case_holds(path):
    case = read_case(path)
    exposure = Exposure(case.caps) if case.caps else None
    plain = PlainExposure(case.caps) if case.caps else None
    for winner in case.past_winners:
        exposure.remember(winner, value=10**9)
        plain.remember(winner, value=10**9)

    slate = run_auction(case.bids, case.slots, exposure, case.remaining, case.settings)

    assert outcome(case, slate) == case.expect
    assert_the_rules_hold(case.bids, case.slots, slate, case.remaining, case.settings)
    again = plain_auction(case.bids, case.slots, plain, case.remaining, case.settings)
    assert as_dict(again) == as_dict(slate)


def test_every_row_of_the_price_table_has_its_case():
    cited = {tag for path in CASES for tag in json.loads(path.read_text()).get("table", [])}

    assert cited == {f"2P-{number}" for number in range(1, 11)}
