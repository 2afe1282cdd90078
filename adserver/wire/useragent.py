"""Which device, operating system and browser a request came from, in the catalogue's names.

What the caller states beats client hints, and hints beat the user agent string. Unknown is "",
a string that names something else is "other".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

LONGEST = 1024
"""Characters of a user agent that are looked at."""


class Client(NamedTuple):
    device: str = ""
    os: str = ""
    browser: str = ""

    def over(self, other: Client) -> Client:
        """This, with its gaps filled from the other."""
        return Client(*(own or its for own, its in zip(self, other, strict=True)))


_Rules = Sequence[tuple[re.Pattern[str], str]]


def _rules(text: str) -> _Rules:
    pairs = (line.strip().partition(" = ") for line in text.strip().splitlines())
    return [(re.compile(pattern, re.IGNORECASE), name) for name, _, pattern in pairs]


# The first rule that matches decides, so each vendor stands before what it imitates.
_OS = _rules(r"""
    other = windows phone|kaios
    tvos = apple ?tv|tvos
    ios = iphone|ipad|ipod|\bios\b|ipados
    tizen = tizen
    webos = web0s|webos
    androidtv = android ?tv|googletv|google tv|bravia|\baft[a-z]|crkey|chromecast
    android = android
    chromeos = \bcros\b|chrome ?os|chromium os
    windows = windows|\bwin(?:32|64)\b
    macos = mac ?os|macintosh|os x
    linux = linux|x11|ubuntu
""")
_BROWSER = _rules(r"""
    edge = \bedg(?:e|a|ios)?/|microsoft edge
    opera = \bopr/|opera|opios/
    samsung = samsung ?(?:browser|internet)
    other = yabrowser|ucbrowser|vivaldi|duckduckgo|\bmsie |trident/|silk/|fban|fbav|instagram
    firefox = firefox|fxios/
    chrome = chrome|crios/|chromium
    safari = safari
""")
_DEVICE = _rules(r"""
    tv = smart-?tv|apple ?tv|hbbtv|android ?tv|google ?tv|web0s|bravia|\baft[a-z]|crkey|roku|netcast
    tv = tizen(?!.*mobile)
    tablet = ipad|tablet|kindle|silk/|playbook|android(?!.*mobile)
    phone = iphone|ipod|mobile|windows phone|kaios
    desktop = windows|macintosh|x11|\bcros\b|linux
""")
_OPENRTB_DEVICES = {
    2: "desktop",
    3: "tv",
    4: "phone",
    5: "tablet",
    6: "other",
    7: "tv",
    8: "other",
}


def classify(user_agent: str) -> Client:
    """By the user agent string alone; nothing known of an empty one."""
    return _classify(user_agent[:LONGEST]) if user_agent else Client()


@lru_cache(maxsize=8192)
def _classify(agent: str) -> Client:
    return Client(_first(_DEVICE, agent), _first(_OS, agent), _first(_BROWSER, agent))


@lru_cache(maxsize=1024)
def of_hints(brands: tuple[str, ...], platform: str, mobile: bool | None) -> Client:
    """By structured hints (OpenRTB `sua`); what they leave out stays open."""
    os = os_name(platform)
    named = {_first(_BROWSER, brand) for brand in brands} - {"other"}
    genuine = named - {"chrome"} or named  # Chromium is listed beside the browser made of it
    return Client(_device_by_hints(os, mobile), os, min(genuine, default=""))


@lru_cache(maxsize=1024)
def os_name(stated: str) -> str:
    """Our name of a stated operating system; "" when none is stated."""
    return _stated(_OS, stated)


@lru_cache(maxsize=1024)
def browser_name(stated: str) -> str:
    return _stated(_BROWSER, stated)


def device_name(stated: str) -> str:
    """One of our device names; anything else that is stated is "other"."""
    name = stated.strip().lower()
    name = {"mobile": "phone", "pc": "desktop", "ctv": "tv"}.get(name, name)
    return name if name in {"", "desktop", "phone", "tablet", "tv"} else "other"


def device_of_type(devicetype: int | None) -> str:
    """OpenRTB list 5.21; 1, "mobile or tablet", is left to the user agent."""
    return _OPENRTB_DEVICES.get(devicetype or 0, "")


def _device_by_hints(os: str, mobile: bool | None) -> str:
    if mobile is None:
        return ""
    if mobile:
        return "phone"
    return {"android": "tablet", "ios": "tablet"}.get(os, "desktop" if os else "")


def _stated(rules: _Rules, stated: str) -> str:
    name = stated.strip().lower()
    ours = {own for _, own in rules} | {""}
    return name if name in ours else _first(rules, name)


def _first(rules: _Rules, text: str) -> str:
    return next((name for pattern, name in rules if pattern.search(text)), "other")
