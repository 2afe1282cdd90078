"""The ads of a snapshot as scorers and retrieval read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from ranking import table as table_module
from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.table import COLUMNS, AdTable


def test_a_table_says_what_the_tower_says(bundle: Bundle, ads: AdTable, table: Impressions):
    vector, bias = bundle.towers.ad(table.catalogue)

    step = ads.vector_scale[:, None]
    assert (np.abs(ads.vectors() - vector) <= 0.501 * step).all()
    assert_array_equal(ads.bias, bias)
    half = ads.half * ads.half_scale[:, None]
    assert_allclose(half, vector @ bundle.first.ad, atol=1.01 * ads.half_scale.max() / 2)


def test_a_table_is_the_same_in_whatever_chunks_it_is_built(
    bundle: Bundle, ads: AdTable, table: Impressions, monkeypatch
):
    monkeypatch.setattr(table_module, "CHUNK", 77)
    heard: list[int] = []

    again = AdTable.build(bundle, table.catalogue, heard.append)

    for name in COLUMNS:
        assert_array_equal(getattr(again, name), getattr(ads, name))
    assert sum(heard) == len(ads)


def test_a_stored_table_is_the_same_table(ads: AdTable, tmp_path: Path):
    ads.save(tmp_path)

    mapped = AdTable.load(tmp_path)

    assert mapped.model == ads.model
    for name in COLUMNS:
        assert_array_equal(getattr(mapped, name), getattr(ads, name))
        assert not getattr(mapped, name).flags.writeable
        assert isinstance(getattr(mapped, name).base, np.memmap)
