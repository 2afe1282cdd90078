"""The one command line. Each command is a thin shell over a plain function of its own package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adserver import (
    cli_catalog,
    cli_data,
    cli_drift,
    cli_experiment,
    cli_export,
    cli_labels,
    cli_ledger,
    cli_loop,
    cli_model,
    cli_models,
    cli_replay,
    cli_report,
    cli_reserves,
    cli_simulate,
)
from adserver.cli_refusals import refuse, settings_given
from adserver.demo import run_demo, run_serve

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Ad ranking and auction server: targeting, embedding retrieval, INT8 click model, "
    "second-price auction, inside 50 ms.",
    pretty_exceptions_enable=False,
)
app.add_typer(cli_catalog.app, name="catalog", help="The catalogue and its snapshots.")
app.add_typer(cli_data.app, name="data", help="Click logs of other people: import.")
app.add_typer(cli_report.app, name="report", help="What happened: clicks, revenue, fairness.")
app.add_typer(
    cli_simulate.app, name="simulate", help="What would have happened: logs and markets replayed."
)
app.add_typer(cli_reserves.app, name="reserves", help="Personal reserves from recorded bids.")
app.add_typer(cli_experiment.app, name="experiment", help="Arms compared over users.")
app.add_typer(cli_labels.app, name="labels", help="Impressions with their clicks, to train on.")
app.add_typer(cli_ledger.app, name="ledger", help="Budgets: show, check, rebuild.")
app.add_typer(cli_models.app, name="models", help="Click models: registry and release.")
app.command("loop")(cli_loop.loop)
app.command("train")(cli_model.train)
app.command("export")(cli_export.export)
app.command("calibrate")(cli_export.calibrate)
app.command("drift")(cli_drift.drift)
app.command("replay")(cli_replay.replay)
console = Console(stderr=True)


@app.command()
def demo() -> None:
    """Make what is missing (catalogue, snapshot, key, Triton) and serve it all on localhost.

    HOST, PORT, ADS, WORKERS and SCORER=triton|local override; Ctrl-C stops everything.
    """
    with settings_given() as settings:
        raise typer.Exit(run_demo(settings, console))


@app.command()
def serve() -> None:
    """Serve an existing catalogue: production. Needs ADSERVER_TOKEN_KEY and a snapshot."""
    with settings_given() as settings:
        raise typer.Exit(run_serve(settings, console))


@app.command()
def bench(
    only: Annotated[str, typer.Option(help="Name of one script in bench/ to run.")] = "",
    quick: Annotated[bool, typer.Option(help="Small sizes only.")] = False,
) -> None:
    """Run the benchmarks of a source checkout; one JSON line per figure on standard output."""
    folder = Path(__file__).parent.parent / "bench"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    scripts = sorted(names & {only or name for name in names})
    if not scripts:
        refuse([f"no benchmark {only!r} in {folder}"])
    for script in scripts:
        console.print(f"[bold]{script}[/bold]")
        arguments = ["--quick"] if quick else []
        command = [sys.executable, "-m", f"bench.{script}", *arguments]
        code = subprocess.call(command, cwd=folder.parent)
        if code:
            raise typer.Exit(code)
