"""A training in a process of its own, for tests that kill it: one line for every step."""

from __future__ import annotations

import sys
from pathlib import Path

from ranking.dataset import Impressions
from ranking.training import TrainSettings, train

SETTINGS = TrainSettings(epochs=2, batch=512, negatives=0.8, save_every=1)
SEED = 3


def main() -> None:
    table, folder = Impressions.load(Path(sys.argv[1])), Path(sys.argv[2])
    heard = lambda stage, share: print(stage, share, flush=True)  # noqa: E731
    train(table, folder, SETTINGS, SEED, heard, resume=True)


if __name__ == "__main__":
    main()
