"""Targeting that is refused says where it is wrong; hours become hours of the week."""

import pytest

from adserver.catalogue.targeting import (
    TargetingError,
    hours_of_week,
    index_values,
    parse,
)
from retrieval.query import Dimension


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ([], "targeting: Expected `object`"),
        ({"weather": {"include": ["rain"]}}, "targeting: Object contains unknown field `weather`"),
        ({"country": ["DEU"]}, "targeting.country: Expected `object`"),
        ({"country": {"includes": ["DEU"]}}, "targeting.country: Object contains unknown field"),
        ({"country": {"include": "DEU"}}, "targeting.country.include: Expected `array`"),
        ({"country": {"include": ["DEU", 7]}}, "targeting.country.include[1]: Expected `str`"),
        ({"country": {"include": ["DEU", "de"]}}, "targeting.country.include[1]: 'de' is not"),
        ({"region": {"exclude": ["California"]}}, "targeting.region.exclude[0]: 'California'"),
        ({"device": {"include": ["fridge"]}}, "targeting.device.include[0]: 'fridge'"),
        ({"os": {"include": ["Android"]}}, "targeting.os.include[0]: 'Android'"),
        ({"language": {"include": ["english"]}}, "targeting.language.include[0]: 'english'"),
        ({"category": {"include": ["Sports"]}}, "targeting.category.include[0]: 'Sports'"),
        ({"domain": {"include": ["http://a.example"]}}, "targeting.domain.include[0]"),
        ({"keyword": {"include": ["Tea"]}}, "targeting.keyword.include[0]: 'Tea'"),
        ({"keyword": {"include": [""]}}, "targeting.keyword.include[0]: ''"),
        ({"segment": {"include": ["a b"]}}, "targeting.segment.include[0]: 'a b'"),
        ({"key_value": {"include": ["tea"]}}, "targeting.key_value.include[0]: 'tea'"),
        ({"hours": {"include": ["mon 8-18"]}}, "targeting.hours.include[0]: 'mon 8-18'"),
        ({"hours": {"include": ["mon 18-08"]}}, "targeting.hours.include[0]: 'mon 18-08' contains"),
        ({"hours": {"include": ["mon 00-25"]}}, "targeting.hours.include[0]: 'mon 00-25' contains"),
        ({"placement": {"exclude": ["z1"]}}, "targeting.placement.exclude: placements"),
        (
            {"segment": {"include": ["s1"], "exclude": ["s1"]}},
            "targeting.segment.exclude: 's1' is included",
        ),
        ({"keyword": {"include": ["tea"] * 1_001}}, "targeting.keyword.include: has 1001 values"),
    ],
)
def test_malformed_targeting_is_refused_by_field(raw, named):
    with pytest.raises(TargetingError) as caught:
        parse(raw)

    assert str(caught.value).startswith(named)


def test_no_targeting_asks_for_nothing():
    assert list(index_values(parse({}))) == []


def test_every_dimension_reaches_the_index():
    raw = {
        "country": {"include": ["DEU"]},
        "region": {"include": ["DE-BE"]},
        "device": {"include": ["phone"]},
        "os": {"include": ["android"]},
        "browser": {"exclude": ["opera"]},
        "language": {"include": ["de"]},
        "hours": {"include": ["mon 08-09"]},
        "domain": {"exclude": ["news.example"]},
        "category": {"include": ["IAB17", "IAB17-3"]},
        "keyword": {"include": ["running shoes"]},
        "segment": {"include": ["s1"]},
        "key_value": {"include": ["section=sport"]},
    }

    found = list(index_values(parse(raw)))

    assert {dimension for dimension, _, _ in found} == set(Dimension)
    assert (Dimension.BROWSER, "opera", True) in found
    assert (Dimension.HOUR_OF_WEEK, "8", False) in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon 08-10", [8, 9]),
        ("sun 22-24", [166, 167]),
        ("mon-tue 00-01", [0, 24]),
        ("sat-mon 12-13", [5 * 24 + 12, 6 * 24 + 12, 12]),
        ("mon-sun 00-24", list(range(168))),
    ],
)
def test_days_and_hours_cover_hours_of_the_week(text, expected):
    assert hours_of_week(text) == expected
