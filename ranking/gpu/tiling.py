"""How the fused kernel is cut: what is tuned, and where a choice that was tuned is kept.

The best cut depends on the chip and on the compiler, so that it is measured (`bench/gpu.py`) and
given to the server in a word, such as "128-8-1-2".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, slots=True)
class Tiling:
    """One cut of the work."""

    block: int = 128
    """Pairs of a tile. More use the weights longer; fewer waste less at a request's end."""
    warps: int = 8
    """Of a program. A tile's activations must fit in their registers."""
    ahead: int = 1
    """1: a tile's ads are fetched while the tile before is computed; 0: only then. It takes
    registers that more programs could use."""
    programs: int = 1
    """For each multiprocessor: others compute while one waits, if registers suffice."""

    def __str__(self) -> str:
        return f"{self.block}-{self.warps}-{self.ahead}-{self.programs}"

    @classmethod
    def read(cls, word: str) -> Tiling:
        """Of `str`; ValueError for anything else."""
        numbers = [int(part) for part in word.split("-")]
        if len(numbers) != 4:
            raise ValueError(f"{word!r} is not BLOCK-WARPS-AHEAD-PROGRAMS")
        tiling = cls(*numbers)
        if not all((_power(tiling.block), _power(tiling.warps), tiling.ahead < 2, tiling.programs)):
            raise ValueError(f"{word!r}: no kernel can be cut so")
        return tiling


def _power(number: int) -> bool:
    """Of two."""
    return number > 0 and number & (number - 1) == 0


USUAL = Tiling()


def tilings() -> Iterator[Tiling]:
    """What is worth trying, the likeliest first."""
    yield USUAL
    for block, warps, ahead, programs in product((128, 64, 256), (8, 4), (1, 0), (1, 2, 3, 4)):
        tiling = Tiling(block, warps, ahead, programs)
        if tiling != USUAL and block * 8 >= warps * 64 and warps * programs <= 16:
            yield tiling
