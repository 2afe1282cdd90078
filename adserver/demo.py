"""Starts what serves and stops all of it: workers, Triton, and the housekeeping beside them.

`demo` makes what is missing first. One process watches all others; none outlives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from adserver.children import Child
from adserver.compiling import compiled_beside, is_cold
from adserver.deadline import monotonic, wall
from adserver.errors import ConfigError
from adserver.inference_server import TritonProcess
from adserver.model_loading import Load, ModelLoading
from adserver.provision import ensure_catalogue, ensure_snapshot, mend_snapshot
from adserver.rebuilding import restore_from_log
from adserver.settings import Settings
from adserver.token_key import kept_key
from adserver.triton_wheel import InferenceServerError, Unavailable, install
from ranking.triton import is_ready, load

READY_WITHIN_S = 240.0
COMPILED_WITHIN_S = 1800.0
"""The first start on a machine, which may be slow and busy, compiles the kernels."""
TRITON_FOLDER = Path(".triton")


def run_demo(settings: Settings, console: Console) -> int:
    """Make what is missing, then serve until Ctrl-C."""
    settings.adserver_data.mkdir(parents=True, exist_ok=True)
    if not settings.adserver_token_key:
        key = kept_key(settings.adserver_data / "token.key", secrets.token_bytes(32))
        settings = replace(settings, adserver_token_key=key)
    with _compiling(settings, console) as within_s:
        ensure_catalogue(settings, console)
        ensure_snapshot(settings, console)
        return asyncio.run(_serve_all(settings, console, within_s))


def run_serve(settings: Settings, console: Console) -> int:
    """Serve what is there."""
    mistakes = []
    if not settings.adserver_token_key:
        mistakes.append("ADSERVER_TOKEN_KEY is not set: it signs the event URLs")
    if settings.scorer == "triton" and not settings.triton_url:
        mistakes.append("TRITON_URL is not set; or choose SCORER=local")
    if mistakes:
        raise ConfigError(mistakes)
    with _compiling(settings, console) as within_s:
        mend_snapshot(settings, console)
        return asyncio.run(_serve_all(settings, console, within_s))


@contextlib.contextmanager
def _compiling(settings: Settings, console: Console) -> Iterator[float]:
    """Seconds that the first worker may take; begin before anything else compiles."""
    if not is_cold(settings.mechanism):
        yield READY_WITHIN_S
        return
    console.print("compiling kernels, once per machine: a minute or two")
    with compiled_beside(settings.mechanism):
        yield COMPILED_WITHIN_S


async def _serve_all(settings: Settings, console: Console, within_s: float) -> int:
    stop = asyncio.Event()
    for what in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(what, stop.set)
    restore_from_log(settings, wall())
    settings, triton = await _triton(settings, console)
    watch = [asyncio.create_task(triton.supervise())] if triton else []
    first, *others = _children(settings)
    try:
        first.start()  # alone: the others find compiled what it compiles
        if await _ready(settings, stop, within_s):
            for child in others:
                child.start()
            _tell(settings, triton, console)
            if settings.triton_url:
                loading = ModelLoading(settings.model_repository, _loader(settings, triton))
                watch.append(asyncio.create_task(loading.keep()))
            await stop.wait()
        elif not stop.is_set():
            console.print(f"[red]no worker was ready within {within_s:.0f} s[/red]")
        return 0 if stop.is_set() else 1
    finally:
        await _stop_all([first, *others], watch, triton)


async def _stop_all(
    children: list[Child], watch: list[asyncio.Task[None]], triton: TritonProcess | None
) -> None:
    await asyncio.gather(*(child.stop() for child in children))
    for task in watch:
        task.cancel()
    await asyncio.gather(*watch, return_exceptions=True)
    if triton:
        await triton.stop()


async def _triton(settings: Settings, console: Console) -> tuple[Settings, TritonProcess | None]:
    """Our own Triton, unless another is named; where it cannot run, the local scorer."""
    if settings.scorer == "local" or settings.triton_url:
        return settings, None
    try:
        installation = await asyncio.to_thread(install, TRITON_FOLDER)
        log_file = settings.adserver_data / "triton.log"
        triton = TritonProcess(
            *(installation, settings.model_repository, settings.snapshots, log_file, is_ready),
            load=load,
            beside=("ad_selector",) if settings.selector == "gpu" else (),
        )
        await triton.start(within_s=READY_WITHIN_S)
    except (Unavailable, InferenceServerError) as error:
        console.print(f"[yellow]no Triton here ({error}): going on with the local scorer[/yellow]")
        return replace(settings, scorer="local", selector="cpu"), None
    return replace(settings, triton_url=triton.grpc_url), triton


def _loader(settings: Settings, triton: TritonProcess | None) -> Load:
    if triton:
        return triton.reload
    return lambda versions: load(settings.triton_url)


def _children(settings: Settings) -> list[Child]:
    """The workers, and who does what can wait."""
    environment, python = _environment(settings), (sys.executable, "-m")
    workers = [
        Child(f"worker {number}", (*python, "adserver.app", str(number)), environment)
        for number in range(settings.workers)
    ]
    return [*workers, Child("housekeeping", (*python, "adserver.housekeeping"), environment)]


def _environment(settings: Settings) -> Mapping[str, str]:
    """Ours, with what was decided here; metrics of all workers meet in one fresh folder."""
    metrics = settings.adserver_data / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    for stale in metrics.glob("*.db"):
        stale.unlink()
    return {
        **os.environ,
        "SCORER": settings.scorer,
        "SELECTOR": settings.selector,
        "TRITON_URL": settings.triton_url,
        "ADSERVER_TOKEN_KEY": settings.adserver_token_key,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


async def _ready(settings: Settings, stop: asyncio.Event, within_s: float) -> bool:
    """Whether a worker answers that it is ready, before the time is over or we are stopped."""
    until = monotonic() + within_s
    while monotonic() < until and not stop.is_set():
        if await asyncio.to_thread(_asks_ready, settings):
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.2)
    return False


def _asks_ready(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host
    try:
        with urlopen(f"http://{host}:{settings.port}/readyz", timeout=1) as answer:
            return bool(json.load(answer)["ready"])
    except (URLError, OSError, ValueError):
        return False


def _tell(settings: Settings, triton: TritonProcess | None, console: Console) -> None:
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    scorer = f"Triton at {settings.triton_url}" if settings.triton_url else "ONNX Runtime, local"
    console.print(f"\n[bold green]ready[/bold green]  {settings.workers} worker(s), {scorer}")
    for what, where in (
        ("demo page", f"{base}/demo/"),
        ("API", f"POST {base}/v1/decision"),
        ("OpenRTB", f"POST {base}/openrtb2/auction"),
        ("report", f"{base}/report"),
        ("metrics", f"{base}/metrics"),
        ("Triton metrics", triton.metrics_url if triton else ""),
    ):
        if where:
            console.print(f"  {what:<15}{where}", soft_wrap=True)
    console.print("  Ctrl-C stops everything\n")
