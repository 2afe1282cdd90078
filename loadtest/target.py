"""Where the load goes, and that it is our own machine unless somebody insists.

Knows addresses, not what is asked there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that a server listens on but nobody can call, and the loopback address for each."""


class RemoteTarget(ValueError):
    """Load was to be sent to a machine that may not be ours."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was resolved and checked once; the port is open or not."""

    address: str
    port: int
    host: str
    """What the Host header says."""


def target_of(url: str, remote_allowed: bool = False) -> Target:
    """The server at `url` ("http://127.0.0.1:8080"); only http, and only loopback by default."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"not an http:// address: {url!r}")
    port = parts.port or 80
    address = _address(parts.hostname, port)
    if not (remote_allowed or ipaddress.ip_address(address).is_loopback):
        raise RemoteTarget(
            f"{parts.hostname} is not this machine: load on others' servers needs --remote"
        )
    return Target(address, port, parts.netloc)


def default_url(environment: Mapping[str, str]) -> str:
    """Where `make run` serves, given the same HOST and PORT."""
    host = environment.get("HOST", "127.0.0.1")
    return f"http://{ANYWHERE.get(host, host)}:{environment.get('PORT', '8080')}"


def _address(host: str, port: int) -> str:
    """The first address that the name has; what is checked is then what is called."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return str(found[0][4][0]).partition("%")[0]
