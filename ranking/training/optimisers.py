"""How far each weight moves: Adam for the layers, Adagrad for the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ranking.model import ClickModel
from ranking.training.settings import TrainSettings


class Optimisers:
    """Rates rise for a moment, then fall to nothing.

    Adam would move a value seen once as far as one seen daily. Adagrad's steps shrink with what a
    value has been through, and its first ones are damped by `doubt`.
    """

    def __init__(
        self, model: ClickModel, settings: TrainSettings, steps: int, rate: float = 1.0
    ) -> None:
        tables = list(model.tables())
        own = {id(one) for one in tables}
        dense = [one for one in model.parameters() if id(one) not in own]
        self.each = (
            (torch.optim.Adam(dense, fused=True), settings.learning_rate * rate),
            (
                torch.optim.Adagrad(
                    tables, initial_accumulator_value=settings.doubt / settings.batch**2
                ),
                settings.table_rate * rate,
            ),
        )
        self.steps, self.done = steps, 0

    def state(self) -> dict[str, Any]:
        """All that `restore` needs."""
        return {"each": [one.state_dict() for one, _ in self.each], "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a former `state`."""
        for (one, _), known in zip(self.each, state["each"], strict=True):
            one.load_state_dict(known)
        self.done = state["done"]

    def step(self) -> float:
        """One step on the gradients at hand, which are then forgotten; the share now done."""
        share = min(self.done / self.steps, 1.0)
        height = min((self.done + 1) / (0.1 * self.steps), 0.5 + 0.5 * float(np.cos(np.pi * share)))
        for optimiser, peak in self.each:
            optimiser.param_groups[0]["lr"] = peak * height
            optimiser.step()
            optimiser.zero_grad()
        self.done += 1
        return min(self.done / self.steps, 1.0)
