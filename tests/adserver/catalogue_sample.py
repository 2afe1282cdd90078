"""A sample catalogue of two thousand ads and its snapshot, made once and copied for each test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from adserver.catalogue import schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample

ADS = 2_000
NOW = 1_800_000_000.0
BUNDLE = Path(__file__).parents[2] / "model_repository" / "ctr_ranker" / "1"


class Place:
    """A folder with a catalogue and its published snapshots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots = folder / "snapshots"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/catalogue.db"

    def engine(self) -> Engine:
        return schema.connect(self.url)

    def build(self, now: float = NOW) -> int:
        return build_snapshot(self.url, self.snapshots, BUNDLE, now)


@cache
def _original() -> Place:
    place = Place(Path(tempfile.mkdtemp(prefix="catalogue-")))
    atexit.register(shutil.rmtree, place.folder)
    create_sample(place.url, ADS, NOW)
    place.build()
    return place


def fresh_place(folder: Path) -> Place:
    """A catalogue of its own for one test, with snapshot 1 published."""
    shutil.copytree(_original().folder, folder, dirs_exist_ok=True)
    return Place(folder)
