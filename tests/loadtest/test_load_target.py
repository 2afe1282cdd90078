"""Load goes to this machine unless somebody insists."""

from __future__ import annotations

import subprocess
import sys

import pytest

from loadtest.target import RemoteTarget, default_url, target_of


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:80", "http://[::1]:1"])
def test_loopback_is_welcome(url):
    target_of(url)


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7:8080", "http://10.0.0.1", "http://[2001:db8::1]:80", "http://0.0.0.0"]
)
def test_other_machines_are_refused(url):
    with pytest.raises(RemoteTarget, match="--remote"):
        target_of(url)


def test_other_machines_are_allowed_on_request():
    assert target_of("http://192.0.2.7:8080", remote_allowed=True).port == 8080


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:8080", "http://", ""])
def test_what_is_no_http_address_is_refused(url):
    with pytest.raises(ValueError, match="not an http"):
        target_of(url)


def test_the_default_is_where_the_server_listens():
    assert default_url({}) == "http://127.0.0.1:8080"
    assert default_url({"HOST": "0.0.0.0", "PORT": "81"}) == "http://127.0.0.1:81"


def test_the_command_refuses_another_machine_before_anything_is_sent():
    command = [sys.executable, "-m", "loadtest.open_loop", "--url", "http://192.0.2.7:8080"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "192.0.2.7 is not this machine" in ended.stderr
