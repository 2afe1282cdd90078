"""One decision among the rings of all workers; why it is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adserver.auctions.encoding import decode
from adserver.auctions.record import AuctionRecord
from adserver.auctions.ring import Ring

NO_AUCTION = "it was declined at once: no auction was held"
NOT_YET = "it was declined at once, or its auction has not been written down yet"


def find(folder: Path, number: int) -> AuctionRecord | str:
    """The page of this decision number, or why there is none, in words."""
    worker = number >> 56
    ring = Ring.open(folder, worker)
    if ring is None:
        return f"there is no worker {worker} whose auctions are kept on this machine"
    entries = ring.entries()
    place = int(np.searchsorted(entries["number"], np.uint64(number), "right")) - 1
    if place < 0:
        return "its auction has been overwritten by newer ones"
    entry = entries[place]
    page = number - int(entry["number"])
    if page >= int(entry["pages"]):
        last = place == len(entries) - 1
        return NOT_YET if last else NO_AUCTION
    data = ring.read(entry)
    if data is None:
        return "its auction has been overwritten by newer ones"
    return decode(data).page(page)
