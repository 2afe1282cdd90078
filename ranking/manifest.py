"""The manifest of a released version: what it is, where it comes from, the hash of every file.

Also the gate's report beside it. This module knows files and JSON, not what is in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

MANIFEST: Final = "manifest.json"
GATE: Final = "gate.json"
"""The gate's report by itself; the manifest has the same under "gate"."""

TABLE_FILES: Final = ("towers.npz", "logistic.npz")
"""What an ad's rows of a table depend on."""

Manifest = dict[str, Any]


def write_manifest(folder: Path, about: Manifest, files: Iterable[str]) -> Manifest:
    """Complete `about` with the hash and the size of the folder's files, and write it there."""
    manifest = about | {"files": {name: fingerprint(folder / name) for name in files}}
    write_json(folder / MANIFEST, manifest)
    return manifest


def tables_of(manifest: Manifest) -> str:
    """A hash that versions share if and only if their ad tables are the same."""
    parts = "".join(manifest["files"][name]["sha256"] for name in TABLE_FILES)
    return hashlib.sha256(parts.encode()).hexdigest()


def fingerprint(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def write_json(path: Path, value: Any) -> None:
    """A number that is none is a bug here: no reader of JSON need know it."""
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
