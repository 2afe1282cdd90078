"""What many tests of the server's parts share."""

from __future__ import annotations

import pytest
from arm_place import Place, three_models
from banking import CAMPAIGN, DAY
from catalogue_sample import fresh_place

from adserver.books import Books
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from auction.books import UNLIMITED


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    """Every state store in turn; the file is sparse."""
    on_disk = request.param == "disk"
    opened = DiskStore(tmp_path / "state", 256 << 20) if on_disk else MemoryStore()
    yield opened
    opened.close()


@pytest.fixture
def books(store):
    """The campaign may spend 1 000 a day."""
    books = Books(store)
    books.limit({CAMPAIGN: (1_000, UNLIMITED)}, DAY)
    yield books
    assert books.check() == []


@pytest.fixture
def place(tmp_path):
    """A catalogue of the test's own, with snapshot 1 published."""
    return fresh_place(tmp_path)


@pytest.fixture
def engine(place):
    engine = place.engine()
    yield engine
    engine.dispose()


@pytest.fixture
def released(tmp_path, clock):
    """A system of three model versions, the first in production."""
    place = Place(tmp_path / "data", clock, three_models(tmp_path))
    yield place
    place.system.close()
