"""The auction compiled before anybody sells:  python -m adserver.compiling [gsp] [vcg]

A fresh machine needs a minute for it, on one core. So another process begins early: for a server
while the catalogue is made and the first worker compiles the rest, for the tests while packages
are downloaded. Who needs the auction next waits for it instead of compiling the same.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from adserver.children import die_with_parent
from adserver.kernel_cache import VARIABLE
from auction.columns import LEVELS, Bids, Slots
from auction.mechanism import run_auction
from auction.settings import MECHANISMS, AuctionSettings


def compile_auction(mechanisms: Sequence[str] = MECHANISMS) -> None:
    """Sell nothing, once by each mechanism, which is a kernel: a later sale finds it in the cache.

    One process at a time: who comes second waits, and has nothing left to compile.
    """
    bids, slots = _nothing()
    with _alone(_folder()) as folder:
        for mechanism in mechanisms:
            settings = AuctionSettings(mechanism=mechanism)
            run_auction(bids, slots, None, np.zeros(0, np.int64), settings)
            (folder / mechanism).touch()


def is_cold(mechanism: str) -> bool:
    """Whether that auction has still to be compiled on this machine, or its end was not seen."""
    return not (_folder() / mechanism).exists()


@contextmanager
def compiled_beside(mechanism: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process compiles meanwhile; it does not outlive what it was begun for."""
    with subprocess.Popen(
        (sys.executable, "-m", "adserver.compiling", mechanism),
        start_new_session=True,  # Ctrl-C is for us to hear
        preexec_fn=die_with_parent,  # noqa: PLW1509 — before there are threads
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _nothing() -> tuple[Bids, Slots]:
    """A batch of no requests, whose columns have the types of every other one's."""
    offset, none = np.zeros(1, np.int32), np.zeros(0, np.int32)
    bids = Bids(
        offset=offset,
        ad=none,
        creative=none,
        advertiser=none,
        account=np.zeros((0, LEVELS), np.int32),
        bid_micros=np.zeros(0, np.int64),
        per_click=np.zeros(0, np.bool_),
        pctr_ppm=np.zeros((0, 0), np.int64),
        slots=np.zeros(0, np.uint32),
        rejected=np.zeros(0, np.uint8),
    )
    slots = Slots(
        offset=offset,
        floor_micros=np.zeros(0, np.int64),
        first_price=np.zeros(0, np.bool_),
        seed=np.zeros(0, np.uint64),
    )
    return bids, slots


def _folder() -> Path:
    return Path(os.environ[VARIABLE])


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "compiling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


if __name__ == "__main__":
    compile_auction([one for one in MECHANISMS if one in sys.argv[1:]] or MECHANISMS)
