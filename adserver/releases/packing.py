"""From an exported model's folder to a version's: copied, renumbered, verified.

Raises ValueError, saying what is wrong; knows neither states nor the repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adserver.releases.layout import SHIM, SHIM_NAME, sync_folder
from ranking.bundle import Bundle, BundleError, files_of
from ranking.manifest import MANIFEST

MOST_BYTES: Final = 1 << 30
"""A model file larger than this is a mistake."""


def pack(source: Path, target: Path, version: int, lineage: Mapping[str, Any]) -> None:
    """Make `target` a whole version; ValueError if `source` may not become one.

    What is verified is the copy, with its new number: nobody may change it meanwhile.
    """
    manifest = read_manifest(source)
    _check_gate(manifest)
    names = _names(manifest)
    target.mkdir(parents=True)
    for name in names:
        _copy(source / name, target / name)
    lineage = {**manifest.get("lineage", {}), **lineage}
    manifest |= {"version": version, "lineage": lineage}
    _write(target / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    _write(target / SHIM_NAME, SHIM.encode())
    sync_folder(target)
    try:
        Bundle.load(target)
    except (BundleError, KeyError, OSError) as error:
        raise ValueError(f"it cannot be loaded: {error}") from None


def read_manifest(folder: Path) -> dict[str, Any]:
    """ValueError where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{MANIFEST}: {error}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ValueError(f"{MANIFEST} is not one of an exported model")
    return manifest


def _names(manifest: dict[str, Any]) -> list[str]:
    try:
        return files_of(manifest)
    except BundleError as error:
        raise ValueError(str(error)) from None


def _check_gate(manifest: Mapping[str, Any]) -> None:
    gate = manifest.get("gate")
    if not isinstance(gate, Mapping):
        raise ValueError("there is no gate report: make it with `adserver export`")
    reports = [gate] if "passed" in gate else list(gate.values())
    if not reports or not all(_has_passed(report) for report in reports):
        raise ValueError(f"it did not pass the gate: {json.dumps(gate)[:500]}")


def _has_passed(report: object) -> bool:
    return isinstance(report, Mapping) and report.get("passed") is True


def _copy(source: Path, target: Path) -> None:
    try:
        if source.stat().st_size > MOST_BYTES:
            raise ValueError(f"{source.name} has more than {MOST_BYTES} bytes")
        _write(target, source.read_bytes())
    except OSError as error:
        raise ValueError(f"{source.name}: {error}") from None


def _write(file: Path, content: bytes) -> None:
    with file.open("xb") as output:
        output.write(content)
        output.flush()
        os.fsync(output.fileno())
