import pytest
from auction_crowd import Crowd, crowd, some_money, some_settings

from adserver import compiling
from auction import kernels
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import FairnessSettings


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("mechanism", compiling.MECHANISMS)
def test_what_was_compiled_ahead_is_what_sells(mechanism, fair, rng):
    compiling.compile_auction()
    compiled = list(kernels.sell.signatures)

    bids, slots = crowd(rng, Crowd(slots=3, rows=8, all_rules=True))
    exposure = Exposure(FairnessSettings(max_share=0.3, window=20, steps=7)) if fair else None
    settings = some_settings(rng, mechanism=mechanism)
    slate = run_auction(bids, slots, exposure, some_money(rng), settings)

    assert (slate.winner >= 0).any()
    assert kernels.sell.signatures == compiled
