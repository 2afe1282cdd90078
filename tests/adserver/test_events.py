import asyncio
from dataclasses import dataclass, replace

import numpy as np
import pytest

from adserver.bank import Bank
from adserver.books import Books, payers
from adserver.decision import Creative, Decision, Funnel, Outcome, Sold
from adserver.eventlog import EventLog, LogSettings, read
from adserver.events import EventSettings, Receipt, Turnstile, decision_record
from adserver.history import Histories
from adserver.holds import BILLABLE, Hold, Holds, unsettled
from adserver.rebuilding import restore
from adserver.records import DAY_MS, Filter
from adserver.request import AdRequest, Slot
from adserver.seen import HistorySettings
from adserver.state.memory import MemoryStore
from adserver.tickets import BLOCK, TicketBook
from adserver.tokens import Kind, Token, event_token, signer_of
from auction.books import UNLIMITED
from auction.columns import Level, Pricing, Rejection, account_of

NOW = 1_793_500_000_000
DAY = NOW // DAY_MS
SETTINGS = EventSettings()
CAMPAIGN, LINE_ITEM, ADVERTISER = 7, 3, 4
ACCOUNT = account_of(Level.CAMPAIGN, CAMPAIGN)
LIMIT = 10_000


@dataclass
class Worker:
    """One worker's share of the money, the tickets and the log, in a folder of its own."""

    turnstile: Turnstile
    holds: Holds

    def sell(self, pricing=Pricing.CPM, test=False):
        """Reserve, hand out a ticket, log: what a decision does for a sold slot."""
        book, bank = self.turnstile.book, self.turnstile.bank
        charge, reserved = (1000, 1000) if pricing is Pricing.CPM else (5000, 100)
        sold = replace(
            SOLD,
            charge_micros=charge,
            per_click=pricing is not Pricing.CPM,
            reserved_micros=reserved,
        )
        outcome = Outcome(SLOT, sold, Rejection.WON, number=book.take())
        decision = replace(DECISION, request=replace(REQUEST, test=test), outcomes=(outcome,))
        if not test:
            granted, _ = bank.reserve(
                np.array([[-1, ACCOUNT, -1, -1]]), np.array([reserved]), NOW // DAY_MS
            )
            assert granted.all()
            due, billable = NOW + SETTINGS.hold_s * 1000, BILLABLE[pricing]
            self.holds.add(Hold(due, outcome.number, (ACCOUNT,), reserved, billable, 0))
        self.turnstile.log.append(decision_record(decision, NOW, 0))
        token = sale_token(decision.id, 0, outcome, sold, NOW, test)
        return self.turnstile.signer.sign(replace(token, pricing=pricing))

    def receive(self, kind, signed, now=NOW):
        text = event_token(signed, kind)
        return asyncio.run(self.turnstile.receive(kind, text, now))

    def money(self):
        """Spent today, and promised, of the campaign."""
        bank = self.turnstile.bank
        (book,) = bank.books.read([ACCOUNT])
        return book.spent_day, book.out - int(bank.ledger.free[ACCOUNT])


SLOT = Slot("top", "news/top")
CREATIVE = Creative(
    1, "cr-1", CAMPAIGN, 3, 4, "Acme", "acme.example", "", "", 1, 1, "", "https://acme.example/"
)
SOLD = Sold(CREATIVE, 2_000_000, False, 2_000_000, 1_000_000, 1000, 0.01, False)
REQUEST = AdRequest("r1", (SLOT,))
DECISION = Decision("d1", REQUEST, (), 0, 1, "ctr:1", Funnel(), {}, 1.0)


@pytest.fixture
def worker(tmp_path):
    bank = Bank(Books(MemoryStore()), 0, 1)
    bank.limit({ACCOUNT: (LIMIT, UNLIMITED)}, DAY)
    log = EventLog(tmp_path / "events", 0, lambda: NOW / 1000, LogSettings(linger_ms=1))
    with TicketBook(tmp_path / "tickets", 2 * BLOCK, NOW) as book:
        histories = Histories(bank.books.store, b"x" * 32, HistorySettings())
        turnstile = Turnstile(signer_of("k" * 32), book, bank, log, 0, SETTINGS, histories)
        yield Worker(turnstile, Holds(book, bank))
        assert not bank.check()
        log.close()


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
        line_item=creative.line_item_id,
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
    signed = worker.sell(Pricing.CPC)

    shown = worker.receive(Kind.IMPRESSION, signed)
    assert (shown, worker.money()) == (Receipt(Filter.OK), (0, 100))

    click = worker.receive(Kind.CLICK, signed)
    assert click == Receipt(Filter.OK, 5000, "https://acme.example/")
    assert worker.money() == (5000, 0)


def test_a_click_costs_at_most_what_is_left_of_the_day(worker):
    sales = [worker.sell(Pricing.CPC) for _ in range(3)]

    for signed in sales:
        worker.receive(Kind.IMPRESSION, signed)
    billed = [worker.receive(Kind.CLICK, signed).billed_micros for signed in sales]

    assert sum(billed) <= LIMIT
    assert worker.money() == (sum(billed), 0)


def test_a_click_without_an_impression_is_free_but_goes_where_it_should(worker):
    receipt = worker.receive(Kind.CLICK, worker.sell(Pricing.CPC))

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
    worker.receive(Kind.IMPRESSION, worker.sell(Pricing.CPC))

    assert worker.holds.release_due(NOW + DAY_MS) == 1
    assert worker.money() == (0, 0)


def test_a_new_day_begins_with_nothing_spent_and_keeps_reservations(worker):
    worker.receive(Kind.IMPRESSION, worker.sell())
    open_sale = worker.sell(Pricing.CPC)
    worker.receive(Kind.IMPRESSION, open_sale)
    midnight = (DAY + 1) * DAY_MS

    receipt = worker.receive(Kind.CLICK, open_sale, midnight)

    assert receipt.billed_micros == 5000
    assert worker.money() == (5000, 0)


def test_a_conversion_is_billed_even_after_its_reservation_went_back(worker):
    """Who buys takes longer to decide than a page is shown; a reservation cannot wait for that."""
    signed = worker.sell(Pricing.CPA)
    worker.receive(Kind.IMPRESSION, signed)
    worker.receive(Kind.CLICK, signed)
    worker.holds.release_due(NOW + SETTINGS.hold_s * 1000)
    token = worker.turnstile.signer.verify(event_token(signed, Kind.CLICK), Kind.CLICK, NOW, 1)
    proof = worker.turnstile.signer.conversion(token)

    receipt = asyncio.run(worker.turnstile.receive(Kind.CONVERSION, proof, NOW + 3_600_000))

    assert receipt == Receipt(Filter.OK, billed_micros=5000)
    assert worker.money() == (5000, 0)


def test_a_viewable_bid_pays_when_the_ad_was_seen_and_not_when_it_was_shown(worker):
    signed = worker.sell(Pricing.VCPM)

    shown = worker.receive(Kind.IMPRESSION, signed)
    seen = worker.receive(Kind.VIEWABLE, signed)
    again = worker.receive(Kind.VIEWABLE, signed)

    assert shown == Receipt(Filter.OK)
    assert seen == Receipt(Filter.OK, billed_micros=5000)
    assert again == Receipt(Filter.DUPLICATE)
    assert worker.money() == (5000, 0)


def test_a_viewable_bid_that_was_shown_and_not_seen_gives_its_money_back(worker):
    signed = worker.sell(Pricing.VCPM)
    worker.receive(Kind.IMPRESSION, signed)

    assert worker.holds.release_due(NOW + SETTINGS.hold_s * 1000) == 1
    assert worker.receive(Kind.VIEWABLE, signed).billed_micros == 0
    assert worker.money() == (0, 0)


def test_spend_is_counted_on_every_level_limited_or_not(worker):
    worker.receive(Kind.IMPRESSION, worker.sell())

    accounts = payers(ADVERTISER, CAMPAIGN, LINE_ITEM, 0)
    books = worker.turnstile.bank.books.read(accounts)
    assert [(book.spent, book.limited) for book in books] == [
        (1000, False),
        (1000, True),
        (1000, False),
    ]


def test_the_log_alone_restores_the_books(worker, tmp_path):
    worker.receive(Kind.IMPRESSION, worker.sell())
    clicked = worker.sell(Pricing.CPC)
    worker.receive(Kind.IMPRESSION, clicked)
    worker.receive(Kind.CLICK, clicked)
    worker.sell()
    worker.sell(test=True)
    bank, log = worker.turnstile.bank, tmp_path / "events"
    bank.tend(DAY, NOW / 1000)
    bank.surrender(DAY)
    before = dict(bank.books.all())
    worker.turnstile.log.close()
    bank.books.put({a: book._replace(spent_day=0, lease=()) for a, book in before.items()})

    holds = unsettled(log, NOW, SETTINGS.hold_s)
    restore(bank.books, log, holds, DAY)

    assert worker.money() == (6000, 1000)
    assert dict(bank.books.all()) == before
    assert [hold.reserved_micros for hold in holds] == [1000]
    assert unsettled(log, NOW, SETTINGS.hold_s, lambda w: w == 1) == []


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
