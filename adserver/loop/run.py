"""Runs the steps that are not yet done, one after another, however the last process ended."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from adserver.errors import ConfigError
from adserver.loop import journal
from adserver.loop.journal import Entry, Journal
from adserver.loop.page import loop_page
from adserver.loop.report import report
from adserver.loop.settings import LoopSettings
from adserver.loop.step import Heard, Run
from adserver.loop.steps import plan
from adserver.loop.world import forget
from adserver.releases.layout import replace_durably
from simulator.market.market import Market

SETTINGS, LOCK = "loop.json", ".lock"
REPORT, PAGE = "report.json", "report.html"


def run_loop(
    folder: Path, settings: LoopSettings, heard: Heard = lambda stage, share: None
) -> Journal:
    """All days, or those that are left, and the report; ConfigError lists what is wrong.

    A folder belongs to one run: other settings than it began with are refused, and so is a second
    process.
    """
    problems = list(settings.problems())
    if problems:
        raise ConfigError(problems)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _settle_on(folder, settings)
        run = Run(folder, settings, Market(settings.market), heard)
        done = journal.load(folder)
        for day, step in islice(plan(settings), len(done.entries), None):
            heard(f"day {day + 1}: {step.name}", 0.0)
            left = step.act(run, day, done.state)
            outputs = journal.fingerprints(folder, left.outputs)
            done = done.with_entry(Entry(day, step.name, left.state, left.facts, outputs))
            journal.save(folder, done)
            forget(folder, left.state.data)
            heard(f"day {day + 1}: {step.name}", 1.0)
        _write_report(folder, report(folder, settings, done))
    return done


def _write_report(folder: Path, found: dict[str, Any]) -> None:
    """The same run writes the same bytes."""
    content = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    replace_durably(folder / REPORT, content + b"\n")
    replace_durably(folder / PAGE, loop_page(found).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError([f"another process runs the loop in {folder}"]) from None
        yield


def _settle_on(folder: Path, settings: LoopSettings) -> None:
    path, wanted = folder / SETTINGS, settings.as_json()
    if not path.exists():
        replace_durably(path, wanted.encode())
    elif path.read_text() != wanted:
        raise ConfigError([f"{path}: this run began with other settings: choose another folder"])
