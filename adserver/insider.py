"""Who may see what bidders bid: holders of the key, or this machine when there is none.

Other people's bids must not leak to the public; there are no accounts yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import ip_address

from aiohttp import web

from adserver.errors import Forbidden

HEADER = "X-Adserver-Key"
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
"""A proxy on this machine sends everybody's requests from this machine, and says so in these."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Insider:
    """Guards handlers with one key (the setting `adserver_debug_key`)."""

    key: str

    def only(self, handler: Handler) -> Handler:
        """The handler for insiders; Forbidden for all others."""

        async def answer(http: web.Request) -> web.StreamResponse:
            self.check(http)
            return await handler(http)

        return answer

    def check(self, http: web.Request) -> None:
        if self.key:
            if not compare_digest(http.headers.get(HEADER, "").encode(), self.key.encode()):
                raise Forbidden(f"send the key of ADSERVER_DEBUG_KEY as {HEADER}")
        elif not _is_loopback(http.remote) or any(name in http.headers for name in FORWARDED):
            raise Forbidden("set ADSERVER_DEBUG_KEY to ask from another machine")


def _is_loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False
