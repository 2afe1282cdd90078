"""The server's files change as a whole or not at all, and copies leave no trace in their source."""

from __future__ import annotations

import numpy as np
import pytest

from adserver.loop.settings import LoopSettings
from adserver.loop.untrained import write_untrained
from adserver.loop.world import aside, changed, copy, forget, world
from ranking.bundle import Bundle
from ranking.features import AD_FIELDS, REQUEST_FIELDS, width
from ranking.int8 import LocalScorers
from ranking.scorer import Pairs
from ranking.table import AdTable


def begun(folder):
    with changed(folder, 0) as new:
        (new.data / "events").mkdir(parents=True)
        (new.data / "state.db").write_text("one")
        (new.data / "events" / "log").write_text("written once")
    return world(folder, 1)


def spoilt(folder):
    with changed(folder, 1) as draft:
        (draft.data / "state.db").write_text("two")
        raise RuntimeError("the process ends here")


def test_a_step_that_fails_changes_nothing(tmp_path):
    before = begun(tmp_path)

    with pytest.raises(RuntimeError):
        spoilt(tmp_path)

    assert (before.data / "state.db").read_text() == "one"
    assert not world(tmp_path, 2).folder.exists()


def test_a_step_that_ends_leaves_a_new_world_beside_the_old_one(tmp_path):
    before = begun(tmp_path)

    with changed(tmp_path, 1) as draft:
        (draft.data / "state.db").write_text("two")

    assert (before.data / "state.db").read_text() == "one"
    assert (world(tmp_path, 2).data / "state.db").read_text() == "two"
    forget(tmp_path, 2)
    assert not before.folder.exists()


def test_only_what_is_written_once_is_shared(tmp_path):
    begun(tmp_path)

    with changed(tmp_path, 1):
        pass

    after = world(tmp_path, 2).data
    assert (after / "events" / "log").stat().st_nlink == 2
    assert (after / "state.db").stat().st_nlink == 1


def test_what_is_played_aside_is_thrown_away(tmp_path):
    begun(tmp_path)

    with aside(tmp_path, 1) as elsewhere:
        (elsewhere.data / "state.db").write_text("two")

    assert [one.name for one in tmp_path.iterdir()] == ["world.1"]
    assert (world(tmp_path, 1).data / "state.db").read_text() == "one"


def test_holes_of_files_stay_holes(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")

    copy(source, tmp_path / "target")

    copied = tmp_path / "target" / "sparse"
    assert copied.read_bytes() == (source / "sparse").read_bytes()
    assert copied.stat().st_blocks * 512 < 1 << 20


def test_the_untrained_model_takes_all_ads_for_equally_good(tmp_path, rng):
    write_untrained(tmp_path / "1", 0.02, 3)
    bundle = Bundle.load(tmp_path / "1")
    table = AdTable.build(bundle, rng.integers(0, 500, (40, width(AD_FIELDS))).astype(np.int32))
    vector, bias = bundle.towers.request(
        rng.integers(0, 500, (2, width(REQUEST_FIELDS))).astype(np.int32)
    )
    scorers = LocalScorers()
    scorers.add(bundle, 0, table)

    ends, ad = np.array([0, 40, 80], np.int32), np.tile(np.arange(40, dtype=np.int32), 2)
    logit = scorers.score(Pairs(0, vector, bias, ad, ends, bundle.version))

    assert np.ptp(logit) == 0
    assert bundle.calibration(logit)[0] == pytest.approx(0.02, rel=0.01)


def test_every_mistake_in_the_settings_is_named():
    wrong = LoopSettings(days=0, hours=(5, 5), exploration=0.5, min_interval_h=30, visits=0)

    said = " ".join(wrong.problems())

    for name in ("days", "hours", "exploration", "min_interval_h", "visits"):
        assert name in said
