"""What training learns, and that it learns the same each time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from ranking import reference
from ranking.dataset import Impressions, batches, split, thinned
from ranking.features import AD_FIELDS, REQUEST_FIELDS
from ranking.live import Live
from ranking.metrics import auc
from ranking.model import ClickModel, Shape, arrays, dense_parameters, restore
from ranking.towers import Towers
from ranking.training import TrainSettings, train
from ranking.training.counted import shifts
from ranking.training.settings import WIDE


@pytest.mark.parametrize("shape", [Shape(), WIDE])
def test_the_model_has_at_most_200_000_dense_parameters(shape: Shape, table: Impressions):
    live = Live.of(REQUEST_FIELDS, table.request), Live.of(AD_FIELDS, table.catalogue)

    assert dense_parameters(ClickModel(shape, *live)) <= 200_000


def test_impressions_that_stand_for_others_are_trained_on_as_the_many_they_tell_of(table):
    heavy = replace(table, weight=np.where(table.click > 0, 1.0, 20.0).astype(np.float32))

    settings = TrainSettings.for_table(heavy)

    assert settings.shape == WIDE != TrainSettings.for_table(table).shape
    assert not list(settings.problems())


def test_training_ranks_better_than_chance(checkpoint: Path, table: Impressions):
    weights = dict(np.load(checkpoint / "weights.npz"))

    assert auc(table.click, reference.score(weights, table).full) > 0.65


def test_the_same_seed_trains_the_same_model(table: Impressions, tmp_path: Path):
    settings = TrainSettings(epochs=1, batch=256, threads=1)
    runs = [
        dict(np.load(train(table.part(0, 1500), tmp_path / name, settings, seed=4) / "weights.npz"))
        for name in ("first", "second")
    ]

    for name, array in runs[0].items():
        assert_array_equal(array, runs[1][name])


def test_the_dot_product_stands_in_for_the_full_score(checkpoint: Path):
    """Retrieval chooses by it."""
    metrics = json.loads((checkpoint / "checkpoint.json").read_text())["metrics"]

    assert metrics["dot_to_full"] > 0.95


def test_numpy_computes_what_torch_trained(table: Impressions, rng: np.random.Generator):
    torch.manual_seed(0)
    some = table.part(0, 40)
    some = replace(some, counts=rng.normal(size=some.counts.shape).astype(np.float32))
    live = Live.of(REQUEST_FIELDS, some.request), Live.of(AD_FIELDS, some.catalogue)
    model = ClickModel(Shape(), *live)
    with torch.no_grad():
        for tables in model.tables():
            tables[1:] = torch.randn_like(tables[1:]) * 0.3
        model.count_out.normal_()
        full, dot = model(
            *(
                torch.from_numpy(one)
                for one in (
                    live[0].renumbered(some.request),
                    some.of,
                    live[1].renumbered(some.catalogue),
                    some.ad,
                    some.slot,
                    some.counts,
                )
            )
        )

    scores = reference.score(arrays(model), some)

    assert_allclose(scores.full, full.numpy(), atol=1e-4)
    assert_allclose(scores.dot, dot.numpy(), atol=1e-4)


def test_a_model_continues_where_another_ended_and_knows_new_rows_too(table: Impressions):
    torch.manual_seed(0)
    before, after = table.part(0, 300), table.part(200, 900)
    old = arrays(_untrained(before))
    model = _untrained(after)

    restore(model, old)

    new = arrays(model)
    for name in old:
        if not name.endswith("embedding"):
            assert_array_equal(new[name][: len(old[name])], old[name], err_msg=name)
    both = old["ad.embedding"].any(axis=1) & new["ad.embedding"].any(axis=1)
    assert_array_equal(new["ad.embedding"][both], old["ad.embedding"][both])
    assert (new["ad.embedding"].any(axis=1) & ~both).any(), "ads that are new begin by chance"


def _untrained(table: Impressions) -> ClickModel:
    shown = table.catalogue[np.unique(table.ad)]
    return ClickModel(Shape(), Live.of(REQUEST_FIELDS, table.request), Live.of(AD_FIELDS, shown))


def test_what_was_never_seen_counts_as_none(checkpoint: Path, table: Impressions):
    weights = dict(np.load(checkpoint / "weights.npz"))
    used = np.zeros(len(weights["request.embedding"]), bool)
    used[table.request[table.request < len(used)]] = True

    assert not weights["request.embedding"][~used].any()
    assert not Towers.of(weights).request_tower.embedding[0].any()


def test_the_split_keeps_time_and_every_impression(table: Impressions):
    parts = split(table)

    whole = [parts.train, parts.calibration, parts.test]
    assert_array_equal(np.concatenate([part.ad for part in whole]), table.ad)
    assert_array_equal(
        np.concatenate([part.request[part.of] for part in whole]), table.request[table.of]
    )


def test_thinning_keeps_every_click(table: Impressions, rng: np.random.Generator):
    thin = thinned(table, 0.25, rng)

    assert thin.click.sum() == table.click.sum()
    assert 0.2 < (thin.click == 0).sum() / (table.click == 0).sum() < 0.3
    assert set(np.unique(thin.of)) == set(range(len(thin.request)))


def test_a_pass_shows_every_impression_once(table: Impressions, rng: np.random.Generator):
    part = table.part(0, 700)

    seen = [
        np.column_stack((one.request[one.of, -1], one.ad[one.which, -1], one.click))
        for one in batches(part, 64, rng)
    ]

    shown = np.column_stack((part.request[part.of, -1], part.catalogue[part.ad, -1], part.click))
    assert len(seen) > 5
    assert sorted(map(tuple, np.concatenate(seen).tolist())) == sorted(map(tuple, shown.tolist()))


def test_counted_ids_find_the_factors_behind_the_clicks(rng: np.random.Generator):
    """300 ids that are clicked more or less than expected by a gamma factor of strength 8."""
    factor = rng.gamma(8, 1 / 8, 301)
    ids = rng.integers(1, 301, 100_000).astype(np.int32)
    click = (rng.random(100_000) < 0.03 * factor[ids]).astype(np.uint8)

    found = shifts(ids, click, np.full(100_000, 0.03), 400)

    assert np.corrcoef(found[1:301], np.log(factor[1:]))[0, 1] > 0.6
    raw = np.bincount(ids, click)[1:] / np.bincount(ids)[1:] / 0.03
    between = np.sort([np.ones(300), raw], axis=0)
    assert (between[0] - 1e-6 <= np.exp(found[1:301])).all(), "drawn towards 1, never past it"
    assert (np.exp(found[1:301]) <= between[1] + 1e-6).all()
    assert not found[301:].any()
    assert found[0] == 0


def test_ids_that_do_not_matter_are_left_alone(rng: np.random.Generator):
    ids = rng.integers(1, 2_000, 60_000).astype(np.int32)
    click = (rng.random(60_000) < 0.02).astype(np.uint8)

    assert np.abs(shifts(ids, click, np.full(60_000, 0.02), 2_000)).max() < 0.2
