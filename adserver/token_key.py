"""The secret that signs event URLs, kept in a file where the environment gives none."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path


def kept_key(path: Path, entropy: bytes) -> str:
    """The secret in `path`, made from `entropy` by whoever comes first, readable by its owner only.

    For a demo on one machine; a fleet gets its key from the environment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{entropy[:8].hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(sha256(entropy).hexdigest())
    try:
        os.link(draft, path)  # fails if another process was first; then its key counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
