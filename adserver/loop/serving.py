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
from adserver.loop.settings import Ranker
from adserver.loop.step import Done, Run, done
from adserver.loop.untrained import write_untrained
from adserver.loop.world import World, changed
from adserver.releases.states import Releases
from adserver.releases.states import State as Stage

COLD_RATE = 0.01
"""Click rate that a server expects of whatever it knows nothing about."""


def found(run: Run, day: int, state: State) -> Done:
    """The market's catalogue, and a model that has seen nothing in production."""
    with changed(run.folder, state.data) as world:
        write_untrained(world.registry.folder(1), COLD_RATE, run.settings.seed)
        world.registry.change(lambda released: _begun(released, run.settings.seed))
        place.prepare(run.market, world.settings(run.settings))
    return done(state, data=state.data + 1, production=1)


def _begun(released: Releases, seed: int) -> Releases:
    """Who falls to a canary depends on the seed alone."""
    return msgspec.structs.replace(released, salt=f"{seed:016x}")


def simulate(run: Run, day: int, state: State) -> Done:
    """A day of the market."""
    with changed(run.folder, state.data) as world:
        outputs, facts = _played(run, world, day, range(*run.settings.hours))
    return done(state, facts, outputs, data=state.data + 1)


def _played(
    run: Run, world: World, day: int, hours: Sequence[int]
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Hours of a day by the worker of this world; where their sums are, and the main ones."""
    tally, predicted = asyncio.run(_driven(run, world, day, hours))
    folder = run.day(day)
    folder.mkdir(parents=True, exist_ok=True)
    first = hours[0]
    sums, seen = folder / f"tally-{first:02}.json", folder / f"predicted-{first:02}.npz"
    sums.write_bytes(orjson.dumps(tally.rows()))
    predicted.save(seen)
    return (sums, seen), tally.day(day).figures()


async def _driven(
    run: Run, world: World, day: int, hours: Sequence[int]
) -> tuple[Tally, Predicted]:
    settings = run.settings
    start_s = run.market.midnight_s(day) + 3600.0 * hours[0]
    driving = DriveSettings(regret_one_in=settings.regret_one_in)
    drive = await place.opened(run.market, world.settings(settings), start_s, driving)
    if settings.ranker is Ranker.LOGISTIC:
        place.only_logistic(drive)
    tally = await drive.play(day, hours, run.heard)
    await place.closed(drive)
    return tally, Predicted.joined(drive.predicted)


def promote(run: Run, day: int, state: State) -> Done:
    """The candidate into production, and a snapshot with its tables; without one, nothing."""
    exported = run.day(day) / "export"
    if not exported.exists():
        return done(state, {"refused": True})
    now_s = run.market.midnight_s(day + 1)
    at_ms = int(1000 * now_s)
    with changed(run.folder, state.data) as world:
        version = world.registry.register(exported, at_ms, run=f"day {day + 1}")
        reason = "it passed the gate"
        world.registry.promote(version, Stage.PRODUCTION, at_ms, reason, {})
        place.build(run.market, world.settings(run.settings), day + 1)
    return done(state, {"version": version}, data=state.data + 1, production=version)
