"""The steps in which the loop learns: from a day's log to a model that passed the gate."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec

from adserver.drift.watch import look
from adserver.loop.journal import State
from adserver.loop.settings import UNTRAINED, Ranker
from adserver.loop.step import Done, Run, done
from adserver.loop.world import changed, world
from adserver.releases.registry import Registry
from feedback.compaction import compact
from feedback.gate_pages import replay_newest
from feedback.labels.build import labels
from feedback.labels.settings import LabelSettings, Window
from ranking import export as exporting
from ranking import training
from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.gate import GateRefused

OPEN_S = 1_200
"""Of the end of a day, which is labelled with the next one: impressions may come ten minutes after
their decision, and clicks ten minutes after that."""
SUSPECT_RATE = 0.16
"""Of an audience that clicks four times as often as usual."""
CALIBRATION_ROWS, TEST_ROWS = 10_000, 6_000
"""Of the newest impressions: some hundred clicks to calibrate by and to judge by, but no more than
a quarter of what there is."""
PAGES = 2_000
"""Sold by both forms of a model at the gate."""


def collect(run: Run, day: int, state: State) -> Done:
    """The event log into the warehouse."""
    with changed(run.folder, state.data) as place:
        found = compact(place.data / "events", place.data / "warehouse")
    facts = {"slots": found.slots, "events": found.events, "damaged": found.damaged}
    return done(state, facts, data=state.data + 1)


def watch(run: Run, day: int, state: State) -> Done:
    """Whether the model in production meets what it learnt, and what is due: a training or none."""
    now_ms = int(1000 * run.market.midnight_s(day + 1))
    with changed(run.folder, state.data) as place:
        settings = place.settings(run.settings, day)
        found = look(settings, now_ms, place.registry)
    knows_nothing = state.production == UNTRAINED
    due = "it has learnt nothing yet" if knows_nothing else found.due and found.due.reason
    facts = {
        "model": found.model,
        "alarms": found.alarms,
        "due": due or "",
        "note": found.note,
        "figures": msgspec.to_builtins(found.days or found.figures),
    }
    return done(state, facts, data=state.data + 1, due=bool(due))


def join(run: Run, day: int, state: State) -> Done:
    """What was shown with what was clicked: the day's labels."""
    place = world(run.folder, state.data)
    begin, end = (int(1000 * (run.market.midnight_s(one) - OPEN_S)) for one in (day, day + 1))
    window = Window(begin, end, int(1000 * run.market.midnight_s(day + 1)))
    settings = LabelSettings(suspect_rate=SUSPECT_RATE)
    found, _ = labels(place.data / "warehouse", place.data / "features", window, settings)
    out = run.day(day) / "labels.npz"
    found.impressions.save(out)
    table = found.impressions
    facts = {"impressions": len(table), "clicks": int(table.click.sum())}
    return done(state, facts, (out,))


def train(run: Run, day: int, state: State) -> Done:
    """A run's checkpoint from the days so far, or by continuing the last one with the new day."""
    shutil.rmtree(run.day(day) / "run", ignore_errors=True)
    if not state.due:
        return done(state, {"refused": "none is due"})
    warm = run.settings.warm and bool(state.run)
    days = [day] if warm else range(max(0, day + 1 - run.settings.history_days), day + 1)
    table = Impressions.joined([Impressions.load(run.day(one) / "labels.npz") for one in days])
    out = run.day(day) / "run"
    settings = replace(
        training.TrainSettings.for_rows(len(table)),
        calibration=min(0.15, CALIBRATION_ROWS / len(table)),
        test=min(0.1, TEST_ROWS / len(table)),
    )
    alone = run.settings.ranker is Ranker.LOGISTIC
    fit = training.logistic_only if alone else training.train
    start = run.folder / state.run if warm else None
    try:
        fit(table, out, settings, run.settings.seed + day, run.heard, start)
    except training.NotTrainable as refusal:
        return done(state, {"refused": str(refusal)})
    about = json.loads((out / "checkpoint.json").read_text())
    facts = {"impressions": len(table), "metrics": about["metrics"]}
    outputs = tuple(path for path in out.iterdir() if path.is_file())
    trained_ms = int(1000 * run.market.midnight_s(day + 1))
    name = str(out.relative_to(run.folder))
    return done(state, facts, outputs, run=name, trained_ms=trained_ms)


def export(run: Run, day: int, state: State) -> Done:
    """Quantised, calibrated and judged; refused models stay in the run's folder."""
    out, trained = run.day(day) / "export", run.day(day) / "run"
    shutil.rmtree(out, ignore_errors=True)
    if not trained.exists():
        return done(state, {"refused": "nothing was trained"})
    if not _judgeable(trained / "test_slice.npz"):
        return done(state, {"refused": "the newest impressions have no clicks to judge by"})
    place = world(run.folder, state.data)
    settings = place.settings(run.settings, day)
    replay = replay_newest(trained / "test_slice.npz", PAGES, settings.auction)
    try:
        manifest = exporting.export(
            trained,
            out,
            settings=settings.gate_limits,
            replay=replay,
            progress=run.heard,
            incumbent=_incumbent(place.registry, state.production),
        )
    except GateRefused as refusal:
        shutil.rmtree(out, ignore_errors=True)
        return done(state, {"refused": str(refusal), "gate": refusal.report.as_json()})
    facts = {name: manifest[name] for name in ("gate", "challenge", "metrics")}
    return done(state, facts, tuple(out.iterdir()))


def _incumbent(registry: Registry, production: int) -> Bundle | None:
    """None where nothing is to be beaten: the first model is judged by its own form alone."""
    return None if production == UNTRAINED else Bundle.load(registry.folder(production))


def _judgeable(newest: Path) -> bool:
    click = Impressions.load(newest).click
    return bool(click.any() and not click.all())
