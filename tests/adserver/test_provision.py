"""A snapshot that a machine has lost a part of is built anew before anything serves."""

from __future__ import annotations

import io

import pytest
from catalogue_sample import fresh_place
from model_variants import repository_at
from rich.console import Console

from adserver.catalogue.snapshot import Snapshot, SnapshotError, current_version
from adserver.provision import ensure_snapshot, mend_snapshot
from adserver.settings import from_environment


@pytest.fixture
def settings(tmp_path):
    fresh_place(tmp_path)
    repository = repository_at(tmp_path / "models")
    variables = {"ADSERVER_DATA": str(tmp_path), "MODEL_REPOSITORY": str(repository)}
    return from_environment(variables)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def lost(file):
    """As after a power failure: as long as it was, and without its contents."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("make", [ensure_snapshot, mend_snapshot])
def test_a_whole_snapshot_is_left_alone(settings, console, make):
    make(settings, console)

    assert current_version(settings.snapshots) == 1


@pytest.mark.parametrize("make", [ensure_snapshot, mend_snapshot])
@pytest.mark.parametrize("name", ["ads/ad_id.npy", "ranker/half.npy", "manifest.json"])
def test_a_damaged_one_is_built_anew(settings, console, make, name):
    lost(settings.snapshots / "1" / name)

    make(settings, console)

    assert Snapshot.load(settings.snapshots).version == 2


def test_whoever_mends_says_what_was_damaged(settings, console):
    lost(settings.snapshots / "1" / "creatives.bin")

    mend_snapshot(settings, console)

    said = console.file.getvalue()
    assert "creatives.bin: sha256" in said
    assert "built anew" in said


def test_without_any_snapshot_a_server_in_production_is_not_started_on_a_guess(settings, console):
    (settings.snapshots / "CURRENT").unlink()

    mend_snapshot(settings, console)

    with pytest.raises(SnapshotError, match="adserver catalog build"):
        current_version(settings.snapshots)
