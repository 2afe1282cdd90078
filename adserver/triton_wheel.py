"""Triton Inference Server without a container: its binaries, taken out of a Python wheel.

The wheel is never put on our own import path: it is only where the binaries come from.
This module knows files and the machine; it starts no server.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

RELEASE = "0.7.0"
REQUIREMENT = (
    f"nvidia-pytriton=={RELEASE} "
    "--hash=sha256:21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df\n"
)
"""Carries tritonserver 2.51. Taken without its dependencies: they would hold numpy below 2."""
OLDEST_GLIBC = (2, 35)
STUBS = range(8, 14)
"""Minor versions of Python 3 for which the wheel has a worker of the Python backend."""


class InferenceServerError(Exception):
    """Triton cannot be had, or did not start; the message is a sentence for the operator."""


class Unavailable(InferenceServerError):
    """This machine cannot run the wheel's binaries. The local scorer can be used instead."""


@dataclass(frozen=True, slots=True)
class Installation:
    """An unpacked wheel, completed with the worker and the library of this Python."""

    folder: Path

    @property
    def binary(self) -> Path:
        return self.folder / "pytriton/tritonserver/bin/tritonserver"

    @property
    def backends(self) -> Path:
        return self.folder / "pytriton/tritonserver/backends"

    @property
    def libraries(self) -> Path:
        """Holds nothing but libpython, so that the loader finds no other library by accident."""
        return self.folder / "libpython"


def obstacle() -> str | None:
    """Why this machine cannot run the wheel's binaries, or None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"Triton's wheel is for Linux on x86-64, not {sys.platform} on {platform.machine()}"
    kind, version = platform.libc_ver()
    if kind != "glibc" or tuple(map(int, version.split("."))) < OLDEST_GLIBC:
        oldest = ".".join(map(str, OLDEST_GLIBC))
        return (
            f"Triton's wheel needs glibc {oldest} or later, not {kind or 'another libc'} {version}"
        )
    if sys.version_info.minor not in STUBS:
        return f"Triton's wheel has no Python backend for Python 3.{sys.version_info.minor}"
    if libpython() is None:
        return f"Triton's Python backend needs {_libpython_name()}, which is not installed"
    return None


def libpython() -> Path | None:
    """The shared library of this very Python, which the backend's worker loads."""
    own = sysconfig.get_config_var("LIBDIR") or "/usr/lib"
    folders = (
        own,
        f"{own}/{sysconfig.get_config_var('MULTIARCH')}",
        f"{sys.base_prefix}/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
    )
    found = (Path(folder) / _libpython_name() for folder in folders)
    return next((path for path in found if path.exists()), None)


def _libpython_name() -> str:
    return f"libpython3.{sys.version_info.minor}.so.1.0"


def install(folder: Path) -> Installation:
    """Triton under `folder`, fetched if it is not there yet; whole or not at all.

    Takes a download of 50 MB once, then no time. Two processes may do it at once.
    """
    reason = obstacle()
    if reason:
        raise Unavailable(reason)
    done = Installation(folder.resolve() / f"{RELEASE}-cp3{sys.version_info.minor}")
    if not done.folder.is_dir():
        _install_anew(done)
    _link_libpython(done)
    return done


def _install_anew(done: Installation) -> None:
    done.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=done.folder.parent) as incoming:
        fresh = Installation(Path(incoming) / "triton")
        _fetch(fresh, Path(incoming) / "requirement.txt")
        stubs = fresh.folder / "pytriton/tritonserver/python_backend_stubs"
        worker = stubs / f"3.{sys.version_info.minor}" / "triton_python_backend_stub"
        shutil.copy2(worker, fresh.backends / "python")
        _try(fresh)
        with contextlib.suppress(OSError):  # another process was faster: theirs is as good
            fresh.folder.rename(done.folder)


def _fetch(target: Installation, requirement: Path) -> None:
    requirement.write_text(REQUIREMENT)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    what = ["--only-binary=:all:", "--no-compile", "--require-hashes", "-r", str(requirement)]
    ran = subprocess.run(
        [*pip, *what, "--target", str(target.folder)], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise InferenceServerError(f"Triton could not be fetched: {ran.stderr.strip()[-500:]}")


def _try(target: Installation) -> None:
    """Loads the binary with all its libraries once, so that a gap shows here and not at a start."""
    ran = subprocess.run([target.binary, "--help"], capture_output=True, text=True, check=False)
    if "--model-repository" not in ran.stdout + ran.stderr:
        raise Unavailable(f"Triton's binary does not run here: {ran.stderr.strip()[-300:]}")


def _link_libpython(target: Installation) -> None:
    """Follows a Python that was upgraded or moved since the wheel was unpacked."""
    library = libpython()
    if library is None:
        raise Unavailable(f"{_libpython_name()} is gone")
    target.libraries.mkdir(exist_ok=True)
    fresh = target.libraries / f".{os.getpid()}"
    fresh.symlink_to(library)
    fresh.replace(target.libraries / library.name)
