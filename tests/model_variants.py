"""Models like the committed one, changed in one stated way and exported as if they had passed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from ranking.bundle import FILES

COMMITTED = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
PASSED = {"gate": "INT8", "passed": True, "checks": []}


def exported(folder: Path, *, rate: float = 1.0, shift: float = 0.0, **manifest) -> Path:
    """What an export leaves behind. `rate` multiplies every click rate, in the calibration alone;
    `shift` moves every vector of the ads' tower."""
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(COMMITTED / name, folder / name)
    if rate != 1.0:
        stored = dict(np.load(folder / "calibration.npz"))
        stored["probability"] = np.minimum(stored["probability"] * rate, 0.999)
        np.savez(folder / "calibration.npz", **stored)
    if shift:
        stored = dict(np.load(folder / "towers.npz"))
        stored["ad.b2"] = (stored["ad.b2"] + shift).astype(stored["ad.b2"].dtype)
        np.savez_compressed(folder / "towers.npz", **stored)
    about = json.loads((COMMITTED / "manifest.json").read_text())
    about |= {"gate": PASSED, "files": {name: fingerprint(folder / name) for name in FILES}}
    (folder / "manifest.json").write_text(json.dumps(about | manifest))
    return folder


def fingerprint(file: Path) -> dict:
    content = file.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def repository_at(folder: Path) -> Path:
    """A repository that holds the committed version and no record of releases."""
    shutil.copytree(COMMITTED, folder / "ctr_ranker" / "1")
    shutil.copyfile(COMMITTED.parent / "config.pbtxt", folder / "ctr_ranker" / "config.pbtxt")
    return folder
