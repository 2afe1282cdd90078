"""A real server for the time of a measurement: started, asked what it costs, stopped for sure.

Knows the server as its users do: a command, environment variables, a port, and its metrics.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

import psutil  # type: ignore[import-untyped]  # ships no annotations

READY_WITHIN_S = 1800.0
"""A catalogue of a million ads is made first where there is none."""
STOP_WITHIN_S = 30.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
ROLES = {"adserver.app": "workers", "adserver.housekeeping": "housekeeping"}
"""What processes are for, by the module that they run."""


class NotServing(RuntimeError):
    """The server ended, or did not become ready, or left something behind."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The server to start."""

    ads: int
    scorer: str
    workers: int
    data: Path
    """Its data folder; a catalogue found there is used."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    url: str
    process: psutil.Popen

    def cpu_s(self) -> dict[int, tuple[str, float]]:
        """CPU seconds so far by process id, and what the process is for."""
        spent: dict[int, tuple[str, float]] = {}
        for one in _tree(self.process):
            try:
                times = one.cpu_times()
                spent[one.pid] = (_role(one, self.process.pid), times.user + times.system)
            except psutil.NoSuchProcess:
                continue
        return spent

    def memory_bytes(self) -> int:
        """Of all its processes, pages that they share counted once (proportionally)."""
        return sum(_memory(one) for one in _tree(self.process))

    def metrics(self) -> dict[str, float]:
        """Every sample of the server's metrics, by its name and labels as they are written."""
        with urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            f"{name}{{{labels}}}" if labels else name: float(value)
            for name, labels, value in _SAMPLE.findall(text)
        }


def spent_between(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]]
) -> dict[str, float]:
    """CPU seconds by what the processes are for; a process that came later counts whole."""
    spent: dict[str, float] = {}
    for pid, (role, seconds) in after.items():
        spent[role] = spent.get(role, 0.0) + seconds - before.get(pid, (role, 0.0))[1]
    return spent


@contextmanager
def serving(wanted: Wanted, log: Path) -> Iterator[Server]:
    """`adserver demo` on a free port of this machine; no process of it is left afterwards."""
    port = _free_port()
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ADS": str(wanted.ads),
        "WORKERS": str(wanted.workers),
        "SCORER": wanted.scorer,
        "ADSERVER_DATA": str(wanted.data),
        **wanted.settings,
    }
    command = [sys.executable, "-m", "adserver", "demo"]
    with log.open("wb") as written:
        process = psutil.Popen(command, env=environment, stdout=written, stderr=written)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        _await_ready(server, log, wanted.workers)
        yield server
    finally:
        _stop(process)


def _await_ready(server: Server, log: Path, workers: int) -> None:
    """Until every worker has answered: connections that are made before would all be with those
    that were there first."""
    until, ready = monotonic() + READY_WITHIN_S, set[int]()
    while monotonic() < until and server.process.poll() is None:
        try:
            with urlopen(f"{server.url}/readyz", timeout=5) as answer:
                ready.add(json.loads(answer.read())["worker"])
        except (URLError, OSError):
            sleep(0.2)
        if len(ready) >= workers:
            return
        sleep(0.02)
    raise NotServing(f"the server did not become ready; its last words:\n{_end_of(log)}")


def _stop(process: psutil.Popen) -> None:
    """Ctrl-C; what is still there after that is ended, and is an error."""
    tree = _tree(process)
    if process.is_running():
        process.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(tree, STOP_WITHIN_S)
    for one in left:
        one.kill()
    if left:
        raise NotServing(f"{len(left)} processes outlived Ctrl-C: {[one.pid for one in left]}")


def _tree(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _role(process: psutil.Process, root: int) -> str:
    if process.pid == root:
        return "supervisor"
    command = process.cmdline()
    return next((role for module, role in ROLES.items() if module in command), "inference")


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(full, "pss", full.uss))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
