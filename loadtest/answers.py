"""What an answer says, read by looking for a few bytes; parsing its JSON would cost ten times more.

Strings in JSON have their quotes escaped, so a quoted key followed by a colon is a key.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import orjson

from loadtest.traffic import DECISION

UNKNOWN = -1
_PIXEL = re.compile(r'src="[^"]*(/e/impression\?t=[^"&]+)"')
_CLICK = re.compile(r'href="[^"]*(/e/click\?t=[^"&]+)"')


class Ad(NamedTuple):
    """One ad of an answer, as paths of its events."""

    impression: str
    viewable: str
    click: str
    pctr: float
    """0 where the dialect does not tell it."""


def quality_of(answer: bytes, body: int) -> int:
    """decision_quality, UNKNOWN where the dialect has none."""
    at = answer.find(b'"decision_quality":', body)
    return answer[at + 19] - 48 if at >= 0 else UNKNOWN


def sold_in(answer: bytes, body: int, route: int) -> int:
    """Slots that were filled."""
    return answer.count(b'"ad_id":"' if route == DECISION else b'"adid":"', body)


def server_ms_of(answer: bytes, body: int) -> float:
    """What the server says it took, by its Server-Timing header; 0 without one."""
    at = answer.find(b"total;dur=", 0, body)
    if at < 0:
        return 0.0
    end = answer.index(b"\r\n", at)
    return float(answer[at + 10 : end].split(b",")[0])


def ads_in(answer: bytes, body: int, route: int) -> list[Ad]:
    """Every ad with its event URLs; tens of microseconds."""
    parsed = orjson.loads(answer[body:])
    if route == DECISION:
        return [_ad(ad) for ads in parsed["decisions"].values() for ad in ads]
    bids = [bid for seat in parsed["seatbid"] for bid in seat["bid"]]
    return [
        Ad(pixel[1], "", click[1] if click else "", 0.0)
        for bid in bids
        for click in [_CLICK.search(bid["adm"])]
        if (pixel := _PIXEL.search(bid["adm"]))
    ]


def _ad(ad: dict[str, dict[str, str]]) -> Ad:
    urls = ad["urls"]
    return Ad(
        _path(urls["impression"]),
        _path(urls["viewable"]),
        _path(urls["click"]),
        float(ad["model"]["pctr"]),
    )


def _path(url: str) -> str:
    """What follows the host: the load goes where it was sent, not where an answer points."""
    return url[url.index("/", url.index("//") + 2) :]
