"""Time the way of a catalogue from nothing to a loaded snapshot; one JSON line per size.

    python -m bench.catalogue --ads 10000 100000 1000000

Each size runs in a process of its own, so that its peak memory is its own: of generating and
inserting, and of building, which a server's builder does alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from adserver.catalogue import additions, operations, schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.growing import grow_snapshot
from adserver.catalogue.overlay import Overlay
from adserver.catalogue.sample import create_sample
from adserver.catalogue.snapshot import Snapshot
from bench.newads import document
from simulator.catalogue import catalogue
from simulator.world import World

BUNDLE = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
POLLS = 200
GROWTHS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ads", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--quick", action="store_true", help="the smallest size only")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="folder of the click model")
    parser.add_argument("--stage", choices=("insert", "build"), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.stage:
        insert = chosen.stage == "insert"
        place: Path = chosen.place
        print(json.dumps(inserted(chosen.ads[0], place) if insert else built(place, chosen.bundle)))
        return
    for ads in chosen.ads[:1] if chosen.quick else chosen.ads:
        print(json.dumps(measured(ads, chosen.bundle)), flush=True)


def measured(ads: int, bundle: Path) -> dict[str, object]:
    """One size, each stage in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        common = ["--ads", str(ads), "--place", place, "--bundle", str(bundle)]
        stages: dict[str, object] = {}
        for stage in ("insert", "build"):
            command = [sys.executable, "-m", "bench.catalogue", "--stage", stage, *common]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            stages |= json.loads(output)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return {"bench": "catalogue", "ads": ads, **stages, "machine": machine}


def inserted(ads: int, place: Path) -> dict[str, object]:
    """Generate a catalogue, then write one to a database."""
    world = World()
    generate_s = seconds(lambda: catalogue(world, ads))
    cpu_s = time.process_time()
    insert_s = seconds(lambda: create_sample(url(place), ads, time.time()))
    cpu_s = time.process_time() - cpu_s
    return {
        "generate_s": round(generate_s, 2),
        "generate_and_insert_s": round(insert_s, 2),
        "generate_and_insert_cpu_s": round(cpu_s, 2),
        "database_mb": round((place / "catalogue.db").stat().st_size / 1e6, 1),
        "insert_peak_mb": peak_mb(),
    }


def built(place: Path, bundle: Path) -> dict[str, object]:
    """Build a snapshot, load it, and poll for changes."""
    root = place / "snapshots"
    cpu_s = time.process_time()
    build_s = seconds(lambda: build_snapshot(url(place), root, bundle, time.time()))
    cpu_s = time.process_time() - cpu_s
    build_peak = peak_mb()
    load_s = seconds(lambda: Snapshot.load(root))
    map_s = seconds(lambda: Snapshot.load(root, verify=False))
    snapshot = Snapshot.load(root, verify=False)
    files = snapshot.manifest.files.values()
    return {
        "build_s": round(build_s, 2),
        "build_cpu_s": round(cpu_s, 2),
        "build_peak_mb": build_peak,
        "snapshot_mb": round(sum(file.bytes for file in files) / 1e6, 1),
        "load_verified_ms": round(load_s * 1e3, 1),
        "load_ms": round(map_s * 1e3, 1),
        **polled(snapshot, place),
        **grown(place, bundle, build_s),
    }


def grown(place: Path, bundle: Path, build_s: float) -> dict[str, object]:
    """The next snapshots, each with one line item of twenty ads more; the median of three."""
    engine, took, cpu = schema.connect(url(place)), [], []
    for number in range(GROWTHS):
        additions.add(engine, document(number))
        cpu_s = time.process_time()
        took.append(
            seconds(lambda: grow_snapshot(url(place), place / "snapshots", [bundle], time.time()))
        )
        cpu.append(time.process_time() - cpu_s)
    engine.dispose()
    grow_s = median(took)
    return {
        "grow_s": round(grow_s, 2),
        "grow_cpu_s": round(median(cpu), 2),
        "build_over_grow": round(build_s / grow_s, 1),
    }


def polled(snapshot: Snapshot, place: Path) -> dict[str, object]:
    """How long a server's poll takes: with nothing new, and with a paused ad and a new bid."""
    engine = schema.connect(url(place))
    now = time.time()
    overlay = Overlay(snapshot, engine, now)

    def poll() -> None:
        for _ in range(POLLS):
            overlay.refresh(now, None)

    idle_s = seconds(poll) / POLLS
    operations.pause(engine, "ad", 1)
    operations.set_bid(engine, 1, 999_000)
    change_s = seconds(lambda: overlay.refresh(now, None))
    engine.dispose()
    return {"poll_ms": round(idle_s * 1e3, 2), "poll_with_changes_ms": round(change_s * 1e3, 2)}


def url(place: Path) -> str:
    return f"sqlite:///{place}/catalogue.db"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mb() -> float:
    """Most memory that this process has held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    main()
