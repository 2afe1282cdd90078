"""`adserver data`: other people's click logs, into checked columns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from adserver import progress
from adserver.cli_refusals import refusals, refuse
from feedback.importing.formats import FORMATS

app = typer.Typer(no_args_is_help=True)
console = Console(stderr=True)
NAMES = ", ".join(("auto", *FORMATS))


@app.callback()
def about() -> None:
    """Click logs of other people."""


@app.command("import")
def import_(
    format: Annotated[str, typer.Argument(help=f"{NAMES}.")],
    files: Annotated[
        list[Path], typer.Argument(help="Files or folders; plain or gzip, told by their content.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for Parquet, manifest and quarantine.")],
    limit: Annotated[int, typer.Option(min=0, help="Lines to read at most; 0: all.")] = 0,
) -> None:
    """Read a log into Parquet; lines that cannot be understood are set aside and counted."""
    from feedback.importing.run import Plan, import_log  # noqa: PLC0415 — compiles kernels

    with refusals(), progress.shown(console, "import") as heard:
        manifest = import_log(files, out, Plan(format, limit), heard)
    told(manifest, out)
    if manifest["rows_in"] and not manifest["rows_out"]:
        refuse([f"{', '.join(map(str, files))}: not one line is of format {manifest['format']}"])


def told(manifest: Mapping[str, Any], out: Path) -> None:
    """The manifest in a few lines."""
    from feedback.importing.run import QUARANTINED  # noqa: PLC0415 — compiles kernels

    rows, clicks = manifest["rows_out"], manifest["clicks"]
    line = f"{out}: {manifest['format']}, {rows:,} rows of {manifest['rows_in']:,} lines"
    typer.echo(f"{line}, {clicks:,} clicks ({clicks / max(1, rows):.3%})")
    if manifest["time_ms"]:
        first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in manifest["time_ms"])
        typer.echo(f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC")
    if manifest["quarantined"]:
        reasons = "; ".join(f"{count:,} {name}" for name, count in manifest["reasons"].items())
        lines = f"{manifest['quarantined']:,} of {manifest['rows_in']:,} lines"
        typer.echo(f"set aside in {out / QUARANTINED}: {lines} ({reasons})")
    for one in manifest["sources"]:
        if one["torn"]:
            typer.echo(f"{one['file']}: read in part: {one['torn']}")
