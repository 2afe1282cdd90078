"""In-batch sampled softmax for the towers: of all ads in a batch, which was the one clicked?

The ads beside the clicked one are those that other requests of the batch were shown, so an ad comes
up as often as it is shown. With the logarithm of that share taken off each score (logQ correction,
Yi et al. 2019), scores learn the logarithm of how often an ad is clicked: of its click rate and of
how often it is shown. Without, they learn that of its click rate alone, which is what ads are
ranked by.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ranking.dataset import Impressions
from ranking.model import Sides


def log_shares(table: Impressions) -> NDArray[np.float32]:
    """[N] logarithm of each ad's share of the impressions, by weight; an ad without any is taken to
    have had half of one."""
    shown = np.bincount(table.ad, table.weight, len(table.catalogue))
    return np.log(np.maximum(shown, 0.5) / max(float(shown.sum()), 0.5)).astype(np.float32)


def chosen(sides: Sides, of: Tensor, which: Tensor, click: Tensor, taken_off: Tensor) -> Tensor:
    """Sum of -log softmax of the clicked rows' scores over all rows' ads, less `taken_off` [A].

    `of`, `which` and `click` [R] are the rows' requests, ads and weights, zero without a click. The
    request's own bias is the same for all ads and falls out.
    """
    row = click.nonzero()[:, 0]
    if not len(row):
        return click.sum()
    times = torch.bincount(which, minlength=len(sides.ad)).log()
    score = sides.request.index_select(0, of[row]) @ sides.ad.T + sides.ad_bias - taken_off
    loss = functional.cross_entropy(score + times, which[row], reduction="none")
    return (loss * click[row]).sum()
