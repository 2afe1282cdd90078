"""What a model computes of a snapshot's ads: the ad table and the vectors that retrieval scans.

Those of the model that the snapshot was built with are part of it. Those of others lie beside
them, under the model's hash, each made once and never changed.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.columns import AdColumns, FileFact
from adserver.catalogue.progress import Progress, silent
from adserver.catalogue.snapshot import MANIFEST, Snapshot, check, digest
from adserver.catalogue.splice import Splice
from adserver.catalogue.value import base_value
from adserver.errors import ConfigError
from ranking.bundle import Bundle
from ranking.features import FEATURE_SCHEMA
from ranking.table import COLUMNS as TABLE
from ranking.table import AdTable, describe, table_folder
from retrieval.vectors import COLUMNS, AdVectors

DRAFT = ".building-"
HASHING = 4
"""Threads: a snapshot of a million ads takes one core half a second."""
RANKER, VECTORS = "ranker", "vectors"
PER_AD = [name for name in COLUMNS if name != "rotation"]


def write_tables(
    folder: Path,
    bundle: Bundle,
    ads: AdColumns,
    encoded: NDArray[np.int32],
    progress: Progress = silent,
) -> None:
    """The table and the vectors of ads encoded as i32[N, W], in `folder`/ranker and /vectors."""
    count, done = len(ads), 0

    def heard(more: int) -> None:
        nonlocal done
        done += more
        progress("compute ad vectors", done, count)

    table = AdTable.build(bundle, encoded, heard)
    table.save(folder / RANKER)
    base = base_value(ads.bid_micros, ads.per_click, table.bias)
    AdVectors.build(table.vectors(), ads.per_click, base).save(folder / VECTORS)
    progress("index ad vectors", count, count)


def grow_tables(
    folder: Path,
    old: Path,
    bundle: Bundle,
    splice: Splice,
    fresh: AdColumns,
    encoded: NDArray[np.int32],
) -> None:
    """As `write_tables`, of ads of which the old ones have tables in `old` and the fresh ones,
    encoded as i32[F, W], have none."""
    more, there = AdTable.build(bundle, encoded), AdVectors.load(old / VECTORS)
    base = np.zeros(len(fresh), np.float32)  # for a graph, which they are too few for
    new = AdVectors.build(more.vectors(), fresh.per_click, base, rotation=there.rotation)
    for part, columns, names in ((RANKER, more, TABLE), (VECTORS, new, PER_AD)):
        (folder / part).mkdir(parents=True)
        for name in names:
            splice.save(old / part / f"{name}.npy", getattr(columns, name), folder / part)
    np.save(folder / VECTORS / "rotation.npy", there.rotation)
    describe(folder / RANKER, more.model, int(splice.start[-1]))


def are_there(snapshot: Path, bundle: Bundle) -> bool:
    """Whether this model can serve the snapshot."""
    return (table_folder(snapshot, bundle.tables_sha256) / "table.json").exists()


def add_tables(snapshot: Path, bundle: Bundle, progress: Progress = silent) -> None:
    """Make the model's tables unless they are there; whole or not at all, by one process at a time.

    ConfigError where the snapshot's ads are encoded by another feature schema.
    """
    target = table_folder(snapshot, bundle.tables_sha256).parent
    if are_there(snapshot, bundle):
        return
    opened = Snapshot.open(snapshot, verify=False)
    check_schema(opened)
    target.parent.mkdir(exist_ok=True)
    with alone(target.parent):
        if target.exists():
            return
        draft = target.with_name(f"{DRAFT}{target.name}")
        write_tables(draft, bundle, opened.ads, opened.encoded, progress)
        (draft / MANIFEST).write_bytes(msgspec.json.encode(facts_of(draft)))
        draft.rename(target)


def verify_tables(snapshot: Path, bundle: Bundle, contents: bool = True) -> Path:
    """The folder of `ranker` and `vectors`; SnapshotError unless all files are as they were made,
    or are as long.

    Those of the snapshot's own model are the snapshot's to verify.
    """
    folder = table_folder(snapshot, bundle.tables_sha256).parent
    if folder != snapshot:
        facts = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, FileFact])
        check(folder, facts, contents)
    return folder


def check_schema(snapshot: Snapshot) -> None:
    """ConfigError where no model of this program can read the snapshot's ads."""
    if snapshot.manifest.feature_schema != FEATURE_SCHEMA:
        raise ConfigError(
            [f"snapshot {snapshot.version} has another feature schema: catalog build"]
        )


def facts_of(folder: Path) -> Mapping[str, FileFact]:
    """Of every file below."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with ThreadPoolExecutor(HASHING) as pool:
        digests = pool.map(digest, files)
        return {
            file.relative_to(folder).as_posix(): FileFact(sha256, file.stat().st_size)
            for file, sha256 in zip(files, digests, strict=True)
        }


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits for whoever fills the folder; what a dead one left is removed."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in folder.glob(f"{DRAFT}*"):
            shutil.rmtree(stale)
        yield
