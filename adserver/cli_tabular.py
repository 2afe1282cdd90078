"""`adserver train --data`: other people's logs, from the file to the figures of four methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from adserver import progress
from adserver.cli_data import told
from adserver.cli_refusals import refusals
from adserver.cli_tables import tables
from adserver.errors import ConfigError
from feedback.html import COMPACT

if TYPE_CHECKING:
    from ranking.tabular.runs import Outcome

console = Console(stderr=True)


def train_on(data: Sequence[Path], format: str, folder: Path, seed: int) -> None:
    """Import what is not yet imported, train, and say how the methods compare on the newest rows.

    Exit code 2, and the reason, where the data cannot be read or do not suffice.
    """
    from pyarrow import ArrowException  # noqa: PLC0415 — as late as what reads with it

    from ranking.tabular import runs  # noqa: PLC0415 — torch is in an extra
    from ranking.tabular.network import NetSettings  # noqa: PLC0415
    from ranking.tabular.rows import TooLittle  # noqa: PLC0415

    with refusals():
        columns = _imported(data, format, folder / "data")
        try:
            with progress.shares(console, "train") as heard:
                outcome = runs.run(columns, folder, NetSettings(), seed, heard)
        except (TooLittle, ArrowException) as error:
            raise ConfigError([f"{', '.join(map(str, data))}: {error}"]) from None
    shown(outcome)
    typer.echo(f"{folder / runs.METRICS}: all of it, with the load of each field's table")


def _imported(data: Sequence[Path], format: str, out: Path) -> Path:
    """The folder of columns: the one given, or what the logs become."""
    from feedback.importing.run import MANIFEST, Plan, import_log  # noqa: PLC0415 — kernels

    if len(data) == 1 and (data[0] / MANIFEST).is_file():
        return data[0]
    with progress.shown(console, "import") as heard:
        manifest = import_log(list(data), out, Plan(format), heard)
    told(manifest, out)
    return out


def shown(outcome: Outcome) -> None:
    """The comparison, as a table on standard output."""
    rows = outcome.rows
    cut = ", ".join(f"{name} {rows[name]:,}" for name in ("train", "validation", "test"))
    title = f"the newest {rows['test']:,} rows, {rows['test clicks']:,} clicked ({cut})"
    table = Table(title=title, **COMPACT)
    for name in ("", "AUC", "95 %", "over LR", "95 %", "logloss", "NE", "ECE", "COPC"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for one in outcome.figures:
        m, over = one.metrics, one.auc_over_logistic
        table.add_row(
            one.method,
            f"{m.auc:.4f}",
            f"{one.auc.low:.3f} … {one.auc.high:.3f}",
            f"{over.value:+.4f}",
            f"{over.low:+.4f} … {over.high:+.4f}",
            f"{m.logloss:.5f}",
            f"{m.normalised_entropy:.4f}",
            f"{m.ece:.4f}",
            f"{m.copc:.3f}",
        )
    tables().print(table)
    for note in outcome.notes:
        typer.echo(f"note: {note}")
