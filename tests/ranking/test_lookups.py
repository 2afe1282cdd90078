"""Rows looked up by hand-written loops, against torch's own operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional

from ranking.lookups import functions as lookups

START = np.array([0, 1, 4, 6], np.int32)
DIM = 8


@pytest.fixture
def table(rng: np.random.Generator) -> torch.Tensor:
    values = torch.from_numpy(rng.normal(size=(30, DIM)).astype(np.float32))
    values[0] = 0.0
    return values.requires_grad_()


@pytest.fixture
def ids(rng: np.random.Generator) -> torch.Tensor:
    """Rows with repeated and with no values in a field; the last column is of no field."""
    found = rng.integers(0, 30, (50, 7)) * (rng.random((50, 7)) < 0.6)
    found[0] = 0
    return torch.from_numpy(found.astype(np.int32))


def oracle(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    fields = [
        functional.embedding_bag(ids[:, a:b], table, mode="mean", padding_idx=0)
        for a, b in ((0, 1), (1, 4), (4, 6))
    ]
    return torch.cat(fields, dim=1)


def test_pooled_rows_and_their_gradient_are_those_of_torch(table, ids):
    slope = torch.randn(50, 3 * DIM)
    (wanted,) = torch.autograd.grad(oracle(table, ids), table, slope)

    found = lookups.pooled(table, ids, START, lookups.none_out(50))

    assert_allclose(found.detach(), oracle(table, ids).detach(), atol=1e-6)
    assert_allclose(torch.autograd.grad(found, table, slope)[0], wanted, atol=1e-5)


def test_summed_weights_and_their_gradient_are_those_of_torch(ids):
    weight = torch.randn(30, 1).requires_grad_()
    slope = torch.randn(50)
    known = functional.embedding_bag(ids[:, :6], weight, mode="sum", padding_idx=0)[:, 0]
    (wanted,) = torch.autograd.grad(known, weight, slope)

    found = lookups.summed(weight, ids, 6)

    assert_allclose(found.detach(), known.detach(), atol=1e-6)
    assert_allclose(torch.autograd.grad(found, weight, slope)[0], wanted, atol=1e-5)


def test_a_share_is_left_out_and_the_rest_makes_up_for_it(rng: np.random.Generator):
    table = torch.ones(2, 16)
    ids = torch.ones(4_000, 6, dtype=torch.int32)

    found = lookups.pooled(table, ids, START, lookups.Dropout(0.25, 9, np.arange(4_000)))

    values, counts = np.unique(found.numpy(), return_counts=True)
    assert_allclose(values, [0, 1 / 0.75])
    assert counts[0] / counts.sum() == pytest.approx(0.25, abs=0.005)
    assert (found == 0).float().mean(dim=0).numpy() == pytest.approx(0.25, abs=0.05)


def test_what_is_left_out_depends_on_the_rows_key_and_not_on_its_place(table, ids):
    keys = np.arange(50) * 7
    other = torch.arange(49, -1, -1)

    one = lookups.pooled(table, ids, START, lookups.Dropout(0.5, 3, keys))
    turned = lookups.pooled(table, ids[other], START, lookups.Dropout(0.5, 3, keys[::-1].copy()))
    again = lookups.pooled(table, ids, START, lookups.Dropout(0.5, 4, keys))

    assert torch.equal(one[other], turned)
    assert not torch.equal(one, again)


def test_no_gradient_passes_through_what_is_left_out(table, ids):
    left_out = lookups.Dropout(0.5, 3, np.arange(50))
    plain = oracle(table, ids)
    found = lookups.pooled(table, ids, START, left_out)
    mask = torch.where(plain == 0, 0.0, found / plain).detach()
    slope = torch.randn(50, 3 * DIM)

    (wanted,) = torch.autograd.grad(plain * mask, table, slope)

    assert_allclose(torch.autograd.grad(found, table, slope)[0], wanted, atol=1e-5)
