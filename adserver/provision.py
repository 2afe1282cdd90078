"""What has to be there before anything serves, and makes it where it is not."""

from __future__ import annotations

import contextlib

from rich.console import Console

from adserver import progress
from adserver.catalogue import operations, schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.catalogue.snapshot import CURRENT, Snapshot, SnapshotError
from adserver.catalogue.tables import are_there, verify_tables
from adserver.deadline import wall
from adserver.settings import Settings
from ranking.bundle import Bundle


def ensure_catalogue(settings: Settings, console: Console) -> None:
    """Fill an empty database with the sample."""
    engine = schema.connect(settings.database)
    schema.create_tables(engine)
    empty = operations.is_empty(engine)
    engine.dispose()
    if empty:
        with progress.shown(console, f"sample catalogue of {settings.ads:,} ads") as heard:
            create_sample(settings.database, settings.ads, wall(), progress=heard, mixed=True)


def ensure_snapshot(settings: Settings, console: Console) -> None:
    """Build a snapshot unless the current one is whole and was built for the current model."""
    bundle = Bundle.load(settings.bundle)
    with contextlib.suppress(SnapshotError):
        if Snapshot.load(settings.snapshots).manifest.model.sha256 == bundle.tables_sha256:
            return
    _build(settings, console)


def mend_snapshot(settings: Settings, console: Console) -> None:
    """Build a snapshot where the current one, or what the model has made of it, is damaged: a
    machine that loses its power may lose what it has just written."""
    bundle = Bundle.load(settings.bundle)
    try:
        folder = Snapshot.load(settings.snapshots).folder
        if are_there(folder, bundle):
            verify_tables(folder, bundle)
    except SnapshotError as error:
        if (settings.snapshots / CURRENT).exists():
            console.print(f"[yellow]{error}: it is built anew[/yellow]", soft_wrap=True)
            _build(settings, console)


def _build(settings: Settings, console: Console) -> None:
    with progress.shown(console, "snapshot") as heard:
        build_snapshot(
            *(settings.database, settings.snapshots, settings.bundle, wall()),
            progress=heard,
            others=settings.trial_bundles,
        )
