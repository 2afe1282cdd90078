"""Where compiled kernels are kept: a folder of its own for each state of their sources.

numba looks for a change in the file of a kernel only, not in those of the functions that it calls
or whose constants it took: a checkout that was upgraded would go on with code of the old one.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("adserver", "auction", "feedback", "ranking", "retrieval", "simulator")
VARIABLE = "NUMBA_CACHE_DIR"
_KERNEL = re.compile(r"^ *@njit", re.MULTILINE)
_IMPORTED = re.compile(r"^(?:from|import) ([\w.]+)(?: import ([\w, ]+))?", re.MULTILINE)


def name_kernel_cache() -> None:
    """Set `NUMBA_CACHE_DIR`, for this process and its children; call before numba is imported."""
    os.environ[VARIABLE] = str(kernel_folder(os.environ, fingerprint(ROOT)))


def kernel_folder(environment: Mapping[str, str], of: str) -> Path:
    """In the folder that the environment names, or the user's cache; a name given is kept."""
    caches = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(environment.get(VARIABLE) or caches / "adserver" / "kernels")
    return base if base.name == of else base / of


@cache
def fingerprint(root: Path) -> str:
    """Of the sources that kernels are made of; 16 hex digits."""
    digest = hashlib.sha256()
    for path in kernel_sources(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def kernel_sources(root: Path) -> list[Path]:
    """Files that compile something, and all files of ours that these import, and so on."""
    files = [path for name in PACKAGES for path in (root / name).rglob("*.py")]
    # said, because a process that Triton starts may have no locale
    every = {path: path.read_text("utf-8") for path in files}
    found: set[Path] = set()
    open_files = [path for path, text in every.items() if _KERNEL.search(text)]
    while open_files:
        path = open_files.pop()
        if path in every and path not in found:
            found.add(path)
            open_files += _imports(every[path], root)
    return sorted(found)


def _imports(text: str, root: Path) -> list[Path]:
    """Files that the modules imported here could be."""
    names = []
    for module, members in _IMPORTED.findall(text):
        names += [module, *(f"{module}.{member.strip()}" for member in members.split(","))]
    places = [root.joinpath(*name.split(".")) for name in names]
    return [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
