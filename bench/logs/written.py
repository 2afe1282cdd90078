"""The simulator's impressions as lines of a public format: nobody's data, and not their ads.

Names are numbers; only the shape of the lines, and that clicks follow from visitor, page and ad
together, is like the real logs. Times are made up: impressions come evenly over ten days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from adserver.training import simulated
from ranking.features import AD_FIELDS, REQUEST_FIELDS, SLOT_FIELDS, bag_starts

ADS = 2_000
PER_VISIT = 1.6
"""Impressions of a visit, at least."""
BEGIN = datetime(2014, 10, 21, tzinfo=UTC)
DAYS = 10
Ints = NDArray[np.int32]
AVAZU_HEAD = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,"
    "app_category,device_id,device_ip,device_model,device_type,device_conn_type,"
    "C14,C15,C16,C17,C18,C19,C20,C21"
)
TALKINGDATA_HEAD = "ip,app,device,os,channel,click_time,attributed_time,is_attributed"
IPINYOU_HEAD = (
    "click weekday hour bidid timestamp logtype ipinyouid useragent IP region city adexchange "
    "domain url urlid slotid slotwidth slotheight slotvisibility slotformat slotprice creative "
    "bidprice payprice keypage advertiser usertag"
)


@dataclass(frozen=True, slots=True)
class Played:
    """R impressions of the simulated market, one row each."""

    column: dict[str, Ints]
    """[R] numbers that stand for names: of the request, of the "ad: …" and of the "slot: …"."""
    tags: Ints
    """[R, 8] the visitor's segments; 0: none."""
    click: NDArray[np.uint8]
    truth: NDArray[np.float32]
    """[R] the rate that `click` was drawn from."""

    def __len__(self) -> int:
        return len(self.click)


def played(rows: int, seed: int) -> Played:
    """So many impressions."""
    log = simulated(ADS, int(rows / PER_VISIT) + 100, seed)
    if len(log) < rows:
        raise RuntimeError(f"{len(log)} impressions where {rows} were expected")
    of, ad, slot = log.of[:rows], log.catalogue[log.ad[:rows]], log.slot[:rows]
    request = log.request[of]
    column = {"ad: row": log.ad[:rows]}
    for prefix, fields, encoded in (
        ("", REQUEST_FIELDS, request),
        ("ad: ", AD_FIELDS, ad),
        ("slot: ", SLOT_FIELDS, slot),
    ):
        starts = bag_starts(fields)
        column |= {
            f"{prefix}{field.name}{at if at else ''}": encoded[:, start + at]
            for field, start in zip(fields, starts, strict=False)
            for at in range(min(field.width, 3))
        }
    begin = int(bag_starts(REQUEST_FIELDS)[[one.name for one in REQUEST_FIELDS].index("segments")])
    tags = request[:, begin : begin + 8]
    return Played(column, tags, log.click[:rows], log.truth[:rows])


def _moments(log: Played) -> list[datetime]:
    step = timedelta(days=DAYS) / len(log)
    return [BEGIN + step * at for at in range(len(log))]


def _lines(columns: Sequence[Sequence[object]], mark: str) -> list[str]:
    return [mark.join(map(str, row)) for row in zip(*columns, strict=True)]


def criteo(log: Played) -> str:
    """13 counts, of which three tell something, and 26 categories."""
    held = log.column
    tags = (log.tags > 0).sum(axis=1)
    counts: list[Sequence[object]] = [held["slot: position"].tolist(), tags.tolist()]
    counts.append((held["hour"] - held["hour"].min()).tolist())
    counts += [[""] * len(log)] * 10
    names = "country region device os browser language domain publisher topic categories parents"
    names += " segments segments1 segments2 user"
    ads = "ad: advertiser|ad: category|ad: topic|ad: size|ad: words|ad: words1|ad: campaign|ad: ad"
    chosen = [*names.split(), *ads.split("|"), "slot: placement", "slot: size", "slot: position"]
    texts = [[f"{value:08x}" for value in held[name].tolist()] for name in chosen]
    return "\n".join(_lines([log.click.tolist(), *counts, *texts], "\t")) + "\n"


def avazu(log: Played) -> str:
    held = {name: column.tolist() for name, column in log.column.items()}
    hours = [f"{moment:%y%m%d%H}" for moment in _moments(log)]
    order = "country|slot: position|domain|publisher|topic|categories|parents|segments|user|region"
    order += "|browser|device|os|ad: ad|ad: size|slot: size|ad: campaign|ad: topic|ad: category"
    order += "|ad: advertiser|slot: placement"
    columns = [range(len(log)), log.click.tolist(), hours, *(held[n] for n in order.split("|"))]
    return "\n".join([AVAZU_HEAD, *_lines(columns, ",")]) + "\n"


def talkingdata(log: Played) -> str:
    held = {name: column.tolist() for name, column in log.column.items()}
    times = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in _moments(log)]
    names = ("user", "ad: ad", "device", "os", "slot: placement")
    columns = [*(held[name] for name in names), times, [""] * len(log), log.click.tolist()]
    return "\n".join([TALKINGDATA_HEAD, *_lines(columns, ",")]) + "\n"


def ipinyou(log: Played) -> str:
    held = {name: column.tolist() for name, column in log.column.items()}
    moments = _moments(log)
    none, one = [""] * len(log), [1] * len(log)
    tags = [",".join(str(tag) for tag in row if tag) for row in log.tags.tolist()]
    columns: list[Sequence[object]] = [
        log.click.tolist(),
        [moment.weekday() for moment in moments],
        [moment.hour for moment in moments],
        range(len(log)),
        [f"{moment:%Y%m%d%H%M%S}000" for moment in moments],
        one,
        *(held[n] for n in ("user", "browser", "categories", "region", "country", "publisher")),
        *(
            held["domain"],
            none,
            none,
            held["slot: placement"],
            held["slot: size"],
            held["ad: size"],
        ),
        *(held["slot: position"], held["topic"], none, held["ad: ad"], none, none),
        *(held["ad: topic"], held["ad: advertiser"], tags),
    ]
    return "\n".join([IPINYOU_HEAD.replace(" ", "\t"), *_lines(columns, "\t")]) + "\n"


WRITERS: dict[str, Callable[[Played], str]] = {
    "criteo": criteo,
    "avazu": avazu,
    "talkingdata": talkingdata,
    "ipinyou": ipinyou,
}
"""By the name of the format."""
