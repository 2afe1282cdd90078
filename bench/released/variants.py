"""Models like a given one, changed in one stated way and exported as if they had passed a gate.

For trials of the release itself; what they predict is worth nothing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from ranking.bundle import FILES
from ranking.manifest import MANIFEST, write_manifest


def variant(source: Path, folder: Path, rate: float = 1.0, shift: float = 0.0) -> Path:
    """`rate` multiplies every click rate, in the calibration alone; `shift` moves every vector of
    the ads' tower, so that tables and scores are other ones."""
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(source / name, folder / name)
    if rate != 1.0:
        stored = dict(np.load(folder / "calibration.npz"))
        stored["probability"] = np.minimum(stored["probability"] * rate, 0.999)
        np.savez(folder / "calibration.npz", **stored)
    if shift:
        stored = dict(np.load(folder / "towers.npz"))
        stored["ad.b2"] = (stored["ad.b2"] + shift).astype(stored["ad.b2"].dtype)
        np.savez_compressed(folder / "towers.npz", **stored)
    about = json.loads((source / MANIFEST).read_text())
    about["gate"] = {"gate": "none, for a trial of the release", "passed": True, "checks": []}
    write_manifest(folder, about, FILES)
    return folder


def repository(source: Path, folder: Path) -> Path:
    """A model repository of its own with the first version of `source` in production."""
    model = Path("ctr_ranker")
    shutil.copytree(source / model / "1", folder / model / "1")
    shutil.copyfile(source / model / "config.pbtxt", folder / model / "config.pbtxt")
    return folder
