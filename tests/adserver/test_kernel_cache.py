"""Compiled kernels are never older than their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adserver.kernel_cache import PACKAGES, ROOT, fingerprint, kernel_folder, kernel_sources


@pytest.fixture
def copy(tmp_path):
    """The packages that have kernels."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    "changed",
    [
        "adserver/features/kernels.py",
        "auction/kernels/page.py",
        "auction/workspace.py",
        "auction/columns.py",
        "auction/settings.py",
        "auction/fairness_rules.py",
        "ranking/kernels.py",
        "simulator/kernels.py",
    ],
)
def test_a_change_in_what_kernels_are_made_of_is_a_new_folder(copy, changed):
    before = fingerprint(copy)
    fingerprint.cache_clear()
    (copy / changed).write_text((copy / changed).read_text() + "\nX = 1\n")
    assert fingerprint(copy) != before


def test_what_no_kernel_uses_may_change(copy):
    before = fingerprint(copy)
    fingerprint.cache_clear()
    (copy / "auction/ledger.py").write_text("changed = True\n")
    assert fingerprint(copy) == before


def test_every_file_with_a_kernel_is_a_source():
    with_kernels = {
        path
        for name in PACKAGES
        for path in (ROOT / name).rglob("*.py")
        if path.name != "kernel_cache.py" and "@njit" in path.read_text()
    }
    assert with_kernels <= set(kernel_sources(ROOT))


def test_the_folder_lies_in_the_one_that_is_named_or_else_in_the_users_cache():
    assert kernel_folder({"NUMBA_CACHE_DIR": "/data/kernels"}, "ab") == Path("/data/kernels/ab")
    assert kernel_folder({"XDG_CACHE_HOME": "/c"}, "ab") == Path("/c/adserver/kernels/ab")


def test_a_child_process_uses_the_folder_of_its_parent(tmp_path):
    program = "import os, adserver; print(os.environ['NUMBA_CACHE_DIR'])"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    folder = _printed(program, environment)
    assert folder == str(tmp_path / fingerprint(ROOT))
    assert _printed(program, {**environment, "NUMBA_CACHE_DIR": folder}) == folder


def _printed(program, environment):
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, check=True
    )
    return run.stdout.decode().strip()
