"""One Triton Inference Server as a child process: started, watched, restarted, cleared away.

It knows processes, ports and files; it knows nothing of models or of scoring.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no annotations
import structlog

from adserver.triton_wheel import InferenceServerError, Installation

SHARED_MEMORY = Path("/dev/shm")
REGION = "adserver_triton_"
"""Start of our names in shared memory; then come our process id and the server's port."""
SETTLED_WITHIN_S = 10.0
"""After a model was loaded anew, its old workers end by themselves within this."""
RESTART_AFTER_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first, second, … start in a row that fails; the last one repeats."""
LOOK_EVERY_S = 0.05

LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent died first")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Asks Linux (PR_SET_PDEATHSIG) to kill the server with its parent, then becomes the server.

In an interpreter of its own, because Python run between fork and exec may deadlock beside threads.
"""

CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""The server looks for no device, and the model's worker keeps to one core. Which devices it may
use itself, the worker is told beside (`ranking.accelerated.GPUS`)."""

log = structlog.get_logger()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class TritonProcess:
    """One Triton on 127.0.0.1 that serves one model, and never outlives us.

    `is_ready` asks the server at an address whether the model is loaded. Start from a thread that
    lives as long as the process: Linux ties the child's life to that thread.
    """

    installation: Installation
    model_repository: Path
    snapshots: Path
    log_file: Path
    is_ready: Callable[[str], Awaitable[bool]]
    grpc_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    model: str = "ctr_ranker"
    beside: tuple[str, ...] = ()
    """Models that it serves too; nobody waits for them."""
    load: Callable[[str], Awaitable[str]] | None = None
    """Asks the server at an address to take up the model's configuration; gives why it did not."""
    _child: subprocess.Popen[bytes] | None = None
    _workers: tuple[psutil.Process, ...] = ()
    _log_begin: int = 0

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def pid(self) -> int | None:
        """The server's process id, also the id of its process group; None before the start."""
        return self._child.pid if self._child else None

    @property
    def region(self) -> str:
        """What the names of this server's shared memory begin with."""
        return f"{REGION}{os.getpid()}_{self.grpc_port}_"

    async def start(self, within_s: float = 60.0) -> None:
        """Returns when the model is loaded and warm; if it raises, nothing is left running."""
        await self.stop()
        self._spawn()
        try:
            async with asyncio.timeout(within_s):
                await self._until_ready()
            self._workers = _children(self._child)
        except BaseException as error:
            await self.stop(grace_s=0.0)
            if isinstance(error, TimeoutError):
                raise InferenceServerError(self._failure("was not ready in time")) from None
            raise

    async def stop(self, grace_s: float = 5.0) -> None:
        """When this returns nothing of it is left: no process, no shared memory. Idempotent."""
        child, self._child = self._child, None
        if child is None:
            return
        os.kill(child.pid, signal.SIGTERM)
        await _until(lambda: _has_ended(child), grace_s)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        await _until(lambda: not _group_lives(child.pid), 2.0)
        _forget_regions(self.region)

    async def reload(self, versions: int) -> str:
        """Have it serve the `versions` versions that the model's configuration now names; why it
        does not, or nothing.

        Those that stay answer meanwhile. Every version gets a new worker, so that the death of an
        old one is no failure until they have settled.
        """
        if self.load is None:
            return "nobody told how to"
        self._workers = ()
        try:
            return await self.load(self.grpc_url)
        finally:
            workers = versions + len(self.beside)
            await _until(lambda: len(_children(self._child)) == workers, SETTLED_WITHIN_S)
            self._workers = _children(self._child)

    async def supervise(self) -> None:
        """Starts it again, at the same address, whenever it dies. Cancel this before `stop`.

        Also when only a model's worker died, which Triton itself neither mends nor admits.
        """
        failures = 0
        while True:
            await _until(lambda: not self._lives(), None)
            await self.stop(grace_s=0.0)
            pause = RESTART_AFTER_S[min(failures, len(RESTART_AFTER_S) - 1)]
            log.warning("triton is down, starting it again", after_s=pause)
            await asyncio.sleep(pause)
            try:
                await self.start()
                failures = 0
            except InferenceServerError as error:
                failures += 1
                log.error("triton did not start", reason=str(error))

    def _lives(self) -> bool:
        if self._child is None or _has_ended(self._child):
            return False
        return all(_is_alive(worker) for worker in self._workers)

    def _spawn(self) -> None:
        forget_orphaned_regions()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid())]
        with self.log_file.open("ab") as output:
            self._log_begin = output.tell()
            self._child = subprocess.Popen(
                [*launch, str(self.installation.binary), *self._arguments()],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _arguments(self) -> Iterator[str]:
        settings: Mapping[str, object] = {
            "model-repository": self.model_repository.resolve(),
            "model-control-mode": "explicit",
            "backend-directory": self.installation.backends,
            "backend-config": f"python,shm-region-prefix-name={self.region}",
            "grpc-address": "127.0.0.1",
            "grpc-port": self.grpc_port,
            "allow-http": "false",
            "metrics-address": "127.0.0.1",
            "metrics-port": self.metrics_port,
            "allow-gpu-metrics": "false",
            "allow-cpu-metrics": "false",
            "pinned-memory-pool-byte-size": 0,
            "exit-timeout-secs": 2,
        }
        yield "--disable-auto-complete-config"
        yield from (f"--load-model={name}" for name in (self.model, *self.beside))
        yield from (f"--{name}={value}" for name, value in settings.items())

    def _environment(self) -> dict[str, str]:
        # The worker reads neither PYTHONPATH nor PYTHONHOME. It finds our packages by the virtual
        # environment that the first `python3` on its path belongs to.
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        return {
            **os.environ,
            **CPU_ONLY,
            "ADSERVER_GPUS": os.environ.get("CUDA_VISIBLE_DEVICES", "all"),
            "PATH": path,
            "LD_LIBRARY_PATH": str(self.installation.libraries),
            "ADSERVER_SNAPSHOTS": str(self.snapshots.resolve()),
        }

    async def _until_ready(self) -> None:
        while not await self.is_ready(self.grpc_url):
            if self._child is None or _has_ended(self._child):
                raise InferenceServerError(self._failure("stopped while starting"))
            await asyncio.sleep(LOOK_EVERY_S)

    def _failure(self, what: str) -> str:
        """With the errors that this start logged, or its last lines if it logged none."""
        lines = self.log_file.read_bytes()[self._log_begin :].decode(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith(("E", "error"))]
        return f"Triton {what}; {self.log_file} says: " + " | ".join((errors or lines)[-3:])


async def _until(done: Callable[[], bool], within_s: float | None) -> None:
    """Returns when `done`, or when the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not done():  # noqa: ASYNC110 - no event tells of a process that was killed
                await asyncio.sleep(LOOK_EVERY_S)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Leaves the process unreaped, so that its group's id is not given to strangers meanwhile."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child.pid, how) is not None


def _children(process: subprocess.Popen[bytes] | None) -> tuple[psutil.Process, ...]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return tuple(psutil.Process(process.pid).children()) if process else ()
    return ()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _forget_regions(beginning: str) -> None:
    for region in SHARED_MEMORY.glob(f"{beginning}*"):
        region.unlink(missing_ok=True)


def forget_orphaned_regions() -> None:
    """Shared memory of servers whose parent was killed before it could clear up."""
    for region in SHARED_MEMORY.glob(f"{REGION}*"):
        owner = region.name.removeprefix(REGION).partition("_")[0]
        if not Path("/proc", owner).exists():
            region.unlink(missing_ok=True)
