"""The three interaction networks: the formulas they claim, and what each can learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from ranking.heads import KINDS, Crossed, Fusion, Gate, HeadShape, Kind, head

SMALL = {"layers": (16, 8), "other": (8,), "parts": 2, "rank": 4}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_gives_one_number_a_row_whatever_stands_beside_it(kind: Kind):
    made, x = head(HeadShape(kind, **SMALL), 6).eval(), torch.randn(5, 6)

    whole = made(x)

    assert whole.shape == (5,)
    torch.testing.assert_close(made(x[2:3]), whole[2:3])


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_learns_that_two_inputs_matter_only_together(kind: Kind):
    """The sign of a product: no sum of the inputs tells it."""
    made, x = head(HeadShape(kind, **SMALL), 4), torch.randn(2_000, 4)
    goal = (x[:, 0] * x[:, 1] > 0).float()
    optimiser = torch.optim.Adam(made.parameters(), 1e-2)

    for _ in range(250):
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(made(x), goal).backward()
        optimiser.step()

    assert ((made(x) > 0) == (goal > 0)).float().mean() > 0.9


def test_the_fusion_is_a_bilinear_form_with_blocks_on_its_diagonal():
    fusion, x, y = Fusion(6, 4, parts=2), torch.randn(3, 6), torch.randn(3, 4)
    whole = torch.block_diag(*fusion.block)

    plain = torch.stack([x[r] @ whole @ y[r] for r in range(3)])

    linear = fusion.one(x)[:, 0] + fusion.two(y)[:, 0]
    torch.testing.assert_close(fusion(x, y), plain + linear)


def test_a_cross_layer_multiplies_the_inputs_with_a_mix_of_themselves():
    made, x = Crossed(HeadShape("cross", layers=(4,), crosses=1, rank=2), 3), torch.randn(5, 3)
    mixed = x @ (made.up[0].weight @ made.down[0].weight).T + made.up[0].bias
    crossed = x * mixed + x

    plain = made.last(torch.cat([made.hidden(x), crossed], dim=1))[:, 0]

    torch.testing.assert_close(made(x), plain)


def test_a_gate_lets_everything_through_before_it_has_learnt():
    x = torch.randn(4, 6)

    torch.testing.assert_close(Gate(6, 3)(x), x)


def test_streams_that_the_fusion_cannot_divide_are_refused():
    with pytest.raises(ValueError, match="which 3 parts do not divide"):
        HeadShape("streams", layers=(16, 8), other=(9,), parts=3)
