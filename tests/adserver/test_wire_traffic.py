"""The simulated publishers' requests, which the catalogue's targeting must be able to match."""

import json

import numpy as np
import pytest

from adserver.request import Dialect
from adserver.wire import decision, openrtb
from simulator import traffic
from simulator.world import World


@pytest.fixture(scope="module")
def world():
    return World(1)


@pytest.fixture(scope="module")
def bodies(world):
    return traffic.requests(world, np.random.default_rng(1), 200)


def test_both_dialects_mean_the_same_request(bodies):
    for body in bodies:
        ours = decision.parse(json.dumps(body).encode())
        theirs = openrtb.parse(json.dumps(traffic.openrtb(body)).encode(), Dialect.DECISION)

        assert ours == theirs


def test_parsing_keeps_every_value_in_the_words_that_ads_are_targeted_by(world, bodies):
    for body in bodies:
        request = decision.parse(json.dumps(body).encode())

        assert request.device in world.device.name
        assert request.os in world.os.name
        assert request.browser in world.browser.name
        assert request.country in world.country.name
        assert request.region in {"", *world.region.name}
        assert request.language in world.language.name
        assert request.domain in world.domain.name
        assert set(request.categories) <= set(world.category.name)
        assert set(request.keywords) <= set(world.keyword.name)
        assert set(request.segments) <= set(world.segment.name)
        assert set(request.key_values) <= set(world.key_value.name)
