"""Runs of the loop that are killed at every step, against one that is not."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time

import pytest

from adserver.errors import ConfigError
from adserver.loop import journal
from adserver.loop.run import run_loop
from adserver.loop.settings import LoopSettings
from adserver.loop.steps import plan

OPEN = json.dumps(
    {
        "auc_drop": 1,
        "auc_ratio": 0,
        "logloss_rise": 1,
        "copc_change": 1,
        "ece": 1,
        "ece_share": 1,
        "flips": 1,
        "revenue_change": 1,
    }
)
"""A few clicks to judge by are no judgement."""
TINY = LoopSettings(
    days=1,
    ads=200,
    visits=12_000,
    hours=(12, 13),
    regret_one_in=5,
    release_gate=OPEN,
)
PATIENCE_S = 400.0


def begun(folder):
    """A process of its own in which the run goes on."""
    process = multiprocessing.get_context("fork").Process(target=run_loop, args=(folder, TINY))
    process.start()
    return process


def killed_within(folder, steps, wait_s):
    """Kill the process a moment after so many steps are done; whether it was still alive."""
    process = begun(folder)
    until = time.monotonic() + PATIENCE_S
    while len(journal.load(folder).entries) < steps and process.is_alive():
        assert time.monotonic() < until, "the loop stands still"
        time.sleep(0.005)
    time.sleep(wait_s)
    alive = process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unharmed")
    process = begun(folder)
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    return folder


def test_a_run_killed_inside_every_step_reports_what_an_unharmed_one_does(unharmed, tmp_path):
    kills = sum(
        killed_within(tmp_path, steps, 0.03 * (1 + steps % 3))
        for steps in range(len(list(plan(TINY))))
    )

    process = begun(tmp_path)
    process.join(PATIENCE_S)

    assert kills >= 5
    assert process.exitcode == 0
    assert (tmp_path / "report.json").read_bytes() == (unharmed / "report.json").read_bytes()
    assert journal.load(tmp_path) == journal.load(unharmed)


def test_outputs_are_what_the_journal_says_and_one_world_is_left(unharmed):
    done = journal.load(unharmed)

    for entry in done.entries:
        named = [unharmed / name for name in entry.outputs]
        assert journal.fingerprints(unharmed, named) == entry.outputs
    assert done.state.production == 2
    assert [one.name for one in unharmed.glob("world.*")] == [f"world.{done.state.data}"]


def test_a_folder_belongs_to_one_run(unharmed):
    with pytest.raises(ConfigError, match="other settings"):
        run_loop(unharmed, LoopSettings(days=2, ads=200))
