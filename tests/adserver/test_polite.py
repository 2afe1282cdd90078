"""A process that steps back takes what the others leave, whatever sessions they are in."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
from patience import until

from bench.polite import taken

POLITE = "from adserver.polite import step_back\nstep_back()\n"


def test_it_takes_little_where_every_core_is_busy():
    polite, *busy = taken("step_back", 3.0)

    assert polite < 0.4 * min(busy)


def test_leftovers_are_no_more_and_are_taken_by_one_thread_only():
    leftovers, *busy = taken("take_leftovers", 3.0)
    told = "import os; from threading import Thread; from adserver.polite import take_leftovers\n"
    told += "t = Thread(target=lambda: (take_leftovers(), print(os.sched_getscheduler(0))))\n"
    told += "t.start(); t.join(); print(os.sched_getscheduler(0))\n"

    said = subprocess.check_output([sys.executable, "-c", told], text=True)

    assert leftovers < 0.4 * min(busy)
    assert said.split() == [str(os.SCHED_IDLE), str(os.SCHED_OTHER)]


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
        until(lambda: os.getsid(polite.pid) == polite.pid, 60.0)
        parent.kill()

    until(lambda: not polite.is_running() or polite.status() == psutil.STATUS_ZOMBIE, 60.0)
