"""How long a forecast takes on a week of a server's kept auctions, one in a hundred.

    python -m bench.forecast

Writes the sample of simulated weeks of three sizes as a server would, then forecasts a new line
item: like the one that bids most often, and by country and size, which looks at every request. One
JSON line per figure; seconds of wall time from the files to the figures, in one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adserver.auctions.asked import pack, split
from adserver.auctions.record import AuctionRecord, Notes
from adserver.auctions.sample import framed
from adserver.request import AdRequest, Slot
from adserver.simulated import Marketplace, Setup
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from feedback.replay.changes import Changes
from feedback.replay.forecast import Proposal, sheets
from feedback.replay.held import Held, line_item_of
from feedback.replay.logged import Log, forecast

PAGES_PER_DAY = (100_000, 500_000, 1_000_000)
MOST_BYTES = 48 << 20
"""What `adserver simulate forecast` looks at unless told otherwise."""
CONTENDERS = 40
"""Per slot; about a hundred to a page."""
BID, BUDGET = 12_000_000, 500_000_000
COUNTRIES = ("DEU", "FRA", "USA", "GBR")
SEGMENT_PAGES = 2_000


def kept(held: Held) -> AuctionRecord:
    """The pages as a server records them; who asked is made up."""
    most = int(held.bids.account.max(initial=0)) + 1
    rich = np.full(most, 10**15, np.int64)
    slate = run_auction(held.bids, held.slots, None, rich, AuctionSettings())
    pages = len(held)
    notes = Notes(
        number=held.slots.seed,
        at_ms=(held.at_s * 1000).astype(np.int64),
        snapshot=np.ones(pages, np.int64),
        quality=np.zeros(pages, np.uint8),
        ad_id=held.bids.ad.astype(np.int64),
        sold=slate.winner >= 0,
    )
    count = np.diff(held.slots.offset).tolist()
    requests = [request_of(int(held.slots.seed[page]), count[page]) for page in range(pages)]
    return AuctionRecord(split(pack(requests)), notes, held.bids, held.slots, slate, model="sim")


def request_of(seed: int, slots: int) -> AdRequest:
    places = tuple(
        Slot(f"s{n}", placement=f"home-{n}", sizes=((300, 250), (728, 90))) for n in range(slots)
    )
    return AdRequest(
        str(seed),
        places,
        country=COUNTRIES[seed % len(COUNTRIES)],
        device=("desktop", "phone")[seed // 4 % 2],
        segments=("sport", "news"),
        user=f"{seed:016x}",
    )


def write_week(folder: Path, market: Marketplace) -> int:
    """Segments of one week, as a worker leaves them; how many pages."""
    pages = 0
    file = None
    for held in market.week(0):
        if file is None or pages % SEGMENT_PAGES < len(held):
            if file is not None:
                file.close()
            file = (folder / f"sample-w0-{int(held.at_s[0] * 1000)}.bin").open("ab")
        file.write(framed(kept(held)))
        pages += len(held)
    if file is not None:
        file.close()
    return pages


def busiest(log: Log) -> int:
    """The line item that bids most often."""
    count = np.zeros(1, np.int64)
    for record in log.records():
        found = np.bincount(line_item_of(record.bids))
        count = np.pad(count, (0, max(0, len(found) - len(count))))
        count[: len(found)] += found
    return int(count.argmax())


def proposals(like: int) -> Iterator[tuple[str, Proposal]]:
    yield "like the busiest line item", Proposal(BID, False, BUDGET, like=like)
    asked = Proposal(
        BID,
        False,
        BUDGET,
        sizes=((300, 250),),
        countries=("DEU", "FRA"),
        click_ppm=2_000,
    )
    yield "by country and size", asked


def measure(pages_per_day: int) -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="forecast-") as temporary:
        folder = Path(temporary)
        setup = Setup(ads=20_000, pages_per_day=pages_per_day, contenders=CONTENDERS)
        pages = write_week(folder, Marketplace(setup))
        log = Log(folder).thinned(MOST_BYTES)
        like = busiest(log)
        forecast(log, Proposal(1_000_000, False, 1_000_000, like=like), Changes())  # compile
        for name, proposal in proposals(like):
            begin, cpu = time.perf_counter(), time.process_time()
            found = forecast(log, proposal, Changes())
            shown = sheets(found, {})
            seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
            yield {
                "bench": "forecast",
                "proposal": name,
                "pages_per_day": pages_per_day,
                "pages_in_sample": pages,
                "looked_at_one_in": log.thin,
                "pages_entered": found.after.pages,
                "mib": round(sum(f.stat().st_size for f in folder.iterdir()) / 2**20, 1),
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu_seconds, 2),
                "impressions_p10_p50_p90": [round(float(x)) for x in shown[0].rows[0][2:]],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--pages-per-day", type=int, nargs="+", default=list(PAGES_PER_DAY))
    parser.add_argument("--quick", action="store_true", help="one small size")
    arguments = parser.parse_args()
    for pages in [20_000] if arguments.quick else arguments.pages_per_day:
        for line in measure(pages):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
