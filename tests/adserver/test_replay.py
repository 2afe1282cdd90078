"""The same batch, seed and snapshot give the same decisions, bit for bit, in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from catalogue_sample import NOW, fresh_place

ROOT = Path(__file__).parents[2]


def digest(folder: Path, now: float) -> str:
    """Hash of 60 decisions, taken by a fresh process with its own hash seed, ledger and log."""
    asked = ("--digest", folder, "--now", now, "--requests", 60)
    command = [sys.executable, "-m", "bench.replay", *map(str, asked)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def test_two_fresh_processes_decide_alike(tmp_path):
    """Another moment is decided otherwise: equal hashes prove something only if they can differ."""
    folder = fresh_place(tmp_path).folder

    first, second, later = digest(folder, NOW), digest(folder, NOW), digest(folder, NOW + 60)

    assert len(first) == 64
    assert first == second
    assert first != later
