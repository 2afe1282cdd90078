"""Two processes over gloo against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ranking import reference
from ranking.dataset import Impressions, batches
from ranking.training import TrainSettings, train

ROOT = Path(__file__).parents[2]
LOG_ODDS = 1e-4
"""How far two processes may end from one, in the log-odds of any impression: sums of float32 in
another order, magnified by the steps between (1.4e-6 was seen on 10,000 impressions)."""


def test_the_parts_of_a_batch_are_the_batch(table: Impressions):
    whole = list(batches(table.part(0, 700), 256, np.random.default_rng(1)))
    parts = [
        list(batches(table.part(0, 700), 256, np.random.default_rng(1), part=(one, 3)))
        for one in range(3)
    ]

    for number, batch in enumerate(whole):
        own = [part[number] for part in parts]
        assert_array_equal(np.concatenate([one.click for one in own]), batch.click)
        assert_array_equal(np.concatenate([one.request for one in own]), batch.request)
        assert_array_equal(
            np.concatenate([one.shown[one.which] for one in own]), batch.shown[batch.which]
        )
        assert {one.rows for one in own} == {len(batch.click)}
        assert max(len(one.click) for one in own) < len(batch.click) / 3 + 8


def test_a_batch_of_one_request_leaves_the_other_process_without_work(table: Impressions):
    one = table.part(0, 1)

    parts = [next(batches(one, 4, np.random.default_rng(1), part=(rank, 2))) for rank in (0, 1)]

    assert sorted(len(part.request) for part in parts) == [0, 1]


@pytest.fixture
def labels(table: Impressions, tmp_path: Path) -> Path:
    table.part(0, 1_500).save(tmp_path / "labels.npz")
    return tmp_path / "labels.npz"


def test_two_processes_train_what_one_trains(labels: Path, tmp_path: Path):
    options = ["--labels", str(labels), "--seed", "5"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = tmp_path / "two"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    table = Impressions.load(labels)
    settings = TrainSettings.for_rows(len(table))

    subprocess.run(
        [*launch, "-m", "adserver", "train", *options, "--folder", str(two)],
        check=True, cwd=ROOT, env=environment, capture_output=True,
    )  # fmt: skip
    one = train(table, tmp_path / "one", settings, seed=5)

    both = [reference.score(dict(np.load(run / "weights.npz")), table).full for run in (one, two)]
    assert_allclose(both[1], both[0], atol=LOG_ODDS)
    about = [json.loads((run / "checkpoint.json").read_text()) for run in (one, two)]
    assert about[0]["trained"] == about[1]["trained"]
    assert about[0]["of"] == about[1]["of"]
