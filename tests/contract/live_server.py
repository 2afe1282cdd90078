"""The whole system as a user starts it: `adserver demo`, a small catalogue, a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent.parent
READY_WITHIN_S = 900
"""The first start on a machine compiles the kernels."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class LiveServer:
    """`adserver demo` in a process of its own."""

    data: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        mine = {"ADSERVER_DATA": str(self.data), "PORT": str(self.port), "ADS": "2000"}
        mine["EXPLORATION"] = "0"  # who wins is asserted
        return os.environ | mine | self.settings

    @property
    def output(self) -> str:
        return (self.data / "demo.log").read_text()

    def start(self) -> LiveServer:
        """Returns when it says that it is ready, and each of its workers that it serves."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "demo.log").open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "adserver", "demo"],
                cwd=ROOT, env=self.environment, stdout=output, stderr=output, text=True,
            )  # fmt: skip
        until = time.monotonic() + READY_WITHIN_S
        while not self._serves():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < until, self.output
            time.sleep(0.1)  # the process tells us by its output only
        return self

    def _serves(self) -> bool:
        output = self.output
        workers = int(self.environment.get("WORKERS", "1"))
        return "Ctrl-C stops everything" in output and output.count('"event": "serving"') >= workers

    def family(self) -> list[psutil.Process]:
        """The process and all that it started, and what those started."""
        assert self.process
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def running(self, *command: str) -> list[psutil.Process]:
        """Those of the family that run `python -m` with this module, and these arguments."""
        began = ["-m", *command]
        return [one for one in self.family() if one.cmdline()[1 : 1 + len(began)] == began]

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Its exit status, after one signal."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()

    def triton(self) -> psutil.Process:
        return next(p for p in self.family() if p.name().startswith("tritonserver"))

    def triton_metric(self, name: str) -> float:
        (address,) = re.findall(r"Triton metrics\s+(http\S+)", self.output)
        with urllib.request.urlopen(address) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))

    def cli(self, *arguments: str) -> str:
        """Output of one `adserver` command on this server's data."""
        done = subprocess.run(
            [sys.executable, "-m", "adserver", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, path: str) -> tuple[int, bytes]:
        return self._answer(urllib.request.Request(self.url + path))

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and decoded JSON (None when there is no body)."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        status, answer = self._answer(request)
        return status, json.loads(answer) if answer else None

    def _answer(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
