"""An ad as HTML: macros filled, event pixel and measure of viewability added.

Knows no dialect and signs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import orjson

from adserver.decision import Creative, Outcome
from adserver.request import AdRequest
from auction.columns import PPM

_MACRO = re.compile(r"\{(click|landing)(:url)?\}")
_NOWHERE = "about:blank"
EXPIRES_S = 300
"""Seconds within which the page should show the ad."""

LARGE_PX = 242_500
"""Of an ad of this size 30 % in view count as viewed, else 50 % (MRC Viewable Impression)."""
_MEASURE = (
    "<script>(function(e,u){{var n=0,v=0,o=new IntersectionObserver(function(r){{"
    "v=r[r.length-1].intersectionRatio>={share}}},{{threshold:{share}}}),"
    "t=setInterval(function(){{n=v&&document.visibilityState=='visible'?n+1:0;"
    "if(n>10){{clearInterval(t);o.disconnect();new Image().src=u}}}},100);o.observe(e)}})"
    "(document.currentScript.parentElement,{url})</script>"
)


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the events of one sold slot are reported; a click redirects to the landing page."""

    impression: str
    click: str
    viewable: str


UrlsOf = Callable[[Outcome], Urls]
"""Signed event URLs of a sold slot; the wire formats only place them."""


def markup(creative: Creative, click: str) -> str:
    """The ad's HTML with {click} and {landing} filled, escaped for an attribute.

    {click:url} and {landing:url} are percent-encoded as well, to stand inside another URL. A
    macro in what a macro brought in is left alone; a landing page that is no web page is refused.
    """
    urls = {"click": click, "landing": _web_page(creative.landing_url)}

    def fill(macro: re.Match[str]) -> str:
        url = urls[macro[1]]
        return quote(url, safe="") if macro[2] else escape(url)

    return _MACRO.sub(fill, creative.markup)


def pixel(url: str) -> str:
    """An invisible image that reports the impression when the browser renders it."""
    return f'<img src="{escape(url)}" width="1" height="1" alt="" style="position:absolute">'


def viewed(url: str, width: int, height: int) -> str:
    """A script that reports the ad viewed after a second in sight, where no tag of ours does.

    It watches the element that it stands in; t.js measures the same of its own frames.
    """
    share = 0.3 if width * height >= LARGE_PX else 0.5
    return _MEASURE.format(share=share, url=orjson.dumps(url).decode().replace("<", "\\u003c"))


def price(micros: int) -> float:
    """Currency units; the shortest decimal that JSON can write for this many micros."""
    return micros / 1_000_000


def price_in(request: AdRequest, micros: int) -> float:
    """The same of US dollars, in the currency of the request's answer; rounded down."""
    return price(micros * request.per_usd_ppm // PPM)


def _web_page(url: str) -> str:
    return url if url[:8].lower().startswith(("http://", "https://")) else _NOWHERE
