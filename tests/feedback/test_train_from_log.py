"""`adserver train` on a server's own logs, end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from logged_rows import Site
from synthetic import MIDNIGHT_MS as T0
from typer.testing import CliRunner

from adserver.cli import app
from ranking import reference
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, first_rows, width
from ranking.metrics import auc

SPAN = ("--since=2026-11-01", "--until=2026-11-02")
DOMAIN, TOPIC = 6, 2
"""Columns of an encoded request and of an encoded ad."""


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """6,000 impressions; pages of the first of two domains click twelve times as often."""
    rng, site = np.random.default_rng(7), Site(tmp_path)
    first_domain = first_rows(REQUEST_FIELDS)["domain"]
    first_topic = first_rows(AD_FIELDS)["topic"]
    for number in range(6_000):
        good, t = bool(rng.random() < 0.5), T0 + number * 10_000
        request = [0] * width(REQUEST_FIELDS)
        request[DOMAIN] = first_domain + good
        request[10] = first_rows(REQUEST_FIELDS)["topic"]
        ads = [1] * width(AD_FIELDS)
        ads[TOPIC] = first_topic + number % 3
        site.decide(number + 1, t, request=request, ads=ads, counts=[0.0] * 16)
        site.show(number + 1, t + 500)
        if rng.random() < (0.24 if good else 0.02):
            site.click(number + 1, t + 30_000)
    site.save()
    monkeypatch.setenv("ADSERVER_DATA", str(tmp_path))
    return tmp_path


def trained(*options):
    done = CliRunner().invoke(app, ["train", "--from-log", *SPAN, *options])
    assert done.exit_code == 0, done.output
    return done


def score_of(run):
    test = Impressions.load(run / "test_slice.npz")
    return test, reference.score(dict(np.load(run / "weights.npz")), test).full


@pytest.mark.parametrize("kind", ["model", "logistic"])
def test_a_run_learns_from_the_log_what_is_clicked(logs, kind):
    trained("--folder", str(logs / "run"), "--kind", kind)

    test, score = score_of(logs / "run")
    assert auc(test.click, score) > 0.7
    about = json.loads((logs / "run" / "checkpoint.json").read_text())
    assert about["window"]["impressions"] == 6_000
    assert about["window"]["since_ms"] == T0


def test_a_run_goes_on_from_another_by_command(logs):
    trained("--folder", str(logs / "cold"), "--kind", "untrained")
    trained("--folder", str(logs / "warm"), "--start", str(logs / "cold"))

    assert json.loads((logs / "warm" / "checkpoint.json").read_text())["start"] == "cold"


def test_labels_that_were_built_before_train_the_same(logs):
    built = ["labels", "build", *SPAN, "--out", str(logs / "labels.npz")]
    assert CliRunner().invoke(app, built).exit_code == 0
    trained("--folder", str(logs / "one"), "--epochs=1")

    options = ["--labels", str(logs / "labels.npz"), "--epochs=1", "--folder", str(logs / "other")]
    assert CliRunner().invoke(app, ["train", *options]).exit_code == 0

    left, right = (dict(np.load(logs / name / "weights.npz")) for name in ("one", "other"))
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_what_is_missing_is_named(logs):
    no_span = CliRunner().invoke(app, ["train", "--from-log"])
    no_start = CliRunner().invoke(
        app, ["train", "--from-log", *SPAN, "--start", str(logs / "no"), "--folder", str(logs)]
    )

    assert (no_span.exit_code, no_start.exit_code) == (2, 2)
    assert "--since" in no_span.output
    assert "start:" in no_start.output
