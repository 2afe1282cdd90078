"""Structured user-agent hints, in OpenRTB's shape (`device.sua`), which every dialect accepts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from adserver.wire.fields import Flag, Key
from adserver.wire.useragent import Client, of_hints


class Brand(Struct, gc=False):
    """A browser or a platform; its versions are not looked at."""

    brand: Key | None = None


class Sua(Struct, gc=False):
    browsers: Annotated[list[Brand], Meta(max_length=16)] | None = None
    platform: Brand | None = None
    mobile: Flag | None = None


def by_hints(sua: Sua | None) -> Client:
    """What the hints say; nothing where there are none."""
    if sua is None:
        return Client()
    brands = tuple(one.brand for one in sua.browsers or () if one.brand)
    platform = (sua.platform and sua.platform.brand) or ""
    return of_hints(brands, platform, None if sua.mobile is None else bool(sua.mobile))
