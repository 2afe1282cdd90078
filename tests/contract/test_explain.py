"""Explanations over HTTP from a real server of two workers: any of them answers for both."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest
from live_server import LiveServer

from simulator.traffic import requests
from simulator.world import World


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"SCORER": "local", "WORKERS": "2"}
    server = LiveServer(tmp_path_factory.mktemp("explain"), settings).start()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def answers(server):
    pages = requests(World(1), np.random.default_rng(5), 40)
    return [server.post("/v1/decision", page)[1] for page in pages]


def told(server, path, status=200):
    code, body = server.get(path)
    assert code == status, body
    return json.loads(body)


def test_every_decision_is_explained_by_whichever_worker_is_asked(server, answers):
    for answer in answers:
        explained = told(server, f"/v1/decisions/{answer['decision_id']}/explain?limit=5")

        assert explained["decision"] == answer["decision_id"]
        assert len(explained["candidates"]["listed"]) <= 5
    workers = {int(answer["decision_id"][:2], 16) for answer in answers}
    assert workers == {0, 1}


def test_the_explained_price_is_the_price_that_was_answered(server, answers):
    compared = 0
    for answer in answers:
        explained = told(server, f"/v1/decisions/{answer['decision_id']}/explain?limit=1")
        prices = sorted(
            (slot["winner"]["ad"], slot["price"]["clear_cpm_micros"])
            for slot in explained["slots"]
            if slot["outcome"] == "WON"
        )
        shown = sorted(
            (int(ad["ad_id"]), round(float(ad["price"]["clear_cpm"]) * 1e6))
            for ads in answer["decisions"].values()
            for ad in ads
        )
        assert prices == shown
        compared += len(shown)
    assert compared > 20


def test_the_funnel_of_an_ad_sums_to_all_decisions_of_all_workers(server, answers):
    explained = told(server, f"/v1/decisions/{answers[0]['decision_id']}/explain")
    ad = explained["candidates"]["listed"][0]["ad"]

    funnel = told(server, f"/v1/ads/{ad}/why?window=5m")

    assert sum(part["decisions"] for part in funnel["funnel"]) == funnel["decisions"]
    assert funnel["decisions"] >= len(answers)
    assert funnel["candidate_in"] >= 1


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/decisions/nonsense/explain", 400, "id"),
        ("/v1/decisions/%2e%2e%2fetc/explain", 400, "id"),
        ("/v1/ads/x/why", 400, "id"),
        ("/v1/ads/1/why?window=forever", 400, "window"),
    ],
)
def test_hostile_questions_are_answered_with_their_field(server, path, status, field):
    assert told(server, path, status)["error"]["field"] == field


def test_what_is_not_kept_is_not_found_with_a_reason(server):
    assert "worker" in told(server, f"/v1/decisions/{'f' * 16}/explain", 404)["error"]["message"]
    assert "no ad" in told(server, "/v1/ads/999999999/why", 404)["error"]["message"]


def test_a_forwarded_caller_is_not_told_bids(server, answers):
    path = f"/v1/decisions/{answers[0]['decision_id']}/explain"
    forwarded = urllib.request.Request(server.url + path, headers={"X-Forwarded-For": "192.0.2.1"})

    status, body = server._answer(forwarded)

    assert status == 403
    assert b"candidates" not in body


def test_explanations_are_counted_among_the_answers_and_their_bytes_told(server, answers):
    metrics = server.get("/metrics")[1].decode()

    assert 'route="/v1/decisions/{id}/explain",status="200"' in metrics
    assert 'adserver_auction_bytes_total{what="ring"}' in metrics
