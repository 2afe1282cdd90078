"""What pacing is worth where prices have heavy tails; `python -m bench.pacing` tries more."""

from __future__ import annotations

import numpy as np
import pytest

from bench.pacing import contest, in_hindsight, log_of


@pytest.mark.parametrize("prices", ["lognormal", "pareto"])
def test_half_the_money_buys_half_as_much_again_as_throttled_or_unpaced(prices):
    log = log_of(np.random.default_rng(0), 20_000, prices)

    found = contest(log, 0.5)

    paced = found["dual"]
    assert paced.value_micros >= 1.5 * found["throttle"].value_micros
    assert paced.value_micros >= 1.5 * found["none"].value_micros
    assert paced.value_micros >= 0.98 * in_hindsight(log[0], paced.budget_micros)
    assert 0.975 <= paced.spent_micros / paced.budget_micros <= 1.0
