"""Models like the committed one, changed in one stated way and exported as if they had passed."""

from __future__ import annotations

import json
from pathlib import Path

from bench.released import variants
from ranking.manifest import MANIFEST

COMMITTED = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
PASSED = {"gate": "INT8", "passed": True, "checks": []}


def exported(folder: Path, *, rate: float = 1.0, shift: float = 0.0, **manifest) -> Path:
    """What an export leaves behind: `bench.released.variants.variant` of the committed model, with
    more in its manifest."""
    variants.variant(COMMITTED, folder, rate, shift)
    about = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(about | {"gate": PASSED} | manifest))
    return folder


def repository_at(folder: Path) -> Path:
    """A repository that holds the committed version and no record of releases."""
    return variants.repository(COMMITTED.parent.parent, folder)
