"""Columns on disk, mapped rather than read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mapped(file: Path) -> NDArray[Any]:
    """The array of a .npy file, its pages shared with every process that maps the same file.

    Mapped copy-on-write, never written: numba compiles a second version of a kernel for
    read-only arrays and takes microseconds longer to recognise them.
    """
    return np.asarray(np.load(file, mmap_mode="c"))
