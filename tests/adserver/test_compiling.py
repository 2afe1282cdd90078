import fcntl
import os
import threading
from pathlib import Path

import pytest
from auction_crowd import Crowd, crowd, some_money, some_settings

from adserver import compiling
from adserver.kernel_cache import VARIABLE
from auction import kernels
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import GSP, MECHANISMS, VCG, FairnessSettings


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_was_compiled_ahead_is_what_sells(mechanism, fair, rng):
    compiling.compile_auction()
    compiled = list(kernels.sell.signatures)

    bids, slots = crowd(rng, Crowd(slots=3, rows=8, all_rules=True))
    exposure = Exposure(FairnessSettings(max_share=0.3, window=20, steps=7)) if fair else None
    settings = some_settings(rng, mechanism=mechanism)
    slate = run_auction(bids, slots, exposure, some_money(rng), settings)

    assert (slate.winner >= 0).any()
    assert kernels.sell.signatures == compiled


def test_a_machine_is_cold_until_the_end_of_compiling_was_seen(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kernels"))
    assert compiling.is_cold(GSP)

    compiling.compile_auction([GSP])  # in this process it is compiled; another cache is told so
    assert not compiling.is_cold(GSP)
    assert compiling.is_cold(VCG)


def test_who_needs_the_auction_waits_for_whoever_compiles_it():
    second = threading.Thread(target=compiling.compile_auction)
    with (Path(os.environ[VARIABLE]) / "compiling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        second.join(0.3)
        assert second.is_alive()
    second.join(60.0)
    assert not second.is_alive()


def test_the_process_beside_does_not_outlive_what_it_was_begun_for():
    with pytest.raises(KeyboardInterrupt), compiling.compiled_beside(GSP) as process:
        raise KeyboardInterrupt

    assert process.returncode is not None
