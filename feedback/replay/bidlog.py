"""Other people's bid logs, line by line: what the market asked for each impression, and the click.

The format of the iPinYou benchmark (Liao, Peng, Liu, Shen 2014) and what research makes of it
(Zhang, Yuan, Wang, Shen 2014). A line may be

    click price pCTR                    blank or tab between; further fields are left alone
    click price 0:1 17:1 …              the same with feature indices: no prediction
    24 fields between tabs              iPinYou's own impression log: price is `payprice`
    27 fields between tabs              the same with click, weekday and hour before it

plain, gzip or bzip2. Prices are per thousand impressions in the log's own unit (iPinYou's is a
hundredth of a yuan). Knows nothing of auctions. A file is read in chunks, however long it is; a
line that cannot be understood is counted, the first few are named, and nothing else happens.
"""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, PPM

CHUNK = 8_192
LONGEST = 1 << 16
"""Bytes of a line that are looked at."""
MOST_PRICE = 1e9
"""Units of price above which a line is not believed."""
NAMED = 5
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"


@dataclass(frozen=True, slots=True)
class Offers:
    """Impressions offered, in the log's order."""

    click: NDArray[np.bool_]
    market_micros: NDArray[np.int64]
    """What had to be paid for it, per thousand impressions; a multiple of MILLE."""
    pctr_ppm: NDArray[np.int64]
    """At least 1; 0 where the log has no prediction."""

    def __len__(self) -> int:
        return len(self.click)


@dataclass(slots=True)
class Mistakes:
    """Lines left out."""

    count: int = 0
    named: list[str] = field(default_factory=list)
    """The first few, as FILE:LINE: why."""

    def note(self, path: Path, line: int, why: str) -> None:
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(f"{path}:{line}: {why}")


def read(
    paths: Sequence[Path], unit_micros: int, mistakes: Mistakes, chunk: int = CHUNK
) -> Iterator[Offers]:
    """Chunks of the files' offers, one file after the other; `unit_micros` is one unit of price."""
    rows: list[tuple[bool, int, int]] = []
    for path in paths:
        for number, line in _lines(path, mistakes):
            row = _row(line, unit_micros)
            if isinstance(row, str):
                mistakes.note(path, number, row)
                continue
            rows.append(row)
            if len(rows) == chunk:
                yield _columns(rows)
                rows = []
    if rows:
        yield _columns(rows)


def _columns(rows: list[tuple[bool, int, int]]) -> Offers:
    table = np.array(rows, np.int64)
    return Offers(table[:, 0] > 0, table[:, 1].copy(), table[:, 2].copy())


def _lines(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _opened(path) as file:
            while line := file.readline(LONGEST):
                number += 1
                if not line.endswith(b"\n") and len(line) == LONGEST:
                    mistakes.note(path, number, f"is longer than {LONGEST} bytes")
                    _skip_line(file)
                elif line.strip():
                    yield number, line.decode("utf-8", "replace")
    except (
        OSError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:  # missing, torn, altered
        mistakes.note(path, number + 1, f"cannot be read on: {error}")


def _skip_line(file: BinaryIO) -> None:
    while (more := file.readline(LONGEST)) and not more.endswith(b"\n"):
        pass


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        head = file.read(3)
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if head.startswith(_BZIP2):
        return cast(BinaryIO, bz2.open(path, "rb"))
    return path.open("rb")


def _row(line: str, unit_micros: int) -> tuple[bool, int, int] | str:
    """Click, price and rate of a line; or why it has none."""
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) >= 27:
        click, price, rate = fields[0], fields[23], ""
    elif len(fields) >= 22:
        click, price, rate = "0", fields[20], ""
    else:
        fields = line.split()
        if len(fields) < 2:
            return "has fewer than two fields"
        click, price, rate = fields[0], fields[1], fields[2] if len(fields) > 2 else ""
    return _checked(click, price, "" if ":" in rate else rate, unit_micros)


def _checked(click: str, price: str, rate: str, unit_micros: int) -> tuple[bool, int, int] | str:
    if not click.isascii() or not click.isdecimal():
        return f"click {click[:20]!r} is no count"
    paid = _number(price, MOST_PRICE)
    if paid is None:
        return f"price {price[:20]!r} is not 0 to {MOST_PRICE:.0f}"
    share = _number(rate, 1.0) if rate else 0.0
    if share is None:
        return f"click rate {rate[:20]!r} is not 0 to 1"
    micros = round(paid * unit_micros) // MILLE * MILLE
    return int(click) > 0, micros, max(1, round(share * PPM)) if rate else 0


def _number(text: str, most: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= most else None
