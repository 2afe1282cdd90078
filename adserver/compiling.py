"""The auction compiled before anybody sells:  python -m adserver.compiling

A fresh machine needs a minute for it. `make` begins while it downloads and only one core is busy;
the tests, which would compile the same in each of their processes, wait for the end.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from adserver.kernel_cache import VARIABLE
from auction.columns import LEVELS, Bids, Slots
from auction.mechanism import run_auction
from auction.settings import GSP, VCG, AuctionSettings

MECHANISMS: Final = (GSP, VCG)
"""Each is a kernel of its own."""


def compile_auction() -> None:
    """Sell nothing, once by each mechanism; a later sale finds its kernel in the cache."""
    bids, slots = _nothing()
    for mechanism in MECHANISMS:
        settings = AuctionSettings(mechanism=mechanism)
        run_auction(bids, slots, None, np.zeros(0, np.int64), settings)


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


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: who comes second waits, and has nothing left to do."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "compiling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    with _alone(Path(os.environ[VARIABLE])):
        compile_auction()
    return 0


if __name__ == "__main__":
    sys.exit(main())
