import asyncio
from dataclasses import dataclass, replace

import numpy as np
import pytest

from adserver.decision import Creative, Decision, Funnel, Outcome, Sold
from adserver.eventlog import EventLog, LogSettings, read
from adserver.events import EventSettings, Receipt, Turnstile, decision_record
from adserver.history import Histories
from adserver.holds import Hold, Holds, rebuild, restore, unsettled
from adserver.moneybox import Moneybox
from adserver.records import DAY_MS, Filter
from adserver.request import AdRequest, Slot
from adserver.seen import HistorySettings
from adserver.state.memory import MemoryStore
from adserver.tickets import BLOCK, TicketBook
from adserver.tokens import Kind, Token, event_token, signer_of
from auction.columns import Pricing, Rejection

NOW = 1_793_500_000_000
DAY = NOW // DAY_MS
SETTINGS = EventSettings()
CAMPAIGN = 7
LIMIT = 10_000


@dataclass
class Worker:
    """One worker's share of the money, the tickets and the log, in a folder of its own."""

    turnstile: Turnstile
    holds: Holds

    def sell(self, per_click=False, test=False):
        """Reserve, hand out a ticket, log: what a decision does for a sold slot."""
        book, ledger = self.turnstile.book, self.turnstile.ledger
        charge, reserved = (5000, 100) if per_click else (1000, 1000)
        sold = replace(SOLD, charge_micros=charge, per_click=per_click, reserved_micros=reserved)
        outcome = Outcome(SLOT, sold, Rejection.WON, number=book.take())
        decision = replace(DECISION, request=replace(REQUEST, test=test), outcomes=(outcome,))
        if not test:
            ledger.reserve(np.array([CAMPAIGN]), np.array([reserved]))
            self.holds.add(
                Hold(NOW + SETTINGS.hold_s * 1000, outcome.number, CAMPAIGN, reserved, per_click)
            )
        self.turnstile.log.append(decision_record(decision, NOW, 0))
        return self.turnstile.signer.sign(sale_token(decision.id, 0, outcome, sold, NOW, test))

    def receive(self, kind, signed, now=NOW):
        text = event_token(signed, kind)
        return asyncio.run(self.turnstile.receive(kind, text, now))

    def money(self):
        ledger = self.turnstile.ledger
        return int(ledger.spent[CAMPAIGN]), int(ledger.reserved[CAMPAIGN])


SLOT = Slot("top", "news/top")
CREATIVE = Creative(
    1, "cr-1", CAMPAIGN, 3, 4, "Acme", "acme.example", "", "", 1, 1, "", "https://acme.example/"
)
SOLD = Sold(CREATIVE, 2_000_000, False, 2_000_000, 1_000_000, 1000, 0.01, False)
REQUEST = AdRequest("r1", (SLOT,))
DECISION = Decision("d1", REQUEST, (), 0, 1, "ctr:1", Funnel(), {}, 1.0)


@pytest.fixture
def worker(tmp_path):
    box = Moneybox(tmp_path / "money")
    ledger = box.ledger(100)
    box.turn_to(DAY, ledger)
    ledger.set_limit(CAMPAIGN, LIMIT)
    log = EventLog(tmp_path / "events", 0, lambda: NOW / 1000, LogSettings(linger_ms=1))
    with TicketBook(tmp_path / "tickets", 2 * BLOCK, NOW) as book:
        histories = Histories(MemoryStore(), b"x" * 32, HistorySettings())
        turnstile = Turnstile(signer_of("k" * 32), book, box, ledger, log, 0, SETTINGS, histories)
        yield Worker(turnstile, Holds(book, box, ledger))
        assert not ledger.check()
        log.close()
    box.close()


def sale_token(
    decision: str, slot: int, outcome: Outcome, sold: Sold, issued_ms: int, test: bool
) -> Token:
    """What the event URLs of a sold slot prove; sign it into `Sold.token`."""
    creative = sold.creative
    return Token(
        decision=decision,
        slot=slot,
        number=outcome.number,
        ad=creative.ad_id,
        creative=creative.creative_id,
        campaign=creative.campaign_id,
        advertiser=creative.advertiser_id,
        placement=outcome.slot.placement,
        issued_ms=issued_ms,
        charge_micros=sold.charge_micros,
        clear_micros=sold.clear_micros,
        reserved_micros=sold.reserved_micros,
        pricing=Pricing.CPC if sold.per_click else Pricing.CPM,
        test=test,
        landing=creative.landing_url,
    )


def test_an_impression_bid_pays_for_the_impression_once(worker):
    signed = worker.sell()

    first = worker.receive(Kind.IMPRESSION, signed)
    again = worker.receive(Kind.IMPRESSION, signed)
    click = worker.receive(Kind.CLICK, signed)

    assert first == Receipt(Filter.OK, billed_micros=1000)
    assert again == Receipt(Filter.DUPLICATE)
    assert click == Receipt(Filter.OK, landing="https://acme.example/")
    assert worker.money() == (1000, 0)


def test_a_click_bid_pays_for_the_click(worker):
    signed = worker.sell(per_click=True)

    shown = worker.receive(Kind.IMPRESSION, signed)
    assert (shown, worker.money()) == (Receipt(Filter.OK), (0, 100))

    click = worker.receive(Kind.CLICK, signed)
    assert click == Receipt(Filter.OK, 5000, "https://acme.example/")
    assert worker.money() == (5000, 0)


def test_a_click_costs_at_most_what_is_left_of_the_day(worker):
    sales = [worker.sell(per_click=True) for _ in range(3)]

    for signed in sales:
        worker.receive(Kind.IMPRESSION, signed)
    billed = [worker.receive(Kind.CLICK, signed).billed_micros for signed in sales]

    assert sum(billed) <= LIMIT
    assert worker.money() == (sum(billed), 0)


def test_a_click_without_an_impression_is_free_but_goes_where_it_should(worker):
    receipt = worker.receive(Kind.CLICK, worker.sell(per_click=True))

    assert receipt == Receipt(Filter.NO_PRIOR_IMP, landing="https://acme.example/")
    assert worker.money() == (0, 100)


def test_a_late_click_still_goes_where_it_should(worker):
    late = NOW + SETTINGS.click_age_s * 1000 + 1

    receipt = worker.receive(Kind.CLICK, worker.sell(), late)

    assert receipt == Receipt(Filter.EXPIRED, landing="https://acme.example/")


def test_a_forged_click_goes_nowhere(worker):
    forged = signer_of("another-key-another-key").sign(
        sale_token(DECISION.id, 0, Outcome(SLOT, SOLD, Rejection.WON), SOLD, NOW, test=False)
    )

    assert worker.receive(Kind.CLICK, forged) == Receipt(Filter.FORGED)


def test_a_conversion_counts_once_after_a_click_and_only_the_landing_page_can_report_it(worker):
    landing = replace(CREATIVE, landing_url="https://acme.example/?proof={conversion}")
    outcome = Outcome(SLOT, SOLD, Rejection.WON, number=worker.turnstile.book.take())
    sold = replace(SOLD, creative=landing)
    signed = worker.turnstile.signer.sign(sale_token("d1", 0, outcome, sold, NOW, test=False))

    early = worker.receive(Kind.CLICK, signed)
    worker.receive(Kind.IMPRESSION, signed)
    clicked = worker.receive(Kind.CLICK, signed)
    again = worker.receive(Kind.CLICK, signed)
    proof = clicked.landing.partition("=")[2]
    month = NOW + SETTINGS.conversion_age_s * 1000
    codes = [
        asyncio.run(worker.turnstile.receive(Kind.CONVERSION, proof, now)).code
        for now in (month, month, month + 1)
    ]

    assert early.landing == "https://acme.example/?proof="
    assert again.landing == clicked.landing
    assert codes == [Filter.OK, Filter.DUPLICATE, Filter.EXPIRED]


def test_test_traffic_takes_the_whole_path_and_costs_nothing(worker):
    signed = worker.sell(test=True)

    assert worker.receive(Kind.IMPRESSION, signed) == Receipt(Filter.OK)
    assert worker.money() == (0, 0)


def test_money_comes_back_when_nothing_was_shown_and_a_late_impression_is_free(worker):
    signed = worker.sell()
    due = NOW + SETTINGS.hold_s * 1000

    assert worker.holds.release_due(due - 1) == 0
    assert worker.holds.release_due(due) == 1
    assert worker.money() == (0, 0)
    assert worker.receive(Kind.IMPRESSION, signed, due) == Receipt(Filter.RELEASED)
    assert worker.money() == (0, 0)


def test_settled_money_is_not_given_back(worker):
    worker.receive(Kind.IMPRESSION, worker.sell())

    assert worker.holds.release_due(NOW + DAY_MS) == 0
    assert worker.money() == (1000, 0)
    assert len(worker.holds) == 0


def test_a_click_bid_that_was_only_shown_gives_its_money_back(worker):
    worker.receive(Kind.IMPRESSION, worker.sell(per_click=True))

    assert worker.holds.release_due(NOW + DAY_MS) == 1
    assert worker.money() == (0, 0)


def test_a_new_day_begins_with_nothing_spent_and_keeps_reservations(worker):
    worker.receive(Kind.IMPRESSION, worker.sell())
    open_sale = worker.sell(per_click=True)
    worker.receive(Kind.IMPRESSION, open_sale)
    midnight = (DAY + 1) * DAY_MS

    receipt = worker.receive(Kind.CLICK, open_sale, midnight)

    assert receipt.billed_micros == 5000
    assert worker.money() == (5000, 0)


def test_the_log_alone_rebuilds_the_money(worker, tmp_path):
    worker.receive(Kind.IMPRESSION, worker.sell())
    clicked = worker.sell(per_click=True)
    worker.receive(Kind.IMPRESSION, clicked)
    worker.receive(Kind.CLICK, clicked)
    worker.sell()
    worker.sell(test=True)
    before = worker.money()
    worker.turnstile.log.close()
    log, turnstile = tmp_path / "events", worker.turnstile
    turnstile.ledger.spent[:] = turnstile.ledger.reserved[:] = 99

    holds = unsettled(log, NOW, SETTINGS)
    restore(turnstile.box, turnstile.ledger, log, NOW, holds)

    assert worker.money() == before == (6000, 1000)
    assert rebuild(log, DAY) == {CAMPAIGN: 6000}
    assert rebuild(log, DAY + 1) == {}
    assert [hold.reserved_micros for hold in unsettled(log, NOW, SETTINGS, lambda w: w == 0)] == [
        1000
    ]
    assert unsettled(log, NOW, SETTINGS, lambda w: w == 1) == []


def test_every_event_is_in_the_log_with_what_became_of_it(worker, tmp_path):
    signed = worker.sell()
    for kind in (Kind.VIEWABLE, Kind.IMPRESSION, Kind.VIEWABLE, Kind.IMPRESSION):
        worker.receive(kind, signed)
    worker.turnstile.log.close()

    events = list(read(tmp_path / "events", decisions=False))

    assert [event.code for event in events] == ["NO_PRIOR_IMP", "OK", "OK", "DUPLICATE"]
    assert {event.placement for event in events} == {"news/top"}
    assert {event.decided for event in events} == {NOW}


def test_an_event_that_could_not_be_logged_says_so_and_a_click_still_redirects(worker):
    signed = worker.sell()
    worker.receive(Kind.IMPRESSION, signed)
    worker.turnstile.log.close()

    receipt = worker.receive(Kind.CLICK, signed)

    assert receipt == Receipt(Filter.OK, landing="https://acme.example/", logged=False)


def test_two_views_of_the_moneybox_are_one_purse(tmp_path):
    one, two = Moneybox(tmp_path / "money"), Moneybox(tmp_path / "money")
    small, large = one.ledger(10), two.ledger(1000)

    with one.lock():
        small.set_limit(3, 500)
    with two.lock():
        granted = large.reserve(np.array([3, 3]), np.array([400, 400]))

    assert granted.tolist() == [True, False]
    assert small.remaining()[3] == 100
    one.close()
    two.close()


def test_the_day_turns_for_every_campaign_even_if_a_short_ledger_turns_it(tmp_path):
    box = Moneybox(tmp_path / "money")
    long, short = box.ledger(1000), box.ledger(10)
    long.set_limit(999, 500)
    long.settle(999, 0, 300)

    with box.lock():
        assert box.turn_to(DAY, short)
        assert not box.turn_to(DAY, long)
        assert not box.turn_to(DAY - 1, long)

    assert long.remaining()[999] == 500
    assert not long.check()
    box.close()


def test_a_campaign_newer_than_the_workers_ledger_is_billed_like_any_other(worker):
    newer = worker.turnstile.box.ledger(5000)
    newer.set_limit(4321, 10_000)
    creative = replace(CREATIVE, campaign_id=4321)
    sold = replace(SOLD, creative=creative, reserved_micros=0)
    outcome = Outcome(SLOT, sold, Rejection.WON, number=worker.turnstile.book.take())
    token = sale_token(DECISION.id, 0, outcome, sold, NOW, test=False)

    receipt = worker.receive(Kind.IMPRESSION, worker.turnstile.signer.sign(token))

    assert receipt == Receipt(Filter.OK, billed_micros=1000)
    assert newer.spent[4321] == 1000
