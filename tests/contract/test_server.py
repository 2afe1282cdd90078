"""The promises of the whole system, against the whole system, Triton included."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import aiohttp
import numpy as np
import psutil
import pytest
from hostile import hostile
from live_server import LiveServer
from patience import until
from stillness import once_still

from adserver.catalogue import operations, schema
from adserver.cores import core_of
from simulator.traffic import openrtb, requests
from simulator.world import World

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def pages() -> list[dict]:
    return each_on_its_own_page(requests(World(1), np.random.default_rng(5), 200))


def each_on_its_own_page(bodies: list[dict]) -> list[dict]:
    """Asked again, they are new page views, which have no ads yet; there is time for the model."""
    for body in bodies:
        body["page"]["page_view_id"] = None
        body["deadline_ms"] = 500
    return bodies


def sold(answer: dict) -> list[dict]:
    return [ad for ads in answer["decisions"].values() for ad in ads]


async def ask_for(url: str, bodies: list[dict], seconds: float, in_flight: int) -> Counter:
    """(status, decision_quality) of requests that keep coming for a while."""
    seen, ends = [], time.monotonic() + seconds
    await keep_asking(url, bodies, in_flight, seen, lambda: time.monotonic() >= ends)
    return Counter((status, quality) for _, status, quality in seen)


async def keep_asking(
    url: str, bodies: list[dict], in_flight: int, seen: list[tuple], enough: Callable[[], bool]
) -> None:
    """Adds (moment, status, decision_quality) of each answer to `seen` until it is enough."""

    async def visitor(session: aiohttp.ClientSession, number: int) -> None:
        while not enough():
            number += 1
            async with session.post(
                f"{url}/v1/decision", json=bodies[number % len(bodies)]
            ) as answer:
                quality = (await answer.json()).get("decision_quality")
                seen.append((time.monotonic(), answer.status, quality))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(visitor(session, 17 * n) for n in range(in_flight)))


def test_a_page_view_is_answered_with_priced_ads(running_server, pages):
    status, answer = running_server.post("/v1/decision", pages[0])

    assert status == 200
    assert answer["decision_quality"] == 0
    for ad in sold(answer):
        assert 0 < ad["price"]["clear_cpm"] <= ad["price"]["bid_cpm"]
        assert 0 < ad["model"]["pctr"] < 1


def test_both_openrtb_dialects_answer(running_server, pages):
    body = openrtb(pages[1])

    status, auction = running_server.post("/openrtb2/auction", body)
    bid_status, bid = running_server.post("/openrtb2/bid", body)

    assert (status, bid_status) == (200, 200)
    impressions = {imp["id"] for imp in body["imp"]}
    assert {b["impid"] for b in auction["seatbid"][0]["bid"]} <= impressions
    assert "burl" in bid["seatbid"][0]["bid"][0]


def test_an_answer_says_how_long_each_stage_took(running_server, pages):
    async def headers():
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{running_server.url}/v1/decision", json=pages[2]) as answer,
        ):
            return answer.headers

    timing = asyncio.run(headers())["Server-Timing"]

    assert {part.partition(";")[0].strip() for part in timing.split(",")} >= {
        "encode", "retrieve", "gate", "rank", "auction", "total",
    }  # fmt: skip


def test_impressions_and_clicks_are_in_the_report_at_once(running_server, pages):
    _, answer = running_server.post("/v1/decision", pages[3] | {"publisher_id": "reported"})
    ad = sold(answer)[0]

    statuses = []
    for url in (ad["urls"]["impression"], ad["urls"]["impression"]):
        statuses.append(running_server.get(url.removeprefix(running_server.url))[0])
    click = asyncio.run(_redirect(ad["urls"]["click"]))
    rows = report_rows(running_server, "publisher")

    assert statuses == [204, 204]
    assert click[0] == 302
    assert click[1].startswith("https://")
    assert rows["reported"]["impressions"] == "1"  # the second was a duplicate
    assert rows["reported"]["clicks"] == "1"


async def _redirect(url: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        return answer.status, answer.headers.get("Location", "")


def report_rows(server: LiveServer, by: str) -> dict[str, dict[str, str]]:
    text = server.cli("report", "ctr", "--by", by, "--format", "csv")
    return {row[by]: row for row in csv.DictReader(io.StringIO(text))}


def test_decisions_are_fills_plus_no_fills(running_server, pages):
    for page in pages[:20]:
        running_server.post("/v1/decision", page)

    for row in report_rows(running_server, "hour").values():
        empty = sum(int(n) for name, n in row.items() if name.startswith("no_fill_"))
        assert int(row["decisions"]) == int(row["fills"]) + empty


def test_a_click_url_leads_nowhere_else(running_server, pages):
    _, answer = running_server.post("/v1/decision", pages[4])
    click = sold(answer)[0]["urls"]["click"].removeprefix(running_server.url)
    middle = len(click) // 2
    forged = click[:middle] + ("A" if click[middle] != "A" else "B") + click[middle + 1 :]

    status, body = running_server.get(forged)

    assert status == 400
    assert b"FORGED" in body


def test_a_pause_takes_effect_within_a_second(running_server, pages):
    """And the few answers that are needed to see it, however slow the machine."""
    page = pages[5]
    began = time.monotonic()
    _, answer = running_server.post("/v1/decision", page)
    advertiser = sold(answer)[0]["advertiser_id"]

    def shown() -> bool:
        _, answer = running_server.post("/v1/decision", page)
        return advertiser in {ad["advertiser_id"] for ad in sold(answer)}

    answer_s = time.monotonic() - began
    running_server.cli("catalog", "pause", "advertiser", advertiser)
    took = until(lambda: not shown(), within_s=10.0, every_s=0.05)
    running_server.cli("catalog", "resume", "advertiser", advertiser)
    until(shown, within_s=10.0)

    assert took <= 1.0 + 5 * answer_s


def inferences(server: LiveServer) -> float:
    """Triton's count once it is still: it goes on with calls for whose answer nobody waits."""
    return once_still(lambda: server.triton_metric("nv_inference_count"))


def test_tritons_own_counter_rises_with_the_requests(running_server, pages):
    before = inferences(running_server)
    scored = 0
    for page in pages[:25]:
        answer = running_server.post("/v1/decision", page | {"explain": "summary"})[1]
        scored += answer["explain"]["funnel"]["retrieved"] > 0

    assert scored >= 20
    assert inferences(running_server) - before == scored


def test_triton_killed_under_load_costs_quality_not_answers(running_server, pages, triton):
    """Within one load: full quality, the fallback, and by itself full quality within 10 s."""
    seen: list[tuple] = []
    killed = math.inf

    def moments(quality: int, after: float) -> list[float]:
        return [moment for moment, _, found in seen if moment > after and found == quality]

    def recovered() -> float:
        """Since when all is well again; inf: not yet."""
        worse = moments(2, killed)
        return min(moments(0, worse[0]), default=math.inf) if worse else math.inf

    def enough() -> bool:
        return time.monotonic() > min(recovered() + 1.0, killed + 2 * triton.patience_s)

    async def scenario() -> None:
        nonlocal killed
        load = asyncio.create_task(keep_asking(running_server.url, pages, 4, seen, enough))
        await asyncio.sleep(1.0)
        running_server.triton().send_signal(signal.SIGKILL)
        killed = time.monotonic()
        await load

    asyncio.run(scenario())

    assert {status for _, status, _ in seen} == {200}
    assert recovered() - killed <= triton.patience_s
    assert max(seen)[2] == 0


def test_a_new_snapshot_is_taken_up_under_load_without_a_lost_request(running_server, pages):
    before = running_server.post("/v1/decision", pages[0] | {"explain": "summary"})[1]

    async def scenario():
        load = asyncio.create_task(ask_for(running_server.url, pages, 8.0, 8))
        await asyncio.to_thread(running_server.cli, "catalog", "build")
        return await load

    seen = asyncio.run(scenario())
    after = running_server.post("/v1/decision", pages[0] | {"explain": "summary"})[1]

    assert {status for status, _ in seen} == {200}
    assert after["explain"]["snapshot"] == before["explain"]["snapshot"] + 1
    assert after["decision_quality"] == 0


def test_ten_thousand_hostile_bodies_get_a_cause_and_never_a_5xx(running_server):
    async def scenario():
        wrong, seen = [], Counter()
        limit = asyncio.Semaphore(32)
        connector = aiohttp.TCPConnector(limit=32)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def send(path, headers, body, note):
                async with (
                    limit,
                    session.post(
                        running_server.url + path, data=io.BytesIO(body), headers=headers
                    ) as answer,
                ):
                    seen[answer.status] += 1
                    text = await answer.read()
                    named = answer.status != 400 or b'"field": "' in text
                    if answer.status >= 500 or not named or b"Traceback" in text:
                        wrong.append((note, answer.status, text[:200]))

            await asyncio.gather(*(send(*one) for one in hostile(seed=3, count=10_000)))
        return wrong, seen

    wrong, seen = asyncio.run(scenario())

    assert not wrong, wrong[:3]
    assert sum(seen.values()) == 10_000
    assert seen[400] > 1_000
    assert running_server.get("/healthz")[0] == 200
    assert running_server.get("/readyz")[0] == 200


def test_metrics_tell_stages_batches_tiers_and_reasons(running_server):
    _, text = running_server.get("/metrics")

    for name in (
        b"adserver_stage_seconds_bucket", b"adserver_batch_requests_bucket",
        b'adserver_decisions_total{quality="0"}', b'adserver_candidates_total{reason="OUTBID"}',
        b"adserver_slots_total", b"adserver_request_seconds_bucket",
    ):  # fmt: skip
        assert name in text


def test_the_report_page_is_served(running_server):
    status, page = running_server.get("/report")

    assert status == 200
    assert b"<svg" in page


def test_two_workers_never_overspend_a_budget_and_one_ctrl_c_ends_everything(tmp_path, pages):
    """Concurrent sales of the same campaigns in two processes, with money for a few of them."""
    server = LiveServer(tmp_path, {"WORKERS": "2", "SCORER": "local"}).start()
    try:
        won = {ad["campaign_id"] for page in pages[:40] for ad in sold(ask(server, page)) if ad}
        first = min(won)
        server.cli("catalog", "budget", "campaign", first, "20000")
        engine = schema.connect(f"sqlite:///{server.data}/catalogue.db")
        for campaign in won - {first}:  # as the command does, which takes seconds to start
            operations.set_budget(engine, "campaign", int(campaign), 20_000)
        engine.dispose()
        until(lambda: _budgets_known(server, pages), within_s=20.0)
        seen = asyncio.run(ask_for(server.url, pages, 3.0, 16))
        family = server.family()
        cores = [one.cpu_affinity() for one in server.running("adserver.app")]
        status = server.stop()
        spent, reserved, limit = money(server)
    finally:
        server.stop(signal.SIGKILL)

    assert {code for code, _ in seen} == {200}
    ours = sorted(os.sched_getaffinity(0))
    own = [core_of(worker, 2, ours) for worker in range(2)]
    assert cores == [ours if core is None else [core] for core in own]
    assert status == 0
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    chosen = np.array(sorted(map(int, won)))
    assert (spent[chosen] + reserved[chosen] <= np.maximum(limit[chosen], reserved[chosen])).all()
    assert server.cli("ledger", "check").splitlines() == ["0 faults"]
    # each in its campaign's currency, of which none is dearer than two dollars
    assert 20_000 <= limit[chosen].max() < 40_000


def test_the_logs_way_into_the_warehouse_takes_leftovers(running_server):
    (keeping,) = running_server.running("adserver.housekeeping")

    def its() -> set[int]:
        return {os.sched_getscheduler(one.id) for one in keeping.threads()}

    until(lambda: os.SCHED_IDLE in its(), within_s=30.0)

    assert os.sched_getscheduler(keeping.pid) == os.SCHED_OTHER  # tables are waited for


def ask(server: LiveServer, page: dict) -> dict:
    return server.post("/v1/decision", page)[1]


def _budgets_known(server: LiveServer, pages: list[dict]) -> bool:
    return bool(money(server)[2].min(initial=0) >= 0 and sold(ask(server, pages[0])) is not None)


def money(server: LiveServer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spent, out and limit by campaign id, as all workers share them."""
    lines = server.cli("ledger", "show", "campaign").splitlines()[1:]
    found = np.zeros((1_000, 3), np.int64)
    for _, row_id, daily, _, spent, _, out, _ in map(str.split, lines):
        found[int(row_id)] = spent, out, daily
    return tuple(found.T)
