"""How the suite is shared between the two processes of `make test`: by folder or by file.

Tests that share a server or a trained model stay together, and servers stay in one process, so
that no two of them are asked to be quick at the same time.
"""

from __future__ import annotations

from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {"auction", "contract", "ranking", "simulator"}
"""Folders whose tests share what is dear: kernels to be compiled, servers, a trained model."""
ORDER = ("auction", "simulator", "retrieval", "ranking", "contract", "feedback", "adserver")
"""The first compiles the kernels of the auction, and until it has, what comes beside it needs none
of them; then what takes long, so that both processes end at about the same time."""


class SideBySide(LoadScopeScheduling):
    """Gives each process that has no more work the next folder or file."""

    def _split_scope(self, nodeid: str) -> str:
        folder = folder_of(nodeid)
        return folder if folder in TOGETHER else nodeid.partition("::")[0]


def place_in_line(nodeid: str) -> int:
    folder = folder_of(nodeid)
    return ORDER.index(folder) if folder in ORDER else len(ORDER)


def folder_of(nodeid: str) -> str:
    """Of the test's file, below tests/; of one that lies there itself, its name."""
    return PurePath(nodeid.partition("::")[0]).parts[1]
