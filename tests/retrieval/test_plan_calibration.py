import numpy as np
import plain_retrieval as plain
import pytest

from retrieval.calibration import calibrate
from retrieval.costs import Costs
from retrieval.settings import RetrievalSettings


class Ticking:
    """A clock that moves one second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_retriever_with_a_graph_learns_its_crossover(rng):
    catalogue = plain.random_catalogue(rng, 300)
    settings = RetrievalSettings(candidates=20, ef=20, graph_from=1, build_threads=1)
    retriever = plain.retriever_of(catalogue, settings)

    costs = calibrate(retriever, plain.live_of(catalogue), Ticking())

    assert costs == retriever.costs
    assert (costs.ads, costs.line_items) == (1500, 300)
    assert costs.scan_s == costs.search_s == 1.0


def test_a_retriever_without_a_graph_always_scans(rng):
    catalogue = plain.random_catalogue(rng, 10)
    retriever = plain.retriever_of(catalogue)

    assert calibrate(retriever, plain.live_of(catalogue), Ticking()) is None
    assert retriever.costs is None


@pytest.mark.parametrize(
    ("eligible", "fetch", "pays"), [(100_000, 300, True), (10_000, 3000, False), (0, 50, False)]
)
def test_a_search_pays_where_many_are_eligible_and_few_are_fetched(eligible, fetch, pays):
    costs = Costs(
        ads=100_000,
        line_items=64,
        scan_s=20e-6,
        scan_ad_s=5e-9,
        search_s=200e-6,
        search_ad_s=0.5e-6,
    )

    assert costs.pays(eligible, fetch) is pays


def test_a_request_that_matches_little_is_not_even_counted():
    costs = Costs(
        ads=100_000, line_items=64, scan_s=0, scan_ad_s=1e-9, search_s=50e-6, search_ad_s=0
    )

    assert costs.may_pay(np.array([2**64 - 1], np.uint64))
    assert not costs.may_pay(np.array([2**31 - 1], np.uint64))
