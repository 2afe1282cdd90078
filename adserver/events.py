"""What the events of a sale do: verified, counted once, billed, logged.

Knows tokens, tickets, the bank and the log; knows no HTTP. Times are wall milliseconds and come
as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from adserver.bank import Bank
from adserver.books import payers
from adserver.decision import Decision, Outcome
from adserver.eventlog import EventLog, LogFailed
from adserver.features.keeper import Features
from adserver.history import Histories
from adserver.meter import count_key
from adserver.records import (
    DAY_MS,
    ClickRecord,
    ConversionRecord,
    DecisionRecord,
    EventRecord,
    Filter,
    ImpressionRecord,
    SlotRecord,
    ViewableRecord,
)
from adserver.releases.collecting import Collector
from adserver.tickets import Mark, TicketBook, Use
from adserver.tokens import Fault, Kind, Signer, Token, TokenError
from auction.books import Sale
from auction.caps import NONE, Caps, On
from auction.pacing import Goal

MARK = {kind: Mark[kind.name] for kind in Kind}
_RECORD: dict[Kind, type[EventRecord]] = {
    Kind.IMPRESSION: ImpressionRecord,
    Kind.CLICK: ClickRecord,
    Kind.VIEWABLE: ViewableRecord,
    Kind.CONVERSION: ConversionRecord,
}
_GOAL = {
    Kind.IMPRESSION: Goal.IMPRESSIONS,
    Kind.VIEWABLE: Goal.VIEWABLE,
    Kind.CLICK: Goal.CLICKS,
}
CONVERSION_MACRO = "{conversion}"
_FAULT = {
    Fault.MALFORMED: Filter.MALFORMED,
    Fault.FORGED: Filter.FORGED,
    Fault.EXPIRED: Filter.EXPIRED,
}
_USE = {
    Use.FIRST: Filter.OK,
    Use.RELEASED: Filter.RELEASED,
    Use.DUPLICATE: Filter.DUPLICATE,
    Use.GONE: Filter.GONE,
}


@dataclass(frozen=True, slots=True)
class EventSettings:
    hold_s: int = 360
    """A reservation is given back after this: the 300 s that a page has to show an ad, and 60."""
    impression_age_s: int = 600
    """Impressions and viewables later than this are not counted."""
    click_age_s: int = 86_400
    """Clicks later than this are not counted; they still redirect."""
    conversion_age_s: int = 30 * 86_400
    """Conversions later than this after the decision are not counted."""

    def max_age_ms(self, kind: Kind) -> int:
        late = {Kind.CLICK: self.click_age_s, Kind.CONVERSION: self.conversion_age_s}
        return 1000 * late.get(kind, self.impression_age_s)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event."""

    code: Filter
    billed_micros: int = 0
    landing: str = ""
    """Where a click goes; empty unless the token is ours."""
    logged: bool = True
    """False: the log failed, the event did not happen, and the caller may be told so."""


@dataclass(slots=True)
class Turnstile:
    """Lets each event through once. One per worker; the shared parts do the excluding."""

    signer: Signer
    book: TicketBook
    bank: Bank
    log: EventLog
    worker: int
    settings: EventSettings
    histories: Histories
    caps: Caps = NONE
    """Of the snapshot that is served."""
    features: Features | None = None
    """Who counts for the model, if anybody does."""
    trial: Collector | None = None
    """Who counts for the release of models, if anybody does."""

    async def receive(self, kind: Kind, text: str, now_ms: int) -> Receipt:
        """What the event counts and costs; when this returns it is on disk.

        Between using the ticket and the end of the fsync a crash loses the event, never bills it
        twice: whoever sent it got no answer. Events that cost nothing don't wait for the disk.
        """
        found = self.signer.verify(text, kind, now_ms, self.settings.max_age_ms(kind))
        token = found.token if isinstance(found, TokenError) else found
        code, use = self._judge(found, kind)
        billed = 0
        if token and is_billable(token, kind, code):
            billed = self._settle(
                token, 0 if use is Use.RELEASED else token.reserved_micros, now_ms
            )
        if token and code.counts and kind.name in On.__members__:
            self.histories.witness(token, On[kind.name], self.caps, now_ms)
            self._tell_pacing(token, kind)
        if token and code is Filter.OK and not token.test and self.features:
            self.features.witness(kind, token, now_ms)
        if token and code.counts and not token.test and self.trial:
            self.trial.witness(kind, token, billed)
        record = event_record(kind, code, token, now_ms, self.worker, billed)
        landing = self._landing(token, code) if token else ""
        if not code.counts:
            return Receipt(code, landing=landing, logged=self.log.append(record))
        try:
            await self.log.append_durably(record)
        except LogFailed:
            return Receipt(code, landing=landing, logged=False)
        return Receipt(code, billed, landing)

    def _tell_pacing(self, token: Token, kind: Kind) -> None:
        """A line item may have promised so many impressions, viewables or clicks."""
        if not token.test:
            self.bank.tally.deliver(count_key(token.line_item, _GOAL[kind]), 1)

    def _landing(self, token: Token, code: Filter) -> str:
        """Where a click goes; `{conversion}` in it becomes the token that reports a conversion."""
        if CONVERSION_MACRO not in token.landing:
            return token.landing
        clicked = code.counts or code is Filter.DUPLICATE
        proof = self.signer.conversion(replace(token, landing="")) if clicked else ""
        return token.landing.replace(CONVERSION_MACRO, proof)

    def _judge(self, found: Token | TokenError, kind: Kind) -> tuple[Filter, Use]:
        if isinstance(found, TokenError):
            return _FAULT[found.reason], Use.GONE
        use = self.book.use(found.number, MARK[kind])
        if use is Use.TOO_EARLY:
            early = Filter.NO_PRIOR_CLICK if kind is Kind.CONVERSION else Filter.NO_PRIOR_IMP
            return early, use
        if use is Use.RELEASED and (kind is not found.billable or kind is Kind.CONVERSION):
            # it costs nothing anyway; and a conversion may well come after its reservation went
            return Filter.OK, use
        return _USE[use], use

    def _settle(self, token: Token, reserved: int, now_ms: int) -> int:
        owners = (token.advertiser, token.campaign, token.line_item, token.deal)
        sale = Sale(payers(*owners), token.worker, reserved, token.charge_micros)
        return self.bank.settle(sale, now_ms // DAY_MS)


def is_billable(token: Token, kind: Kind, code: Filter) -> bool:
    """An event costs money if it is the kind that was sold, genuine, in time, and no test."""
    return code is Filter.OK and kind is token.billable and not token.test


def event_record(
    kind: Kind, code: Filter, token: Token | None, now_ms: int, worker: int, billed: int
) -> EventRecord:
    if token is None:
        return _RECORD[kind](t=now_ms, code=code, worker=worker)
    return _RECORD[kind](
        t=now_ms,
        code=code,
        worker=worker,
        decision=token.decision,
        decided=token.issued_ms,
        slot=token.slot,
        number=token.number,
        ad=token.ad,
        creative=token.creative,
        campaign=token.campaign,
        advertiser=token.advertiser,
        placement=token.placement,
        billed_micros=billed,
        test=token.test,
        line_item=token.line_item,
        deal=token.deal,
    )


def decision_record(decision: Decision, now_ms: int, worker: int) -> DecisionRecord:
    """The log's line for a decision."""
    request, funnel = decision.request, decision.funnel
    return DecisionRecord(
        t=now_ms,
        id=decision.id,
        slots=tuple(map(_slot_record, decision.outcomes)),
        request=request.id,
        worker=worker,
        publisher=request.publisher,
        domain=request.domain,
        country=request.country,
        device=request.device,
        quality=decision.quality,
        snapshot=decision.snapshot,
        model=decision.model,
        catalogue=funnel.catalogue,
        eligible=funnel.eligible,
        retrieved=funnel.retrieved,
        scored=funnel.scored,
        took_ms=round(decision.took_ms, 3),
        test=request.test,
        rates=request.rates,
    )


def _slot_record(outcome: Outcome) -> SlotRecord:
    slot, sold, second = outcome.slot, outcome.sold, outcome.runner_up
    if sold is None:
        return SlotRecord(
            slot=slot.id,
            placement=slot.placement,
            reason=int(outcome.reason),
            plain_ad=outcome.plain_ad,
            plain_advertiser=outcome.plain_advertiser,
            plain_clear_micros=outcome.plain_clear_micros,
        )
    return SlotRecord(
        slot=slot.id,
        placement=slot.placement,
        number=outcome.number,
        ad=sold.creative.ad_id,
        creative=sold.creative.creative_id,
        line_item=sold.creative.line_item_id,
        campaign=sold.creative.campaign_id,
        advertiser=sold.creative.advertiser_id,
        bid_micros=sold.bid_micros,
        bid_cpm_micros=sold.bid_cpm_micros,
        clear_micros=sold.clear_micros,
        charge_micros=sold.charge_micros,
        reserved_micros=sold.reserved_micros,
        pricing=int(sold.pricing),
        tier=sold.tier,
        full_bid_micros=0 if sold.full_bid_micros == sold.bid_micros else sold.full_bid_micros,
        deal=sold.deal,
        per_click=sold.per_click,
        first_price=sold.first_price,
        pctr=sold.pctr,
        runner_up_ad=second.creative.ad_id if second else 0,
        runner_up_cpm_micros=second.bid_cpm_micros if second else 0,
        plain_ad=outcome.plain_ad,
        plain_advertiser=outcome.plain_advertiser,
        plain_clear_micros=outcome.plain_clear_micros,
        relaxed=outcome.relaxed,
    )
