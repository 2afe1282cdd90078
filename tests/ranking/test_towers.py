"""The towers over tables larger than they take together."""

from __future__ import annotations

import pytest

from ranking import towers


@pytest.mark.parametrize("rows", [0, 1, 16, 17, 100])
def test_a_rows_vector_does_not_depend_on_how_many_stand_beside_it(
    bundle, table, rows, monkeypatch
):
    tower, ids = bundle.towers.request_tower, table.request[:rows]
    whole = tower(ids)
    alone = [tower(ids[row : row + 1]) for row in range(rows)]

    monkeypatch.setattr(towers, "AT_ONCE", 16)
    vector, bias = tower(ids)

    assert vector.tobytes() == whole[0].tobytes() == b"".join(v.tobytes() for v, _ in alone)
    assert bias.tobytes() == whole[1].tobytes() == b"".join(b.tobytes() for _, b in alone)
