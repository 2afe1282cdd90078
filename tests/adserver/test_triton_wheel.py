"""Where Triton's wheel has no build, we say so in a sentence and go on without it."""

from __future__ import annotations

import platform
import sys

import pytest

from adserver import triton_wheel
from adserver.triton_wheel import Unavailable, install, libpython, obstacle


def test_a_machine_of_another_kind_is_told_which_kind_it_takes(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    with pytest.raises(Unavailable, match="x86-64, not linux on aarch64"):
        install(tmp_path / "triton")

    assert not (tmp_path / "triton").exists()


@pytest.mark.parametrize("libc", [("glibc", "2.31"), ("", "")], ids=["old glibc", "musl"])
def test_a_c_library_that_is_too_old_or_another_is_told(libc, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)

    assert "needs glibc 2.35" in obstacle()


def test_a_python_that_is_too_new_is_told(monkeypatch):
    monkeypatch.setattr(triton_wheel, "STUBS", range(8, sys.version_info.minor))

    assert f"3.{sys.version_info.minor}" in obstacle()


def test_the_library_of_this_python_is_found():
    assert libpython().name == f"libpython3.{sys.version_info.minor}.so.1.0"
