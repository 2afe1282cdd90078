"""What a served decision logged is what training makes of the same facts, bit by bit.

Real requests and events over HTTP, in process, on a clock moved by hand. The facts are then encoded
again by the training side: the bodies as they were sent, the catalogue's database, and a plain
account of the events that had been counted when each decision was made.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from catalogue_sample import NOW, fresh_place

from adserver.catalogue import reading
from adserver.deadline import Clocks, monotonic
from adserver.driving.clock import SimulatedClock
from adserver.features.log import read
from adserver.features.rows import WIDTHS, matrix
from adserver.http import Routes
from adserver.insider import Insider
from adserver.settings import Settings
from adserver.wire import decision as wire_decision
from adserver.worker import Worker
from ranking.bundle import Bundle
from ranking.columns import Coded, RequestColumns, encode_request_columns
from ranking.counts import PRIOR, STRENGTH, WINDOWS_S, CountHead, key_features
from ranking.features import AdFields, encode_ads, encode_slot, topic_of, words_of
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs
from ranking.table import AdTable
from simulator.traffic import requests
from simulator.world import World

KEY = "a-key-for-tests-only-0123456789"
PEOPLE = 4
ROUNDS = 6
PER_ROUND = 25
ROUND_S = 1_900
"""More than a minute: then all cells are read anew at each tick, as the account does."""
TEXTS = ("country", "region", "device", "os", "browser", "language", "domain", "publisher", "user")
BAGS = ("categories", "segments", "keywords")


class Cell:
    """Decayed counts of one key, event by event or tick by tick, in single precision."""

    def __init__(self):
        self.t, self.counts = 0, np.zeros((2, 3), np.float32)

    def at(self, now_ms):
        age = max(now_ms - self.t, 0)
        return self.counts * np.exp(-age / (np.array(WINDOWS_S) * 1000.0)).astype(np.float32)

    def add(self, shown, clicked, now_ms):
        step = np.array([shown, clicked], np.float32)[:, None]
        self.counts, self.t = self.at(now_ms) + step, max(self.t, now_ms)


@dataclass
class Facts:
    """What a decision of one slot knew: its request, its person's topics, and the counts' cells."""

    request: object
    moment: datetime
    clicked: list
    seen: list
    ad: int
    slot: int
    counts: list


class Account:
    """The events as the test made them, and what they sum to."""

    def __init__(self, ads):
        self.ads = ads
        self.cells, self.waiting = defaultdict(Cell), defaultdict(lambda: [0, 0])
        self.person = defaultdict(lambda: {"clicked": [], "seen": []})
        self.topics = defaultdict(Cell)
        self.unwritten = []

    def event(self, user, placement, ad, clicked, now_ms):
        for key in self.keys(placement, ad):
            self.waiting[key][clicked] += 1
        self.unwritten.append((user, topic_of(self.ads[ad].category), clicked, now_ms))

    def write(self, user, topic, clicked, now_ms):
        """Into the record of a person."""
        self.person[user]["clicked" if clicked else "seen"].insert(0, topic)
        for (who, _), cell in self.topics.items():
            if who == user:
                cell.add(0, 0, now_ms)  # a record decays as a whole
        self.topics[user, topic].add(not clicked, clicked, now_ms)

    def tick(self, now_ms):
        """The second has passed: what waited is in the store, and every cell is read anew."""
        for key, (shown, clicked) in self.waiting.items():
            self.cells[key].add(shown, clicked, now_ms)
        self.waiting.clear()
        for one in self.unwritten:
            self.write(*one)
        self.unwritten.clear()
        self.seen_at = now_ms

    def keys(self, placement, ad):
        return ("ad", ad), ("owner", self.ads[ad].advertiser), ("place", ad, placement)

    def counts(self, user, placement, ad, now_ms):
        """[KEYS][shown, clicked][WINDOWS] as a decision sees them."""
        by_key = [self.cells[key].at(self.seen_at) for key in self.keys(placement, ad)]
        topic = topic_of(self.ads[ad].category)
        return [*by_key, self.topics[user, topic].at(now_ms)]


def catalogue_ads(place):
    """Every ad of the database with its owners, as the training side reads them."""
    engine = place.engine()
    with engine.connect() as connection:
        owners = reading.owners(connection)
        items = reading.line_items(connection, owners.campaigns).columns
        place_of = {one: at for at, one in enumerate(items.line_item_id.tolist())}
        found = {}
        for rows in reading.ads(connection):
            for row in rows:
                at = place_of[row.line_item_id]
                found[row.id] = Sale(
                    row, int(items.campaign[at]), int(items.advertiser[at]), row.category,
                    items.pricing[at],
                )  # fmt: skip
    engine.dispose()
    return found


@dataclass(frozen=True)
class Sale:
    row: object
    campaign: int
    advertiser: int
    category: str
    pricing: int


def encoded_ads(ads):
    """[n, …] by `encode_ads` from the database's own values."""
    return encode_ads(
        AdFields(
            ad=np.array([one.row.id for one in ads]),
            campaign=np.array([one.campaign for one in ads]),
            advertiser=np.array([one.advertiser for one in ads]),
            per_click=np.array([one.pricing in (1, 2) for one in ads]),
            category=[one.category for one in ads],
            size=[(one.row.width, one.row.height) for one in ads],
            words=[words_of(f"{one.row.title} {one.row.params['call']}") for one in ads],
        )
    )


def encoded_requests(facts):
    """[n, …] by `encode_request_columns`, as a log's columns."""

    def text(name):
        values = [getattr(one.request, name) for one in facts]
        known = sorted(set(values) - {""})
        return Coded(known, np.array([known.index(v) if v else -1 for v in values]))

    def bag(name):
        bags = [getattr(one.request, name) for one in facts]
        known = sorted({value for one in bags for value in one})
        rows = np.full((len(bags), max(map(len, bags), default=0)), -1)
        for row, values in zip(rows, bags, strict=True):
            row[: len(values)] = [known.index(value) for value in values]
        return Coded(known, rows)

    def topics(name):
        rows = np.zeros((len(facts), 8), np.int64)
        for row, one in zip(rows, facts, strict=True):
            found = getattr(one, name)[:8]
            row[: len(found)] = found
        return rows

    return encode_request_columns(
        RequestColumns(
            **{name: text(name) for name in TEXTS},
            **{name: bag(name) for name in BAGS},
            hour=np.array([one.moment.hour for one in facts]),
            weekday=np.array([one.moment.weekday() for one in facts]),
            clicked=topics("clicked"),
            seen=topics("seen"),
        )
    )


async def _tick(worker, clock, account, seconds):
    clock.advance_to(clock.now_s + seconds)
    for job in worker.jobs():
        await job()
    account.tick(int(clock.now_s * 1000))


async def _play(worker, clock, account, rng):
    """Rounds of pages and of what people did on them; the facts of every sold slot."""
    routes = Routes(worker, 10_000, "", "seat", {}, Insider(""))
    facts = {}
    await worker.warm_up()
    worker.batcher.start()
    await _tick(worker, clock, account, 1)
    async with TestClient(TestServer(routes.app())) as client:
        for number in range(ROUNDS):
            bodies = requests(World(1), np.random.default_rng(number), PER_ROUND)
            for body in bodies:
                body["user"]["key"] = f"u{rng.integers(PEOPLE)}"
                answer = await (await client.post("/v1/decision", json=body)).json()
                await _react(client, body, answer, account, clock, rng, facts)
            await _tick(worker, clock, account, ROUND_S)
    assert worker.features.check() == []
    await worker.stop()
    return facts


async def _react(client, body, answer, account, clock, rng, facts):
    """Note what each sold slot's decision knew; then some people look, and some click."""
    request = wire_decision.parse(json.dumps(body).encode())
    now_ms = int(clock.now_s * 1000)
    person = account.person[request.user]
    happening = []
    for at, slot in enumerate(request.slots):
        for ad in answer["decisions"][slot.id]:
            number = int(ad["ad_id"])
            facts[answer["decision_id"], at] = Facts(
                request, datetime.fromtimestamp(clock.now_s, UTC),
                list(person["clicked"]), list(person["seen"]), number, at,
                account.counts(request.user, slot.placement, number, now_ms),
            )  # fmt: skip
            happening.append((slot.placement, number, ad["urls"]))
    for placement, number, urls in happening:
        if rng.random() < 0.8:
            clock.advance_to(clock.now_s + 1)
            assert (await client.get(_path(urls["impression"]))).status == 204
            account.event(request.user, placement, number, False, int(clock.now_s * 1000))
            again = await client.get(_path(urls["impression"]))  # a copy counts for nothing
            assert again.status == 204
            if rng.random() < 0.5:
                clock.advance_to(clock.now_s + 2)
                answer = await client.get(_path(urls["click"]), allow_redirects=False)
                assert answer.status == 302
                account.event(request.user, placement, number, True, int(clock.now_s * 1000))


def _path(url):
    return "/" + url.split("/", 3)[3]


def _learned(bundle, rng):
    """The committed model with count weights that matter: its own are zero."""
    shapes = {"w1": (16, 16), "b1": (16,), "w2": (16,)}
    head = CountHead(*(rng.normal(0, 0.2, shape).astype(np.float32) for shape in shapes.values()))
    return replace(bundle, count=head)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The worker's settings and bundle, the logged rows, and the facts in the same order."""
    rng = np.random.default_rng(5)
    place = fresh_place(tmp_path_factory.mktemp("served"))
    settings = Settings(
        adserver_data=place.folder, database_url=place.url, scorer="local",
        adserver_token_key=KEY, state_bytes=64 << 20, clicks_per_day=100_000,
        auction_ring_mib=4, auction_sample_one_in=1,
    )  # fmt: skip
    ads = catalogue_ads(place)
    clock, account = SimulatedClock(NOW), Account(ads)

    async def play():
        worker = Worker(settings, 0, Clocks(clock, monotonic))  # HTTP has real deadlines
        edition = worker.pipeline.edition
        worker.pipeline.edition = replace(edition, bundle=_learned(edition.bundle, rng))
        facts = await _play(worker, clock, account, rng)
        return worker, facts

    worker, facts = asyncio.run(play())
    table = read(settings.features)
    ids = [f"{number:016x}" for number in table["decision"].to_pylist()]
    found = [facts[key] for key in zip(ids, table["slot"].to_pylist(), strict=True)]
    assert len(found) == len(facts) > 100
    return worker, table, found, ads


def test_requests_are_encoded_as_training_encodes_them(served):
    _, table, facts, _ = served

    assert any(one.clicked for one in facts)
    assert matrix(table["request"], "request").tobytes() == encoded_requests(facts).tobytes()


def test_ads_are_encoded_as_training_encodes_the_database(served):
    _, table, facts, ads = served

    expected = encoded_ads([ads[one.ad] for one in facts])

    assert table["ad"].to_pylist() == [one.ad for one in facts]
    assert matrix(table["ads"], "ads").tobytes() == expected.tobytes()


def test_slots_are_encoded_as_training_encodes_them(served):
    _, table, facts, _ = served

    slots = [one.request.slots[one.slot] for one in facts]
    expected = [
        encode_slot(slot.placement, *slot.sizes[0], one.slot)
        for slot, one in zip(slots, facts, strict=True)
    ]
    assert matrix(table["slot_ids"], "slot_ids").tobytes() == np.stack(expected).tobytes()


def test_counts_are_those_of_the_events_before_the_decision_and_of_no_later_one(served):
    _, table, facts, _ = served

    raw = np.array([one.counts for one in facts], np.float32)
    expected = key_features(raw[:, :, 0].copy(), raw[:, :, 1].copy()).reshape(len(raw), -1)

    assert (np.abs(expected).max(axis=0) > 0).all()
    assert matrix(table["counts"], "counts").tobytes() == expected.tobytes()


def test_the_logged_score_is_the_models_score_of_the_logged_features(served):
    """From the log alone: towers, network, slot and counts, as training would evaluate them."""
    worker, table, facts, _ = served
    bundle: Bundle = worker.pipeline.edition.bundle
    request, ads, slot, counts = (matrix(table[name], name) for name in WIDTHS)
    scorer = LocalScorer(bundle)
    scorer.add(1, AdTable.build(bundle, ads))
    vector, bias = bundle.towers.request(request)
    each = np.arange(len(facts) + 1, dtype=np.int32)

    logit = scorer.score(Pairs(1, vector, bias, each[:-1], each))
    logit += bundle.towers.slot_bias(slot) + bundle.count(counts)

    logged = table["logit"].to_numpy()
    assert np.abs(bundle.count(counts)).mean() > 0.05
    assert logged == pytest.approx(logit, abs=2e-5)
    ppm = bundle.calibration.ppm(logged)
    assert np.rint(table["pctr"].to_numpy() * 1e6).astype(int) == pytest.approx(ppm, abs=1)


def test_the_prior_and_its_weight_are_those_of_the_formula():
    """(c + a p) / (n + a) over p, of 100 impressions and 10 clicks in each window."""
    n, c = np.full((1, 4, 3), 100, np.float32), np.full((1, 4, 3), 10, np.float32)

    expected = np.log((10 + STRENGTH * PRIOR) / (100 + STRENGTH) / PRIOR)

    assert key_features(n, c)[0, 0, :3] == pytest.approx([expected] * 3, rel=1e-6)
