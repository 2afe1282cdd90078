"""A process that steps back takes what the others leave, whatever sessions they are in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

BUSY = "while True: pass"
POLITE = "from adserver.polite import step_back\nstep_back()\n"


def started(code):
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def cpu_s(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_takes_little_where_every_core_is_busy():
    busy = [started(BUSY) for _ in range(len(os.sched_getaffinity(0)))]
    polite = started(POLITE + BUSY)
    try:
        time.sleep(1.0)  # it has stepped back
        before = [cpu_s(process) for process in (polite, *busy)]
        time.sleep(3.0)
        spent = [
            cpu_s(process) - then for process, then in zip((polite, *busy), before, strict=True)
        ]
    finally:
        for process in (polite, *busy):
            process.send_signal(signal.SIGKILL)
            process.wait()

    assert spent[0] < 0.4 * min(spent[1:])


def test_what_it_starts_is_in_its_session():
    told = "import os, subprocess; print(os.getsid(0) == os.getpid(), flush=True)\n"
    child = "print(subprocess.check_output(['sh', '-c', 'nice; cat /proc/self/autogroup || true'],"
    code = POLITE + told + child + " text=True))"

    said = subprocess.check_output([sys.executable, "-c", code], text=True).split()

    assert said[:2] == ["True", "10"]
    assert said[-2:] in (["nice", "10"], ["True", "10"])  # the latter where there is no such file


def test_it_ends_with_whoever_started_it(tmp_path):
    os.mkfifo(tmp_path / "log")  # nobody writes: the command waits
    command = [sys.executable, "-m", "adserver.polite", "simulate", "ipinyou", tmp_path / "log"]
    code = "import subprocess, sys, time; made = subprocess.Popen(sys.argv[1:])\n"
    code += "print(made.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.PIPE) as parent:
        polite = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: os.getsid(polite.pid) == polite.pid)
        parent.kill()

    wait_until(lambda: not polite.is_running() or polite.status() == psutil.STATUS_ZOMBIE)


def wait_until(condition, within_s=60.0):
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
