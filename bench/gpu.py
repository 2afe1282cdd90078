"""The GPU path in one call: checks it, tunes it, measures it. One JSON line per figure.

    python3 bench/gpu.py [--seconds 470] [--quick]

Needs python3, torch, triton (the language) and numpy, and no network. Without a CUDA device the
kernels' checks run in the interpreter of the Triton language, every figure is printed as
unmeasured, and the exit code is 0; it is 1 where a check failed or a part broke.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # a script's folder stands there, whose names could hide others

import torch  # noqa: E402 - after the path is set

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the language is first imported

from bench.on_gpu import ceilings, equality, scoring, selection  # noqa: E402
from bench.on_gpu.machine import Line, Machine, found, line  # noqa: E402

Part = Callable[[Machine, float], Iterator[Line]]
"""Lines of one part, given the seconds that it may take."""
PARTS: dict[str, tuple[Part, float]] = {
    "scorer": (scoring.figures, 1.0),
    "equality": (equality.figures, 0.2),
    "selection": (selection.figures, 1.0),
}
"""By name, in order: the part and its share of the time that the ceilings leave."""


def run(machine: Machine, until: float, chosen: Sequence[str]) -> Iterator[Line]:
    """All chosen parts' lines; one that breaks says so in a line, and costs no other its turn."""
    for at, name in enumerate(chosen):
        part, share = PARTS[name]
        of = sum(PARTS[later][1] for later in chosen[at:])
        try:
            for one in part(machine, max(until - time.monotonic(), 0.0) * share / of):
                yield {"part": name, **one}
        except Exception:
            traceback.print_exc()
            yield {"part": name, **line("ran to its end", 0, "bool", passed=False)}


def main() -> int:
    flags = _flags()
    until = time.monotonic() + flags.seconds
    machine = found(flags.quick)
    measured = [*ceilings.figures(machine)]
    for one in measured:
        _print({"part": "ceilings", **one}, machine)
    failed = 0
    for one in run(ceilings.known(machine, measured), until, flags.only or [*PARTS]):
        _print(one, machine)
        failed += one.get("passed") is False
    return 1 if failed else 0


def _print(one: Line, machine: Machine) -> None:
    print(json.dumps({"bench": "gpu", "device": machine.name, **one}), flush=True)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=470.0, help="for everything together")
    parser.add_argument("--only", nargs="*", default=[], choices=[*PARTS], help="parts to run")
    parser.add_argument("--quick", action="store_true", help="smaller tables, fewer repetitions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
