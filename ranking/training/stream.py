"""Rows that stand in a stream twice, unclicked and later clicked, weighed so as to count once.

Of such rows the share that is clicked is p / (1 + p), not p. Weights 1 + p and (1 - p)(1 + p), with
the model's own p, undo it (fake-negative weighting, Ktena et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor


def fake_negative(click: Tensor, logit: Tensor) -> Tensor:
    """[R] weights by the log-odds [R] of a click; no gradient passes."""
    p = torch.sigmoid(logit.detach())
    return torch.where(click > 0, 1 + p, (1 - p) * (1 + p))
