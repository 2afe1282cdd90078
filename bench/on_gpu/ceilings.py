"""What the device can do at most, measured in the same run: copying, and matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from bench.on_gpu.machine import Ceilings, Line, Machine, line, seconds_each, unmeasured

COPY_BYTES = 1 << 32
SIDE = 8_192
NAMES = {
    "copy_bytes_per_s": ("device copy, read and written", "B/s"),
    "int8_ops_per_s": ("INT8 matrix product", "op/s"),
    "fp16_ops_per_s": ("FP16 matrix product", "op/s"),
}


def figures(machine: Machine) -> Iterator[Line]:
    """The three ceilings."""
    if not machine.cuda:
        for figure, unit in NAMES.values():
            yield unmeasured(figure, unit)
        return
    took = {
        "copy_bytes_per_s": 2 * COPY_BYTES / _copy_s(),
        "int8_ops_per_s": 2 * SIDE**3 / _int8_s(),
        "fp16_ops_per_s": 2 * SIDE**3 / _fp16_s(),
    }
    for name, value in took.items():
        yield line(NAMES[name][0], value, NAMES[name][1])


def known(machine: Machine, lines: Sequence[Line]) -> Machine:
    """The machine with the ceilings that `figures` gave."""
    if not machine.cuda:
        return machine
    value = {one["figure"]: one["value"] for one in lines}
    return replace(machine, ceilings=Ceilings(*(value[figure] for figure, _ in NAMES.values())))


def _copy_s() -> float:
    source = torch.randint(-128, 128, (COPY_BYTES,), dtype=torch.int8, device="cuda")
    target = torch.empty_like(source)
    return seconds_each([lambda: target.copy_(source)])[0]


def _int8_s() -> float:
    left, right = (
        torch.randint(-128, 128, (SIDE, SIDE), dtype=torch.int8, device="cuda") for _ in range(2)
    )
    return seconds_each([lambda: torch._int_mm(left, right.t())])[0]


def _fp16_s() -> float:
    left, right = (torch.randn(SIDE, SIDE, dtype=torch.float16, device="cuda") for _ in range(2))
    return seconds_each([lambda: left @ right])[0]
