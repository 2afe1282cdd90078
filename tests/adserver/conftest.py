"""What many tests of the server's parts share."""

from __future__ import annotations

import pytest
from banking import CAMPAIGN, DAY

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
