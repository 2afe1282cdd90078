"""A loop whose models go through shadow and canaries by the server's own guardrails."""

from __future__ import annotations

import json
import multiprocessing
from itertools import pairwise

import pytest

from adserver.loop.run import run_loop
from adserver.loop.settings import LoopSettings

LIMITS = {"auc_drop": 1, "auc_ratio": 0, "logloss_rise": 1, "copc_change": 1, "ece": 1}
OTHERS = {"ece_share": 1, "flips": 1, "revenue_change": 1}
OPEN = json.dumps(LIMITS | OTHERS | {"candidate_auc_drop": 1, "candidate_copc": 1})
"""A few clicks to judge by are no judgement."""
SHORT = {"shadow_s": 600, "canary1_s": 600, "canary10_s": 900, "requests": 1, "clicks": 0}
QUICK = json.dumps(SHORT | {"correlation": -1.0, "ratio": 50, "rows": 10})
SMALL = LoopSettings(
    seed=2,
    days=2,
    ads=200,
    visits=12_000,
    hours=(12, 13),
    release_gate=OPEN,
    release_limits=QUICK,
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    process = multiprocessing.get_context("fork").Process(target=run_loop, args=(folder, SMALL))
    process.start()
    process.join(600)
    assert process.exitcode == 0
    assert "<svg" in (folder / "report.html").read_text()
    return json.loads((folder / "report.json").read_text())


def test_the_first_trained_model_replaces_the_untrained_one_at_once(report):
    moves = [(move["version"], move["to"]) for move in report["releases"]]

    assert moves[:3] == [(2, "candidate"), (1, "retired"), (2, "production")]


def test_the_next_one_climbs_step_by_step_while_the_market_goes_on(report):
    climbed = [move for move in report["releases"] if move["version"] == 3]

    assert [move["to"] for move in climbed] == [
        *("candidate", "shadow", "canary1", "canary10", "production")
    ]
    assert all(a["at_ms"] <= b["at_ms"] for a, b in pairwise(climbed))
    assert climbed[-1]["day"] == 2
    deciders = {row["arm"] for row in report["hours"] if row["day"] == 2 and row["requests"]}
    assert deciders == {"ctr_ranker/2", "ctr_ranker/3"}


def test_the_untrained_start_plays_the_last_day_too(report):
    control, last = report["control"], report["days"][-1]

    assert control["day"] == last["day"] == 2
    assert control["requests"] == last["requests"]
    assert 0 < control["regret"] < 1


def test_the_next_one_is_held_to_the_one_in_production(report):
    exports = [step["facts"] for step in report["steps"] if step["step"] == "export"]

    assert "skipped" in exports[0]["challenge"]
    assert exports[1]["challenge"]["incumbent"] == 2
    assert exports[1]["challenge"]["passed"]
