"""Where a market is played: a data folder with the market's catalogue, and settings that fit it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import write_catalogue
from adserver.driving.clock import SimulatedClock
from adserver.driving.drive import Drive, DriveSettings
from adserver.driving.people import People
from adserver.identity import SECRET_BYTES, secret_of
from adserver.money import open_store
from adserver.settings import Settings
from adserver.worker import Worker
from simulator.market.market import Market

KEY = "signs the events of simulated people only"
PENDING = "people.msgpack"
STATE_BYTES = 256 << 20


def settings_for(data: Path, base: Settings) -> Settings:
    """`base` with what a market that is played in process needs: its own folder, one worker that
    scores by itself, small files."""
    return replace(
        base,
        adserver_data=data,
        database_url="",
        scorer="local",
        workers=1,
        adserver_token_key=KEY,
        state_bytes=STATE_BYTES,
        clicks_per_day=1_000_000,
        auction_ring_mib=4,
        batch_rows=max(base.batch_rows, base.candidates),
    )


def prepare(market: Market, settings: Settings) -> None:
    """The catalogue of all days, a first snapshot, and identities that depend on the seed only."""
    settings.adserver_data.mkdir(parents=True, exist_ok=True)
    write_catalogue(settings.database, market.catalogue)
    build(market, settings, 0)
    store = open_store(settings)
    secret_of(store, market.settings.seed.to_bytes(SECRET_BYTES, "big"))
    store.close()


def build(market: Market, settings: Settings, day: int) -> int:
    """A snapshot for the models that serve; its number."""
    now = market.midnight_s(day)
    return build_snapshot(
        *(settings.database, settings.snapshots, settings.bundle, now),
        others=settings.trial_bundles,
    )


async def opened(market: Market, settings: Settings, start_s: float, drive: DriveSettings) -> Drive:
    """A worker that is warm, and the people as the last drive left them."""
    clock = SimulatedClock(start_s)
    worker = Worker(settings, 0, clock.clocks)
    await worker.warm_up()
    people = People.load(settings.adserver_data / PENDING)
    return Drive(market, worker, clock, drive, people)


async def closed(drive: Drive) -> None:
    """Everything written; what people are still to do is kept for the next drive."""
    await drive.worker.stop()
    drive.people.save(drive.worker.settings.adserver_data / PENDING)
