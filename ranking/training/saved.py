"""The state of a training that is under way: a run that was killed goes on as if it had not been.

The file is replaced whole, so that whatever moment a process dies at, one that can be read is
there. It knows of what data and settings it is, and is not read for any other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ranking.dataset import Impressions
from ranking.training.former import NotTrainable
from ranking.training.settings import TrainSettings


def fingerprint(
    table: Impressions,
    settings: TrainSettings,
    seed: int,
    former: Mapping[str, NDArray[np.float32]] | None,
) -> str:
    """Equal for trainings whose results are equal."""
    found = hashlib.sha256(json.dumps([asdict(settings), seed]).encode())
    for column in fields(table):
        found.update(np.ascontiguousarray(getattr(table, column.name)).data)
    for name in sorted(former or {}):
        found.update(np.ascontiguousarray((former or {})[name]).data)
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """How far a training is."""

    epoch: int = 0
    batch: int = 0
    """Batches of this pass that are done."""
    step: int = 0
    rows: int = 0
    """Impressions that the steps before were on."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Where the state of one training is kept."""

    file: Path
    of: str
    """Its fingerprint."""

    def write(self, place: Place, parts: Mapping[str, Any]) -> None:
        """`parts` are state dictionaries of torch."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_suffix(".tmp")
        with unfinished.open("wb") as out:
            torch.save({"of": self.of, "place": asdict(place), "parts": dict(parts)}, out)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(self.file)

    def read(self) -> tuple[Place, dict[str, Any]] | None:
        """None if nothing is kept. NotTrainable if it is of another training."""
        if not self.file.exists():
            return None
        found = torch.load(self.file, weights_only=True)
        if found["of"] != self.of:
            raise NotTrainable(
                f"resume: {self.file} is of other impressions, settings, seed or start"
            )
        return Place(**found["place"]), found["parts"]

    def forget(self) -> None:
        """The training has ended."""
        self.file.unlink(missing_ok=True)
