"""Who may see bids: holders of the key; without one, only callers on this machine."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from adserver.errors import Forbidden
from adserver.insider import Insider


def ask(key, remote, headers=None):
    async def handler(http):
        return web.Response(text="bids")

    request = make_mocked_request("GET", "/", headers=headers or {}).clone(remote=remote)
    return asyncio.run(Insider(key).only(handler)(request)).text


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.8.8", "::1"])
def test_without_a_key_this_machine_may_ask(remote):
    assert ask("", remote) == "bids"


@pytest.mark.parametrize("remote", ["10.0.0.1", "203.0.113.9", "2001:db8::1", "", None, "unix"])
def test_without_a_key_nobody_else_may_ask(remote):
    with pytest.raises(Forbidden, match="ADSERVER_DEBUG_KEY"):
        ask("", remote)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "x-forwarded-for"])
def test_what_a_proxy_on_this_machine_forwards_is_not_of_this_machine(header):
    with pytest.raises(Forbidden):
        ask("", "127.0.0.1", {header: "203.0.113.9"})


@pytest.mark.parametrize("remote", ["127.0.0.1", "203.0.113.9"])
def test_with_a_key_whoever_sends_it_may_ask_and_nobody_else(remote):
    assert ask("secret", remote, {"X-Adserver-Key": "secret"}) == "bids"
    for wrong in ({}, {"X-Adserver-Key": ""}, {"X-Adserver-Key": "Secret"}):
        with pytest.raises(Forbidden, match="X-Adserver-Key"):
            ask("secret", remote, wrong)


def test_a_wrong_key_that_is_not_ascii_is_only_wrong():
    with pytest.raises(Forbidden):
        ask("secret", "127.0.0.1", {"X-Adserver-Key": "s\u00e9cret"})
