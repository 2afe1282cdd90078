"""Histories in the state store: what a batch sees, what it may sell, what events make of it."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from auction_market import Ad, Request, columns

from adserver.history import PAGE, PERSON, Histories, Sales
from adserver.identity import NoIdentity
from adserver.request import AdRequest
from adserver.seen import HistorySettings, Shelf
from adserver.state.disk import DiskStore
from adserver.state.store import everything
from adserver.tokens import Token
from auction.caps import NONE, Cap, Caps, Entity
from auction.columns import Rejection
from auction.frequency import SIGHTING, Ads, On

NOW = 1_764_000_000_000
SIZE = 256 << 20
HOLD_MS = 360_000
FREQUENCY, DUPLICATE, EXCLUSION = Rejection.FREQUENCY, Rejection.DUPLICATE, Rejection.EXCLUSION
ADS = 8
CATALOGUE = Ads(
    ad=np.arange(100, 100 + ADS, dtype=np.int64),
    line_item=np.arange(ADS, dtype=np.int32) // 2,
    line_item_id=np.arange(50, 50 + ADS // 2, dtype=np.int64),
    campaign=np.arange(ADS, dtype=np.int32) // 4 + 10,
    advertiser=np.arange(ADS, dtype=np.int32) // 4 + 1,
    creative=np.arange(100, 100 + ADS, dtype=np.int32),
    labels=np.zeros(0, np.uint64),
)
"""Ads 0 to 3 are of campaign 10 and advertiser 1, ads 4 to 7 of campaign 11 and advertiser 2."""
DAILY = Caps.of({(Entity.CAMPAIGN, 10): [Cap(3, 86_400)]})


class Desk:
    """One worker: asks, sells what the gate lets through, and hears of events."""

    def __init__(self, store, caps=DAILY, fresh=b"x" * 32, **settings):
        self.histories = Histories(store, fresh, HistorySettings(**settings))
        self.shelf = Shelf(CATALOGUE, caps)
        self.numbers = iter(range(1, 10**9))

    def look(self, *requests, at=NOW):
        return self.histories.look(requests, self.shelf, at)

    def gate(self, request, ads=range(ADS), at=NOW):
        rows = np.array(list(ads), np.int32)
        seen = self.look(request, at=at)
        return seen.gate(np.array([0, len(rows)], np.int32), rows).tolist()

    def sell(self, *pairs, at=NOW, seen=None):
        """Tokens of the sales (request, ad) that stand, and the codes of all."""
        requests = list(dict.fromkeys(request for request, _ in pairs))
        seen = seen or self.look(*requests, at=at)
        sales = Sales(
            np.array([requests.index(request) for request, _ in pairs], np.int32),
            np.array([ad for _, ad in pairs], np.int32),
            np.array([next(self.numbers) for _ in pairs], np.uint64),
        )
        codes = self.histories.reserve(seen, sales, at).tolist()
        tokens = [
            token(ad, int(sales.number[t]), self.histories.identity(seen, int(sales.request[t]), n))
            for t, (_, ad) in enumerate(pairs)
            if (n := int(sales.number[t])) and not codes[t]
        ]
        return tokens, codes

    def event(self, sold, on=On.IMPRESSION, at=NOW):
        self.histories.witness(sold, on, self.shelf.caps, at)


def token(ad, number, identity):
    return Token(
        decision="d",
        slot=0,
        number=number,
        ad=int(CATALOGUE.ad[ad]),
        creative="c",
        campaign=int(CATALOGUE.campaign[ad]),
        advertiser=int(CATALOGUE.advertiser[ad]),
        line_item=int(CATALOGUE.line_item_id[CATALOGUE.line_item[ad]]),
        placement="top",
        issued_ms=NOW,
        charge_micros=1,
        clear_micros=1000,
        reserved_micros=1,
        identity=identity,
    )


def asks(user="ann", page="", number=0, publisher="news"):
    return AdRequest(f"r{number}", (), user=user, page_view=page, publisher=publisher)


def test_after_as_many_sales_as_the_cap_allows_the_campaign_is_gated(store):
    desk = Desk(store)

    _, codes = desk.sell(*((asks(), ad) for ad in (0, 1, 2)))

    assert codes == [0, 0, 0]
    assert desk.gate(asks()) == [FREQUENCY] * 4 + [0] * 4
    assert desk.gate(asks("bob")) == [0] * ADS


def test_a_batch_that_was_overtaken_is_refused_though_its_gate_let_it_through(store):
    slow, fast = Desk(store), Desk(store, fresh=b"y" * 32)
    seen = slow.look(asks())

    fast.sell(*((asks(), ad) for ad in (0, 1, 2)))

    assert seen.gate(np.array([0, 1], np.int32), np.array([0], np.int32)).tolist() == [0]
    assert slow.sell((asks(), 0), (asks(), 4), seen=seen)[1] == [FREQUENCY, 0]


def test_workers_share_the_secret_of_whoever_came_first(store):
    first, second = Desk(store, fresh=b"a" * 32), Desk(store, fresh=b"b" * 32)

    assert first.look(asks()).callers.person == second.look(asks()).callers.person


def test_a_reservation_ends_unless_its_ad_is_shown(store):
    desk = Desk(store)
    (shown, *_), _ = desk.sell(*((asks(), ad) for ad in (0, 1, 2)))
    desk.event(shown, at=NOW + 1000)

    later = NOW + HOLD_MS

    assert desk.sell(*((asks(), ad) for ad in (0, 1, 2)), at=later)[1] == [0, 0, FREQUENCY]


def test_the_place_of_a_sale_that_came_to_nothing_is_free_at_once(store):
    desk = Desk(store)
    sold, _ = desk.sell(*((asks(), ad) for ad in (0, 1, 2)))

    desk.histories.release(sold[0])

    assert desk.sell((asks(), 3), (asks(), 3))[1] == [0, FREQUENCY]


def test_an_event_that_comes_after_its_reservation_counts_all_the_same(store):
    desk = Desk(store, Caps.of({(Entity.AD, 100): [Cap(1, 86_400)]}))
    sold, _ = desk.sell((asks(), 0))
    later = NOW + HOLD_MS
    assert desk.gate(asks(), [0], at=later) == [0]

    desk.event(sold[0], at=later)

    assert desk.gate(asks(), [0], at=later) == [FREQUENCY]


def test_any_worker_finds_the_history_of_an_event_by_its_token(store):
    desk = Desk(store, Caps.of({(Entity.AD, 100): [Cap(1, 86_400, on=On.CLICK)]}))
    sold, _ = desk.sell((asks(), 0))
    other = Desk(store, desk.shelf.caps)

    other.event(sold[0])
    before = desk.gate(asks(), [0])
    other.event(sold[0], On.CLICK)

    assert (before, desk.gate(asks(), [0])) == ([0], [FREQUENCY])


def test_tokens_of_one_person_carry_different_identities(store):
    sold, _ = Desk(store).sell((asks(), 0), (asks(), 1))

    assert sold[0].identity != sold[1].identity


def test_the_store_never_holds_a_users_key(store):
    Desk(store).sell((asks("ann@example.org", page="pv-secret"), 0))

    for key, value in everything(store, b""):
        assert b"ann@" not in key + value
        assert b"pv-secret" not in key + value


def test_without_caps_nothing_is_written_about_a_person(store):
    Desk(store, NONE).sell((asks(), 0))

    assert not store.scan(PERSON)
    assert not store.scan(PAGE)


def test_a_sale_that_no_cap_counts_leaves_no_trace_of_the_person(store):
    Desk(store).sell((asks(), 4))

    assert not store.scan(PERSON)


def test_a_person_without_a_key_is_counted_within_the_page_view(store):
    desk = Desk(store)

    _, codes = desk.sell(*((asks("", "pv1", n), n) for n in (0,)))
    for number in (1, 2):
        desk.sell((asks("", "pv1", number), number), at=NOW + 61_000 * number)

    assert codes == [0]
    assert desk.gate(asks("", "pv1"), [3], at=NOW + 200_000) == [FREQUENCY]
    assert desk.gate(asks("", "pv2"), [3], at=NOW + 200_000) == [0]


def test_a_person_without_key_and_page_view_is_counted_within_the_request(store):
    _, codes = Desk(store).sell(*((asks(""), ad) for ad in (0, 1, 2, 3)))

    assert codes == [0, 0, 0, FREQUENCY]
    assert not store.scan(PERSON)


@pytest.mark.parametrize(
    ("rule", "code"), [(NoIdentity.SERVE, 0), (NoIdentity.SKIP, FREQUENCY)], ids=str
)
def test_caps_may_be_ignored_or_refused_for_people_without_a_key(store, rule, code):
    desk = Desk(store, no_identity=rule)

    assert desk.gate(asks("")) == [code] * 4 + [0] * 4
    assert desk.sell(*((asks(""), 0) for _ in range(5)))[1] == [0] * 5
    assert desk.gate(asks("ann")) == [0] * ADS


def test_an_ad_its_creative_and_its_advertiser_stand_once_on_a_page_across_calls(store):
    desk = Desk(store, NONE)

    desk.sell((asks("ann", "pv1"), 0))

    assert desk.gate(asks("", "pv1"), [0, 1, 4]) == [DUPLICATE, EXCLUSION, 0]
    assert desk.sell((asks("", "pv1"), 0), (asks("", "pv1", 2), 4))[1] == [DUPLICATE, 0]


def test_a_page_view_of_another_publisher_or_a_minute_later_is_another_page(store):
    desk = Desk(store, NONE)

    desk.sell((asks("ann", "pv1"), 0))

    assert desk.gate(asks("", "pv1", publisher="blog"), [0]) == [0]
    assert desk.gate(asks("", "pv1"), [0], at=NOW + 59_999) == [DUPLICATE]
    assert desk.gate(asks("", "pv1"), [0], at=NOW + 60_000) == [0]


def test_a_history_remembers_no_more_than_its_bound(store):
    desk = Desk(store, Caps.of({(Entity.CAMPAIGN, 10): [Cap(100, 86_400)]}))

    for n in range(30):
        sold, _ = desk.sell(*((asks(), 0) for _ in range(20)), at=NOW + n * HOLD_MS)
        for each in sold:
            desk.event(each, at=NOW + n * HOLD_MS)

    ((_, value),) = store.scan(PERSON)
    assert len(value) // SIGHTING.itemsize == 100


def test_the_sweeper_removes_what_no_window_holds_and_nothing_else(store):
    desk = Desk(store)
    sold, _ = desk.sell(*((asks(f"u{n}", f"pv{n}"), 0) for n in range(20)))
    for each in sold[:10]:
        desk.event(each)
    later = NOW + HOLD_MS

    for prefix in (PERSON, PAGE):
        assert desk.histories.sweep(prefix, b"", DAILY, later) == b""

    assert len(store.scan(PERSON)) == 10
    assert store.scan(PAGE) == []
    desk.histories.sweep(PERSON, b"", DAILY, NOW + 86_400_000)
    assert store.scan(PERSON) == []


def test_what_was_seen_is_expected_to_be_clicked_less_where_that_is_asked(store):
    desk = Desk(store, NONE, repeat_discount=0.5)
    sold, _ = desk.sell((asks(), 0))
    desk.event(sold[0])
    ads = tuple(Ad(ad=row, advertiser=1, bid=1000, ppm=(10_000,)) for row in (1, 4))
    bids, _ = columns([Request(ads=ads, floors=(0,))])

    assert desk.look(asks()).discounted(bids).pctr_ppm.tolist() == [[6065], [10_000]]
    assert desk.look(asks("bob")).discounted(bids).pctr_ppm.tolist() == [[10_000], [10_000]]


PEOPLE, WORKERS, BATCH = 10_000, 4, 40
SHARES = (2, 2, 4)
"""How many of the workers each person asks in each round, six minutes apart."""


def sell_to(desk, people, at):
    """Of one batch of requests: who was sold an ad, with its token, and how many were refused."""
    requests = [asks(f"u{person}") for person in people]
    seen = desk.look(*requests, at=at)
    gate = seen.gate(np.arange(len(people) + 1, dtype=np.int32), np.zeros(len(people), np.int32))
    open_ = [n for n, code in enumerate(gate) if not code]
    if not open_:
        return [], 0
    sold, codes = desk.sell(*((requests[n], 0) for n in open_), at=at)
    granted = [people[n] for n, code in zip(open_, codes, strict=True) if not code]
    return list(zip(granted, sold, strict=True)), len(open_) - len(granted)


def sell_as_a_worker(folder, worker, barrier, results):
    """A third of the sales of the first rounds is never shown; in the last one all workers go
    through the people in the same order, so that they meet at the same histories."""
    store = DiskStore(folder, SIZE)
    desk, shown, refused = Desk(store), [], 0
    desk.numbers = iter(range(1 + worker, 10**9, WORKERS))
    for round_, share in enumerate(SHARES):
        last, at = share == WORKERS, NOW + round_ * (HOLD_MS + 1)
        everyone = np.random.default_rng(WORKERS if last else worker).permutation(PEOPLE)
        mine = everyone[(everyone + worker) % WORKERS < share].tolist()
        barrier.wait()
        for first in range(0, len(mine), BATCH):
            sold, late = sell_to(desk, mine[first : first + BATCH], at)
            refused += late
            for person, token in sold:
                if last or token.number % 3:
                    desk.event(token, at=at)
                    shown.append(person)
    store.close()
    results.put((shown, refused))


def test_three_a_day_is_exactly_three_for_everybody_whatever_four_workers_do(tmp_path):
    """10 000 people, 80 000 requests of four processes; every sale is shown or expires."""
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(WORKERS), spawn.Queue()
    workers = [
        spawn.Process(target=sell_as_a_worker, args=(tmp_path / "state", n, barrier, results))
        for n in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()

    shown = np.bincount(np.concatenate([people for people, _ in found]), minlength=PEOPLE)
    assert np.unique(shown).tolist() == [3]
    assert sum(refused for _, refused in found) > 0  # they did get into each other's way
