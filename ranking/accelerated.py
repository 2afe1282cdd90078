"""The click model on a GPU where there is one, with the CPU path beside it for everything else.

A snapshot is scored on the CPU until it lies ready on the GPU, and again for good if the GPU fails:
no request waits for a table to come in, and none is lost. Knows which scorer answers, not how.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ranking.bundle import Bundle
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs, Refused
from ranking.table import AdTable

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "gpu"]
GPUS: Final = "ADSERVER_GPUS"
"""Environment variable: the devices that a parent process has hidden from the server around us,
as CUDA_VISIBLE_DEVICES or "all". Unset: nothing was hidden."""
OLDEST: Final = (8, 0)
"""Compute capability whose tensor cores take the kernel's INT8 tiles."""


class NoGpu(Exception):
    """A GPU was demanded and cannot be used; the message says why."""


class Gpu(Protocol):
    """What is asked of a `ranking.gpu.scorer.GpuScorer`."""

    @property
    def versions(self) -> list[int]: ...
    def add(self, version: int, table: AdTable) -> None: ...
    def score(self, pairs: Pairs) -> NDArray[np.float32]: ...


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True, name="to the GPU").start()


def _to_stderr(message: str) -> None:
    print(f"ctr_ranker: {message}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Accelerated:
    """A `LocalScorer` whose snapshots are scored on the GPU as soon as they lie there."""

    cpu: LocalScorer
    gpu: Gpu | None
    start: Callable[[Callable[[], None]], None] = _in_background
    """Has work done beside the requests."""
    tell: Callable[[str], None] = _to_stderr
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """One table comes in at a time."""

    @property
    def bundle(self) -> Bundle:
        return self.cpu.bundle

    @property
    def tables(self) -> dict[int, AdTable]:
        """Snapshots that can be scored."""
        return self.cpu.tables

    def add(self, version: int, table: AdTable) -> None:
        """Let pairs of this snapshot be scored: at once on the CPU, soon on the GPU."""
        self.cpu.add(version, table)
        if self.gpu is not None and version in self.cpu.tables:
            self.start(lambda: self._bring(version, table))

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """As `LocalScorer.score`, wherever the snapshot lies."""
        gpu = self.gpu
        if gpu is None or pairs.version not in gpu.versions:
            return self.cpu.score(pairs)
        try:
            return gpu.score(pairs)
        except Refused:  # a newer snapshot has just taken its place
            return self.cpu.score(pairs)
        except Exception as error:  # whatever device, driver or compiler report
            self._give_up(error)
            return self.cpu.score(pairs)

    def _bring(self, version: int, table: AdTable) -> None:
        with self._lock:
            gpu = self.gpu
            if gpu is None or version in gpu.versions:
                return
            try:
                gpu.add(version, table)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """After a fault the device answers nothing more in this process."""
        if self.gpu is not None:
            self.gpu = None
            self.tell(f"goes on without the GPU, which failed: {error}")


def scorer_of(
    bundle: Bundle, parameters: Mapping[str, str], number: int | None = None
) -> LocalScorer | Accelerated:
    """What the model's parameters ask for: "device" auto, cpu or gpu, and how the kernel is cut in
    "tiling". `number` is the device of an instance that Triton has put on a GPU.

    NoGpu where "gpu" is demanded and there is none; ValueError where a parameter is no choice.
    """
    device = device_for(parameters, number)
    cpu = LocalScorer(bundle)
    if device is None:
        return cpu
    return Accelerated(cpu, _gpu(bundle, device, parameters.get("tiling", "")))


def device_for(parameters: Mapping[str, str], number: int | None = None) -> torch.device | None:
    """The CUDA device that a model's parameter "device" chooses, None for the CPU; as above."""
    wanted = parameters.get("device", "auto")
    if wanted not in get_args(Device):
        raise ValueError(f"device must be one of {', '.join(get_args(Device))}, not {wanted!r}")
    if wanted == "cpu":
        return None
    found = usable(number or 0)
    if not isinstance(found, str):
        return found
    if wanted == "gpu":
        raise NoGpu(found)
    return None


def usable(number: int) -> torch.device | str:
    """The CUDA device of this number, or why there is none for the kernels."""
    _show_hidden()
    lacking = _lacking()
    if lacking:
        return lacking
    import torch  # noqa: PLC0415 - takes seconds, which a machine without a GPU need not spend

    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        return f"there is no CUDA device {number}"
    if torch.cuda.get_device_capability(number) < OLDEST:
        return f"{torch.cuda.get_device_name(number)} is older than compute capability 8.0"
    return torch.device("cuda", number)


def _lacking() -> str:
    """What stands in the way of any GPU here, found without loading torch; empty: nothing."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "kernels run in the Triton language's interpreter"
    missing = [one for one in ("torch", "triton") if find_spec(one) is None]
    if missing:
        return f"{' and '.join(missing)} is not installed, as the extra 'gpu' would"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no CUDA driver is installed"
    return ""


def _show_hidden() -> None:
    hidden = os.environ.pop(GPUS, None)
    if hidden == "all":
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    elif hidden is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = hidden


def _gpu(bundle: Bundle, device: torch.device, tiling: str) -> Gpu:
    from ranking.gpu.network import Model  # noqa: PLC0415 - imports torch and the language
    from ranking.gpu.scorer import GpuScorer, Settings  # noqa: PLC0415
    from ranking.gpu.tiling import USUAL, Tiling  # noqa: PLC0415

    cut = Tiling.read(tiling) if tiling else USUAL
    return cast(Gpu, GpuScorer(Model.of(bundle), Settings(device, cut)))
