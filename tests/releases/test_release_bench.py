"""What the trial of a release under load counts as a mixture, and which seconds it excuses."""

from __future__ import annotations

from array import array

import numpy as np
import pyarrow as pa
import pytest
from model_variants import COMMITTED

from adserver.features.rows import SCHEMA
from bench.release import excused, seconds
from bench.released.scores import rates
from bench.released.variants import variant
from loadtest.tally import Tally
from loadtest.traffic import AUCTION, DECISION, IMPRESSION
from ranking.bundle import Bundle
from ranking.counts import COUNTS
from ranking.features import AD_FIELDS, REQUEST_FIELDS, SLOT_FIELDS, width


def test_a_second_is_judged_by_the_requests_that_were_due_in_it_and_events_are_none():
    tally = Tally()
    tally.route = array("b", [DECISION] * 4 + [AUCTION, IMPRESSION, DECISION])
    tally.due_s = array("d", [9.0, 10.1, 10.2, 11.0, 11.9, 11.5, 12.0])
    tally.latency_s = array("d", [9.0, 0.010, 0.020, 0.001, 0.040, 5.0, 9.0])

    assert seconds(tally) == {10: 20.0, 11: 40.0}  # the first and the last are not whole


def test_the_first_second_after_a_move_is_excused_and_no_other():
    assert excused([("shadow", 10.7), ("shadow in effect", 20.0)]) == {10, 11, 20, 21}


def test_models_that_differ_in_calibration_or_in_tables_give_other_rates(tmp_path, rng):
    widths = {
        "request": width(REQUEST_FIELDS), "ads": width(AD_FIELDS),
        "slot_ids": width(SLOT_FIELDS), "counts": COUNTS,
    }  # fmt: skip
    columns = {
        name: pa.array(list(rng.integers(0, 2, (50, wide))), SCHEMA.field(name).type)
        for name, wide in widths.items()
    }
    table = pa.table(columns)
    own = rates(Bundle.load(COMMITTED), table)

    calibrated = rates(Bundle.load(variant(COMMITTED, tmp_path / "rate", rate=1.05)), table)
    moved = rates(Bundle.load(variant(COMMITTED, tmp_path / "shift", shift=0.2)), table)

    assert calibrated == pytest.approx(1.05 * own, rel=1e-3)
    assert np.mean(~np.isclose(moved, own, rtol=1e-3, atol=2e-6)) > 0.9
