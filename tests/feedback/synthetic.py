"""A made-up day of decisions and events: small, seeded, with every kind of line in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adserver.records import (
    ClickRecord,
    ConversionRecord,
    DecisionRecord,
    EventRecord,
    Filter,
    ImpressionRecord,
    Record,
    SlotRecord,
    ViewableRecord,
    encode_line,
)
from auction.columns import Rejection

MIDNIGHT_MS = 1_793_491_200_000
"""2026-11-01 00:00 UTC."""
EMPTY = (Rejection.NO_CANDIDATE, Rejection.BELOW_FLOOR, Rejection.FAIRNESS, Rejection.BUDGET)


def day(decisions: int, seed: int, advertisers: int = 40) -> list[Record]:
    """Records in the order in which a worker would log them."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, advertisers + 1)
    share /= share.sum()
    at = np.sort(rng.beta(4, 3, decisions) * 86_400_000).astype(int) + MIDNIGHT_MS
    return [
        record
        for number, moment in enumerate(at)
        for record in _decision(rng, number, int(moment), share)
    ]


def write(records: list[Record], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(map(encode_line, records))


def _decision(
    rng: np.random.Generator, number: int, moment: int, share: np.ndarray
) -> Iterator[Record]:
    slots = tuple(_slot(rng, number, position, share) for position in range(1 + number % 3))
    decision = DecisionRecord(
        t=moment,
        id=f"d{number}",
        slots=slots,
        publisher=f"pub-{number % 4}",
        domain=f"site{number % 7}.example",
        country="USA" if number % 3 else "DEU",
        device="phone" if number % 2 else "desktop",
        took_ms=3.5,
        test=number % 50 == 49,
    )
    yield decision
    for position, slot in enumerate(slots):
        if slot.number:
            yield from _events(rng, decision, position, slot)
    if number % 100 == 7:
        yield ImpressionRecord(t=moment, code=Filter.FORGED)


def _slot(rng: np.random.Generator, number: int, position: int, share: np.ndarray) -> SlotRecord:
    placement = f"page-{number % 5}/slot-{position}"
    if rng.random() < 0.12:
        reason = rng.choice(EMPTY, p=[0.2, 0.5, 0.1, 0.2])
        return SlotRecord(slot=f"s{position}", placement=placement, reason=int(reason))
    advertiser, plain = (int(a) + 1 for a in rng.choice(len(share), 2, p=share))
    per_click = advertiser % 3 == 0
    clear = int(rng.integers(400, 4000)) * 1000
    bid = clear + int(rng.integers(0, 5)) ** 2 * 100_000
    contested = bool(rng.random() < 0.8)
    return SlotRecord(
        slot=f"s{position}",
        placement=placement,
        number=1_000_000 + number * 4 + position,
        ad=advertiser * 100 + number % 9,
        creative=f"cr-{advertiser}",
        line_item=advertiser * 10,
        campaign=advertiser * 2 + number % 2,
        advertiser=advertiser,
        bid_cpm_micros=bid,
        runner_up_ad=7 if contested else 0,
        runner_up_cpm_micros=clear - 10_000 if contested else 0,
        first_price=number % 10 == 0,
        tier=50 if advertiser % 4 else 10,
        deal=advertiser if advertiser % 9 == 0 else 0,
        pricing=int(per_click),
        clear_micros=clear,
        charge_micros=clear // 8 if per_click else clear // 1000,
        reserved_micros=clear // 1000,
        per_click=per_click,
        pctr=0.012,
        plain_advertiser=plain,
        plain_clear_micros=clear + int(rng.integers(-20, 60)) * 1000,
        relaxed=bool(rng.random() < 0.01),
    )


def _events(
    rng: np.random.Generator, decision: DecisionRecord, position: int, slot: SlotRecord
) -> Iterator[EventRecord]:
    if rng.random() > 0.85:
        return
    yield _event(ImpressionRecord, decision, position, slot, Filter.OK)
    if rng.random() < 0.6:
        yield _event(ViewableRecord, decision, position, slot, Filter.OK)
    if rng.random() < 0.02:
        yield _event(ImpressionRecord, decision, position, slot, Filter.DUPLICATE)
    if rng.random() < 0.03:
        late = rng.random() < 0.1
        code = Filter.RELEASED if late and slot.per_click else Filter.OK
        yield _event(ClickRecord, decision, position, slot, code)
        if slot.number % 3 == 0:
            yield _event(ConversionRecord, decision, position, slot, code)


def _event(
    kind: type[EventRecord],
    decision: DecisionRecord,
    position: int,
    slot: SlotRecord,
    code: Filter,
) -> EventRecord:
    billable = kind is (ClickRecord if slot.per_click else ImpressionRecord)
    paid = billable and code is Filter.OK and not decision.test
    return kind(
        t=decision.t + 900,
        code=code,
        decision=decision.id,
        decided=decision.t,
        slot=position,
        number=slot.number,
        ad=slot.ad,
        creative=slot.creative,
        campaign=slot.campaign,
        advertiser=slot.advertiser,
        placement=slot.placement,
        billed_micros=slot.charge_micros if paid else 0,
        test=decision.test,
    )
