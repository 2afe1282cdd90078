"""Runs that go on from others, and the plain ones that a click model has to beat."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from open_gate import OPEN

from ranking import judge, reference
from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.export import export
from ranking.metrics import measure
from ranking.model import Shape
from ranking.training import NotTrainable, TrainSettings, logistic_only, train, untrained

SETTINGS = TrainSettings(epochs=1, batch=512)


def weights_of(run: Path) -> dict[str, np.ndarray]:
    return dict(np.load(run / "weights.npz"))


def entropy(run: Path, table: Impressions) -> float:
    rate = reference.sigmoid(reference.score(weights_of(run), table).full)
    return measure(table.click, rate).normalised_entropy


@pytest.fixture(scope="module")
def days(table: Impressions) -> list[Impressions]:
    return [table.part(0, 6_000), table.part(6_000, 12_000), table.part(12_000, 18_000)]


@pytest.fixture(scope="module")
def plain(table: Impressions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return logistic_only(table, tmp_path_factory.mktemp("plain"), SETTINGS, seed=1)


def test_a_continued_run_keeps_what_it_is_not_shown_again(
    checkpoint: Path, table: Impressions, tmp_path: Path
):
    few = table.part(0, 600)

    weights = weights_of(train(few, tmp_path, SETTINGS, seed=2, start=checkpoint))

    before, used = weights_of(checkpoint), np.unique(few.request)
    other = np.setdiff1d(np.arange(len(before["request.embedding"])), used)
    assert_array_equal(weights["request.embedding"][other], before["request.embedding"][other])
    assert (weights["second.weight"] != before["second.weight"]).any()
    about = json.loads((tmp_path / "checkpoint.json").read_text())
    assert about["start"] == checkpoint.name


def test_a_second_day_from_the_first_days_model_beats_starting_again(
    days: list[Impressions], tmp_path: Path
):
    first = train(days[0], tmp_path / "first", SETTINGS, seed=1)

    again = train(days[1], tmp_path / "again", SETTINGS, seed=1)
    continued = train(days[1], tmp_path / "continued", SETTINGS, seed=1, start=first)

    assert entropy(continued, days[2]) < entropy(again, days[2])


def test_a_run_goes_on_in_its_own_shape(days: list[Impressions], tmp_path: Path):
    """Which the settings of a larger log may not be."""
    small = Shape(embedding=8, tower=64)
    first = train(days[0], tmp_path / "first", replace(SETTINGS, shape=small), seed=1)

    again = train(days[1], tmp_path / "again", SETTINGS, seed=1, start=first)

    assert Shape.of(weights_of(again)) == small != SETTINGS.shape


def test_the_pull_keeps_a_continued_run_near_the_former(
    checkpoint: Path, days: list[Impressions], tmp_path: Path
):
    before, moved = weights_of(checkpoint), []
    for pull in (0.0, 0.1):
        settings = replace(SETTINGS, pull=pull)
        now = weights_of(train(days[0], tmp_path / str(pull), settings, 1, start=checkpoint))
        moved.append(float(np.square(now["second.weight"] - before["second.weight"]).sum()))

    assert moved[1] < 0.5 * moved[0]


def test_a_run_of_other_features_is_not_continued(checkpoint: Path, table, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    for one in checkpoint.iterdir():
        (other / one.name).symlink_to(one)
    about = json.loads((other / "checkpoint.json").read_text())
    (other / "checkpoint.json").unlink()
    (other / "checkpoint.json").write_text(json.dumps(about | {"feature_schema": "old"}))

    with pytest.raises(NotTrainable, match=r"start: .*schema old"):
        train(table, tmp_path / "run", SETTINGS, seed=1, start=other)


def test_impressions_without_a_click_teach_nothing_and_are_refused(table, tmp_path: Path):
    unclicked = table.where(table.click == 0)

    with pytest.raises(NotTrainable, match="table: "):
        train(unclicked, tmp_path, SETTINGS, seed=1)


def test_an_untrained_run_knows_the_click_rate_and_nothing_else(table, tmp_path: Path):
    run = untrained(tmp_path, seed=1, table=table)

    rate = reference.sigmoid(reference.score(weights_of(run), table).full)
    assert rate.mean() == pytest.approx(table.click.mean(), rel=0.2)
    assert measure(table.click, rate).normalised_entropy > 0.99


def test_a_logistic_run_scores_as_its_regression_does(plain: Path, table: Impressions, tmp_path):
    export(plain, tmp_path / "1", settings=OPEN)
    bundle = Bundle.load(tmp_path / "1")
    some = table.part(0, 500)

    scores = reference.score(weights_of(plain), some)

    assert_array_equal(scores.full, scores.dot)
    assert_allclose(scores.full, judge.fallback(bundle)(some), atol=0.02)
    assert_allclose(scores.full, judge.served(bundle)(some), atol=0.1)
    assert entropy(plain, table) < 0.99


def test_a_logistic_run_is_continued_too(plain: Path, days: list[Impressions], tmp_path: Path):
    again = logistic_only(days[0], tmp_path / "again", SETTINGS, seed=1, start=plain)

    assert entropy(again, days[2]) < entropy(untrained(tmp_path / "none", 1, days[0]), days[2])


def test_settings_fit_the_number_of_impressions_and_say_what_is_wrong():
    day, year = TrainSettings.for_rows(68_000), TrainSettings.for_rows(10_000_000)

    assert (day.negatives, day.epochs, day.regression_alone) == (1.0, 2, True)
    assert TrainSettings.for_rows(340_000).epochs == 8
    assert (year.negatives, year.epochs, year.regression_alone) == (0.15, 3, False)
    assert day.batch < year.batch
    assert 0.15 < TrainSettings.for_rows(1_000_000).negatives < 1
    assert list(day.problems()) == list(TrainSettings.for_rows(0).problems()) == []
    wrong = replace(day, negatives=0.0, dropout=1.0, pull=-1.0, epochs=0)
    assert len(list(wrong.problems())) == 4


def test_an_untrained_start_is_a_new_beginning(days: list[Impressions], tmp_path: Path):
    cold = untrained(tmp_path / "cold", seed=1, table=days[1])

    begun = train(days[0], tmp_path / "begun", SETTINGS, seed=1, start=cold)
    new = train(days[0], tmp_path / "new", SETTINGS, seed=1)

    assert_array_equal(weights_of(begun)["last.weight"], weights_of(new)["last.weight"])


def test_a_day_teaches_more_than_the_click_rate_and_two_days_more_than_one(
    table: Impressions, tmp_path: Path
):
    """Judged by the true rates of the last requests, which none of them saw."""
    first, second, newest = (
        table.part(0, 8_000),
        table.part(8_000, 16_000),
        table.part(16_000, 18_000),
    )
    settings = TrainSettings.for_rows(len(first))
    prior = untrained(tmp_path / "prior", seed=1, table=first)

    one = train(first, tmp_path / "one", settings, seed=1)
    two = train(second, tmp_path / "two", settings, seed=1, start=one)

    losses = [true_loss(run, newest) for run in (prior, one, two)]
    assert losses == sorted(losses, reverse=True)


def true_loss(run: Path, table: Impressions) -> float:
    """Expected log loss of each impression, by its true rate."""
    rate, truth = reference.sigmoid(reference.score(weights_of(run), table).full), table.truth
    return float(-(truth * np.log(rate) + (1 - truth) * np.log1p(-rate)).mean())
