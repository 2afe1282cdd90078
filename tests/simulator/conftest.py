import pytest

from simulator.catalogue import Catalogue, catalogue
from simulator.world import World


@pytest.fixture(scope="session")
def market() -> Catalogue:
    """A hundred thousand ads."""
    return catalogue(World(1), 100_000)


@pytest.fixture(scope="session")
def small_market() -> Catalogue:
    """The first two thousand of them."""
    return catalogue(World(1), 2_000)
