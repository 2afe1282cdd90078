"""The in-batch softmax: which ad was clicked, whatever is shown often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ranking.dataset import Impressions
from ranking.model import Sides
from ranking.training.softmax import chosen, log_shares


def sides(rng: np.random.Generator, requests: int, ads: int) -> Sides:
    return Sides(*(
        torch.from_numpy(rng.normal(size=size).astype(np.float32)).requires_grad_()
        for size in ((requests, 4), (requests,), (ads, 4), (ads,))
    ))  # fmt: skip


def test_it_is_the_log_likelihood_of_the_clicked_among_all_rows_by_hand(rng: np.random.Generator):
    made, share = sides(rng, 3, 5), rng.normal(size=5)
    of, which = torch.tensor([0, 0, 1, 2]), torch.tensor([4, 1, 1, 0])
    click = torch.tensor([0.0, 1.0, 2.0, 0.0])

    loss = chosen(made, of, which, click, torch.from_numpy(share.astype(np.float32)))

    u, _, a, bias = (one.detach().numpy().astype(float) for one in made)
    expected = 0.0
    for request, weight in ((0, 1.0), (1, 2.0)):
        score = (a @ u[request] + bias - share)[which.numpy()]  # ad 1 stands in two rows, 2 in none
        expected -= weight * (np.log(2 * np.exp(score[1])) - np.log(np.exp(score).sum()))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_a_click_teaches_nothing(rng: np.random.Generator):
    made, rows = sides(rng, 2, 2), torch.tensor([0, 1])

    loss = chosen(made, rows, rows, torch.zeros(2, requires_grad=True), torch.zeros(2))
    loss.backward()

    assert loss.item() == 0.0
    assert made.ad.grad is None


def test_without_correction_an_ad_that_is_only_shown_often_gains_nothing(rng: np.random.Generator):
    """Ads of one click rate, shown unequally often: scores are level at first."""
    which = torch.from_numpy(rng.choice(3, 4_000, p=[0.7, 0.2, 0.1]))
    made = Sides(torch.zeros(4_000, 4), torch.zeros(4_000), torch.zeros(3, 4), torch.zeros(3))
    made.ad_bias.requires_grad_()

    def pull(taken_off: torch.Tensor) -> np.ndarray:
        made.ad_bias.grad = None
        chosen(made, torch.arange(4_000), which, torch.ones(4_000), taken_off).backward()
        return -made.ad_bias.grad.numpy() / 4_000

    share = torch.bincount(which) / 4_000
    assert np.abs(pull(torch.zeros(3))).max() < 1e-4
    assert np.argmax(pull(share.log())) == 0, "corrected, what is shown often is wanted often"


def test_shares_are_by_weight_and_never_zero(table: Impressions):
    some = replace(table, weight=np.where(table.ad == table.ad[0], 2.0, 1.0).astype(np.float32))

    share = np.exp(log_shares(some))

    used = np.bincount(some.ad, some.weight, len(some.catalogue))
    assert share[used > 0] == pytest.approx(used[used > 0] / used.sum(), rel=1e-5)
    assert (share > 0).all()
