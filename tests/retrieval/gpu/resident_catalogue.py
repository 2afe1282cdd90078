"""A catalogue on the CPU's planner and on the device's selector, and requests for both."""

from __future__ import annotations

import numpy as np
import plain_retrieval as plain
from numpy.testing import assert_array_equal

from retrieval.gpu import merge
from retrieval.gpu.asks import Asks
from retrieval.gpu.columns import Columns
from retrieval.gpu.launch import Blocks, Kernels
from retrieval.gpu.resident import Resident
from retrieval.gpu.selector import Selector, value_of

LARGE = Kernels(Blocks(ads=1024, admitted=1024, chosen=8192, words=32))
"""The interpreter takes as long for a small block as for a large one."""


def resident_of(retriever, live):
    columns = Columns.of(retriever.index, retriever.vectors, retriever.kinds, retriever.ad_start)
    return Resident(columns, live)


def selector_of(retriever, live, stages):
    return Selector(resident_of(retriever, live), stages)


def asks_of(queries):
    return Asks.of(queries, len(queries[0].vector))


def assert_agrees(retriever, live, selector, queries, k):
    """Every id, every value to its last bit, every slot, every count."""
    expected = retriever.retrieve(queries, live, k)

    found = selector.nearest(asks_of(queries), k)

    assert_array_equal(found.eligible, expected.eligible)
    value = value_of(found.key).numpy()
    for row in range(len(queries)):
        part = slice(expected.offset[row], expected.offset[row + 1])
        order, count = np.argsort(expected.ad[part]), part.stop - part.start
        assert_array_equal(found.ad[row, :count], expected.ad[part][order])
        assert_array_equal(value[row, :count], expected.value[part][order])
        assert_array_equal(
            found.slots[row, :count].numpy().view(np.uint32), expected.slots[part][order]
        )
        assert (found.ad[row, count:] == -1).all()


def assert_in_order(retriever, live, selector, queries, k):
    """Every id and value, best first."""
    expected = retriever.retrieve(queries, live, k)

    found = selector.retrieve(asks_of(queries), k)

    assert_array_equal(np.concatenate([merge.ads_of(keys) for keys in found]), expected.ad)
    assert_array_equal(np.concatenate([merge.values_of(keys) for keys in found]), expected.value)
    assert [len(keys) for keys in found] == np.diff(expected.offset).tolist()


def many_ads(rng, ads: int):
    """A catalogue of exactly so many ads."""
    lines = plain.random_catalogue(rng, -(-ads // 5))
    lines[-1].ads = lines[-1].ads[: ads - 5 * (len(lines) - 1)]
    return lines


def queries_of(rng, retriever, count: int):
    return [plain.query_of(one, retriever.index) for one in plain.random_requests(rng, count)]
