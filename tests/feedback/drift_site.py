"""A data folder as a server leaves it: days of a feature log and its events, of a known world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drifting import MONDAY_MS, Scene, hours
from pyarrow import ipc
from synthetic import write

from adserver.features.rows import SCHEMA, Rows, joined
from adserver.records import ClickRecord, Filter, ImpressionRecord
from ranking.features import AD_FIELDS, width

HOUR_MS = 3_600_000


def write_site(folder: Path, stretches: list[tuple[int, Scene]], requests: int = 600) -> int:
    """Hours of scenes from MONDAY_MS on, one slot a request; returns the moment they end."""
    (folder / "features").mkdir(parents=True)
    at, events = 0, []
    with ipc.new_stream(folder / "features" / f"w0-{MONDAY_MS}.arrows", SCHEMA) as stream:
        for count, scene in stretches:
            table, score, _ = hours(at, count, 1, scene, requests)
            first = at * 100_000 + 1
            stream.write_batch(joined([_rows(table, score, first)]))
            events += _events(table, first)
            at += count
    write(events, folder / "events" / "w0-1.log")
    return MONDAY_MS + at * HOUR_MS


def _rows(table, score, first: int) -> Rows:
    n = len(table)
    return Rows(
        decision=np.arange(first, first + n, dtype=np.uint64),
        slot=np.zeros(n, np.int16),
        t=table.time_ms,
        ad=table.ad.astype(np.int64),
        request=table.request,
        ads=table.catalogue[table.ad][:, : width(AD_FIELDS)],
        slot_ids=table.slot,
        counts=table.counts,
        logit=np.log(score / (1 - score)),
        pctr=score,
        model=np.ones(n, np.int32),
        arm=[""] * n,
        quality=np.zeros(n, np.int8),
        snapshot=np.ones(n, np.int64),
        propensity=np.ones(n, np.float32),
        explored=np.zeros(n, np.bool_),
    )


def _events(table, first: int) -> list:
    found = []
    for row, (t, click) in enumerate(zip(table.time_ms.tolist(), table.click, strict=True)):
        about = {"code": Filter.OK, "decision": f"{first + row:016x}", "slot": 0, "decided": t}
        found.append(ImpressionRecord(t=t + 1000, **about))
        if click:
            found.append(ClickRecord(t=t + 9000, **about))
    return found
