"""What a model repository holds besides the versions' own files: what Triton wants of it.

A version folder holds no code but the line that finds this program's. Knows no states.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from adserver.releases.triton_config import TEMPLATE

MODEL: Final = "ctr_ranker"
CONFIG: Final = "config.pbtxt"
SHIM_NAME: Final = "model.py"
SHIM: Final = '''"""What Triton loads; the model's code is the program's, not the version's."""

from ranking.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
POLICY = re.compile(r"^version_policy: .*$", re.MULTILINE)


def model_folder(repository: Path) -> Path:
    return repository / MODEL


def version_folder(repository: Path, version: int) -> Path:
    return repository / MODEL / str(version)


def versions_of(repository: Path) -> list[int]:
    """Of the version folders, ascending."""
    folder = model_folder(repository)
    names = (one.name for one in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def policy(versions: Collection[int]) -> str:
    """The configuration's line that names the versions to load."""
    return f"version_policy: {{ specific: {{ versions: {sorted(versions)} }} }}"


def with_policy(config: str, versions: Collection[int]) -> str:
    """The configuration, naming these versions."""
    return POLICY.sub(policy(versions), config, count=1)


def replace_durably(file: Path, content: bytes) -> None:
    """At once for every reader, also after a power failure."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with draft.open("wb") as output:
        output.write(content)
        output.flush()
        os.fsync(output.fileno())
    draft.replace(file)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare(repository: Path, versions: Collection[int]) -> None:
    """Triton's configuration names exactly these versions; written only if it changed."""
    file = model_folder(repository) / CONFIG
    file.parent.mkdir(parents=True, exist_ok=True)
    found = file.read_text() if file.exists() else TEMPLATE
    wanted = with_policy(found, versions)
    if wanted != found or not file.exists():
        replace_durably(file, wanted.encode())
