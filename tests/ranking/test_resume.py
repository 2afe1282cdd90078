"""Trainings that are cut off, and go on as if they had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from train_alone import SEED, SETTINGS

from ranking.dataset import Impressions
from ranking.training import NotTrainable, train

SCRIPT = Path(__file__).parent / "train_alone.py"
ROOT = SCRIPT.parents[2]


class Cut(Exception):
    """The process is gone, as far as training can tell."""


@pytest.fixture(scope="module")
def few(table: Impressions) -> Impressions:
    return table.part(0, 1_500)


@pytest.fixture(scope="module")
def whole(few: Impressions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained at one go."""
    return train(few, tmp_path_factory.mktemp("whole"), SETTINGS, SEED)


def assert_same(one: Path, other: Path) -> None:
    for name in ("weights.npz", "logistic.npz"):
        left, right = dict(np.load(one / name)), dict(np.load(other / name))
        for part, array in left.items():
            assert_array_equal(array, right[part], err_msg=part)
    about = [json.loads((run / "checkpoint.json").read_text()) for run in (one, other)]
    assert about[0] == about[1]


def killed_after(lines: int, table: Path, folder: Path) -> None:
    """kill -9 when it has told of so many steps."""
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), str(table), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=paths, cwd=ROOT) as process:
        assert process.stdout
        for _ in range(lines):
            assert process.stdout.readline()
        process.kill()
    assert process.returncode == -9


def test_a_killed_training_goes_on_to_the_same_bits(few: Impressions, whole: Path, tmp_path: Path):
    few.save(tmp_path / "table.npz")
    killed_after(4, tmp_path / "table.npz", tmp_path / "run")

    run = train(few, tmp_path / "run", SETTINGS, SEED, resume=True)

    assert_same(whole, run)
    assert not list(run.glob("*.tmp"))
    assert not (run / "under_way.pt").exists()


def cut_at(step: int, few: Impressions, folder: Path, resume: bool = True) -> None:
    heard = 0

    def hear(_stage: str, _share: float) -> None:
        nonlocal heard
        heard += 1
        if heard == step:
            raise Cut

    with pytest.raises(Cut):
        train(few, folder, SETTINGS, SEED, hear, resume=resume)


def test_wherever_and_however_often_it_is_cut_off_the_end_is_the_same(few, whole, tmp_path: Path):
    for step in (1, 2, 3, 4):
        cut_at(step, few, tmp_path)

    assert_same(whole, train(few, tmp_path, SETTINGS, SEED, resume=True))


def test_a_training_that_ended_is_not_done_again(few, whole, tmp_path: Path):
    told: list[str] = []

    train(few, whole, SETTINGS, SEED, lambda stage, share: told.append(stage), resume=True)

    assert told == []


def test_a_training_of_other_settings_is_not_gone_on_with(few, tmp_path: Path):
    cut_at(3, few, tmp_path)

    with pytest.raises(NotTrainable, match=r"resume: .* other"):
        train(few, tmp_path, replace(SETTINGS, dropout=0.2), SEED, resume=True)


def test_without_resume_a_training_begins_anew(few, whole, tmp_path: Path):
    cut_at(3, few, tmp_path)

    assert_same(whole, train(few, tmp_path, SETTINGS, SEED))
