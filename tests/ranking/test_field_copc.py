"""A field's worst value is found, and values that chance explains are not looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, SLOT_FIELDS, bag_starts, first_rows
from ranking.field_copc import field_copc


def field_of(name: str, fields, ids: np.ndarray) -> np.ndarray:
    """[n, width] the values of one field, -1 for none."""
    at = [field.name for field in fields].index(name)
    start = bag_starts(fields)
    return ids[:, start[at] : start[at + 1]] - first_rows(fields)[name]


def test_the_worst_value_is_that_of_the_definition(table: Impressions, rng: np.random.Generator):
    rate = np.full(len(table), 0.2)
    click = (rng.random(len(table)) < 0.2).astype(np.uint8)
    country = field_of("country", REQUEST_FIELDS, table.request)[table.of, 0]
    common = np.bincount(country[country >= 0]).argmax()
    click[(country == common) & (rng.random(len(table)) < 0.4)] = 0

    found = {one.field: one for one in field_copc(replace(table, click=click), rate)}

    worst = found["country"]
    rows = country == common
    assert worst.value == common
    assert worst.copc == pytest.approx(click[rows].sum() / rate[rows].sum())
    assert worst.predicted == pytest.approx(0.2 * rows.sum())
    assert worst.copc < 0.7


def test_a_value_of_a_bag_has_the_clicks_of_every_row_that_holds_it(table: Impressions):
    rate = np.full(len(table), 0.05)

    (worst,) = [one for one in field_copc(table, rate) if one.field == "segments"]

    holds = (field_of("segments", REQUEST_FIELDS, table.request) == worst.value).any(axis=1)
    assert worst.clicks == table.click[holds[table.of]].sum()


def test_values_with_few_expected_clicks_are_left_out(table: Impressions):
    assert not field_copc(table, np.full(len(table), 1e-3))


def test_ads_and_slots_are_looked_at_too(table: Impressions):
    names = {one.field for one in field_copc(table, np.full(len(table), 0.2))}

    assert {"per_click", "topic"} & names
    assert {field.name for field in (*AD_FIELDS, *SLOT_FIELDS)} & names
