"""The steps in which the server serves: its beginning, days of the market, and a new model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from adserver.driving import place
from adserver.driving.counting import Predicted
from adserver.driving.drive import DriveSettings
from adserver.driving.tally import Tally
from adserver.loop.journal import State
from adserver.loop.settings import UNTRAINED, LoopSettings
from adserver.loop.step import Act, Done, Run, done
from adserver.loop.untrained import write_untrained
from adserver.loop.world import World, aside, changed
from adserver.releases.states import Releases, Traffic
from adserver.releases.states import State as Stage

COLD_RATE = 0.02
"""Click rate that a server expects of whatever it knows nothing about: near enough to that of ads
at random, or the guardrails take the first trained model's rates for a fault."""


def found(run: Run, day: int, state: State) -> Done:
    """The market's catalogue, and a model that has seen nothing in production."""
    with changed(run.folder, state.data) as world:
        write_untrained(world.registry.folder(UNTRAINED), COLD_RATE, run.settings.seed)
        world.registry.change(lambda released: _begun(released, run.settings.seed))
        place.prepare(run.market, world.settings(run.settings, day))
    return done(state, data=state.data + 1, production=UNTRAINED)


def _begun(released: Releases, seed: int) -> Releases:
    """Who falls to a canary depends on the seed alone."""
    return msgspec.structs.replace(released, salt=f"{seed:016x}")


def simulate(hours: range) -> Act:
    """Hours of a day of the market. The server itself judges what is on trial meanwhile, and moves
    it up or rolls it back."""

    def act(run: Run, day: int, state: State) -> Done:
        with changed(run.folder, state.data) as world:
            outputs, facts = _played(run, world, day, hours)
            production = world.registry.traffic().production
        return done(state, facts, outputs, data=state.data + 1, production=production)

    return act


def control(run: Run, day: int, state: State) -> Done:
    """What is to come, as the untrained start would serve it: everything else is the same.

    It happens in a world of its own, of which only the sums are kept.
    """
    with aside(run.folder, state.data) as world:
        world.only(UNTRAINED)
        tally, _ = asyncio.run(_driven(run, world, day, range(*run.settings.hours)))
    sums = _folder(run, day) / "control-00.json"
    sums.write_bytes(orjson.dumps(tally.rows()))
    return done(state, tally.day(day).figures(), (sums,))


def _played(
    run: Run, world: World, day: int, hours: Sequence[int]
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Hours of a day by the worker of this world; where their sums are, and the main ones."""
    tally, predicted = asyncio.run(_driven(run, world, day, hours))
    folder, first = _folder(run, day), hours[0]
    sums, seen = folder / f"tally-{first:02}.json", folder / f"predicted-{first:02}.npz"
    sums.write_bytes(orjson.dumps(tally.rows()))
    predicted.save(seen)
    return (sums, seen), tally.day(day).figures()


def _folder(run: Run, day: int) -> Path:
    run.day(day).mkdir(parents=True, exist_ok=True)
    return run.day(day)


async def _driven(
    run: Run, world: World, day: int, hours: Sequence[int]
) -> tuple[Tally, Predicted]:
    settings = run.settings
    start_s = run.market.midnight_s(day) + 3600.0 * hours[0]
    driving = DriveSettings(regret_one_in=settings.regret_one_in)
    drive = await place.opened(run.market, world.settings(settings, day), start_s, driving)
    tally = await drive.play(day, hours, run.heard)
    await place.closed(drive)
    return tally, Predicted.joined(drive.predicted)


def release(run: Run, day: int, state: State) -> Done:
    """The day's model into shadow, or into production where that knows nothing; its tables too.

    What is still on trial gives way: a newer model has come.
    """
    exported = run.day(day) / "export"
    if not exported.exists():
        return done(state, {"refused": True})
    now_s = run.market.midnight_s(day + 1)
    at_ms = int(1000 * now_s)
    with changed(run.folder, state.data) as world:
        registry = world.registry
        traffic = registry.traffic()
        for version in {traffic.shadow, traffic.canary} - {0}:
            registry.roll_back(version, at_ms, "a newer model has come", {})
        version = registry.register(exported, at_ms, run=f"day {day + 1}")
        to, why = _first_stage(run.settings, traffic)
        registry.promote(version, to, at_ms, why, {})
        production = registry.traffic().production
        place.build(run.market, world.settings(run.settings, day + 1), day + 1)
    facts = {"version": version, "to": str(to)}
    return done(state, facts, data=state.data + 1, production=production, candidate=version)


def _first_stage(settings: LoopSettings, traffic: Traffic) -> tuple[Stage, str]:
    if traffic.production == UNTRAINED:
        return Stage.PRODUCTION, "it passed the gate, and what it replaces has learnt nothing"
    if not settings.trial:
        return Stage.PRODUCTION, "it passed the gate"
    return Stage.SHADOW, "it passed the gate"
