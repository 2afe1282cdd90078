"""Lines that could not be understood: where they stand, why, and how they begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import orjson
from numpy.typing import NDArray

from feedback.importing.kernels import faults
from feedback.importing.lines import Block


class Reason(StrEnum):
    """Why a line was set aside."""

    EMPTY = "empty line"
    TOO_LONG = "line too long"
    NUL = "zero byte"
    QUOTE = "quotation mark without its pair"
    FIELDS = "wrong number of fields"
    MISSING = "missing value"
    WHOLE = "no whole number in range"
    REAL = "no number in range"
    HEX = "not hexadecimal"
    TIME = "no date and time"
    TEXT = "value too long"
    TORN = "cut off where the file ends too early"


OF_FAULT = {getattr(faults, reason.name): reason for reason in Reason}


class Quarantine:
    """Writes each bad line to a file of JSON lines; counts them by reason."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.count: Counter[Reason] = Counter()
        self.first: list[str] = []
        """The first few, as FILE:LINE: why."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, path: Path, block: Block, field: NDArray[np.int16], names: Sequence[str]) -> None:
        """All lines of the block that have a fault; `field` is the number of the one to blame."""
        for line in np.flatnonzero(block.fault).tolist():
            reason = OF_FAULT[int(block.fault[line])]
            blamed = names[field[line]] if field[line] >= 0 else None
            number = int(block.number[line])
            self.count[reason] += 1
            if len(self.first) < 5:
                where = f" in {blamed}" if blamed else ""
                self.first.append(f"{path}:{number}: {reason}{where}")
            entry = {
                "file": str(path),
                "line": number,
                "byte": int(block.offset[line]),
                "reason": reason,
                "field": blamed,
                "text": block.text(line),
            }
            self._file.write(orjson.dumps(entry) + b"\n")
