"""`adserver export`, `adserver calibrate`: from a run, or a version, to one that may be released.

Both print what the gate found and exit with 1 when it refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adserver import progress
from adserver.cli_refusals import refusals, refuse, settings_given
from adserver.cli_tables import tables
from adserver.deadline import wall
from adserver.errors import ConfigError
from adserver.releases.registry import Registry, RegistryError
from feedback.html import COMPACT
from ranking.bundle import Bundle, BundleError

console = Console(stderr=True)
Pages = Annotated[int, typer.Option(help="Pages sold by both models; 0: none are.")]


def export(
    run: Annotated[
        Path, typer.Option("--run", "--folder", help="Folder of the trained, unquantised model.")
    ] = Path("var/model"),
    out: Annotated[
        Path, typer.Option("--out", "--repository", help="Folder to write the version into.")
    ] = Path("var/export"),
    version: Annotated[int, typer.Option(help="Number in the manifest.")] = 1,
    pages: Pages = 10_000,
    incumbent: Annotated[
        int, typer.Option(help="Version that it must not rank worse than; -1: production, 0: none.")
    ] = -1,
) -> None:
    """Quantise to INT8, calibrate, judge against FP32 and the incumbent; refuse with numbers."""
    from feedback.gate_pages import replay_newest  # noqa: PLC0415
    from ranking import export as exporting  # noqa: PLC0415 — onnx is in an extra

    with settings_given() as settings:
        limits, auctions = settings.gate_limits, settings.auction
        rival = _incumbent(settings.registry, incumbent)
    with refusals(), _refusal_exits_1(), progress.shares(console, "export") as heard:
        replay = replay_newest(run / "test_slice.npz", pages, auctions)
        manifest = exporting.export(run, out, version, limits, replay, heard, rival)
    tables().print(gate_table(manifest["gate"]))
    if rival:
        tables().print(gate_table(manifest["challenge"]))
    typer.echo(str(out))


def calibrate(
    newest: Annotated[
        Path, typer.Option("--from", help="Newer labelled impressions: `adserver labels build`.")
    ],
    version: Annotated[
        int, typer.Option(help="The version whose map is refitted; 0: the one in production.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Folder to write the new version into.")] = Path(
        "var/calibrated"
    ),
    register: Annotated[bool, typer.Option(help="Make it a candidate of the registry.")] = True,
) -> None:
    """Refit a version's calibration map: a release of its own, which needs no new snapshot."""
    from ranking.dataset import Impressions  # noqa: PLC0415
    from ranking.refit import refit  # noqa: PLC0415 — onnx is in an extra

    with settings_given() as settings, _refusal_exits_1():
        limits, registry = settings.gate_limits, settings.registry
        of = version or registry.traffic().production
        with progress.shares(console, "calibrate") as heard:
            table = Impressions.load(newest)
            if not table.click.any():
                raise ConfigError([f"{newest}: {len(table)} impressions, and no click among them"])
            manifest = refit(registry.folder(of), table, out, of + 1, limits, heard)
        tables().print(gate_table(manifest["gate"]))
        if register:
            number = registry.register(out, int(wall() * 1000))
            console.print(f"registered as version {number}, a candidate")
    typer.echo(str(out))


def _incumbent(registry: Registry, asked: int) -> Bundle | None:
    """None, and said so, where nobody is in production by this feature schema."""
    try:
        version = registry.traffic().production if asked < 0 else asked
        return Bundle.load(registry.folder(version)) if version else None
    except (RegistryError, BundleError) as error:
        if asked > 0:
            raise typer.BadParameter(str(error), param_hint="--incumbent") from None
        console.print(f"[yellow]no incumbent to compare with:[/yellow] {error}", highlight=False)
        return None


@contextmanager
def _refusal_exits_1() -> Iterator[None]:
    from ranking.gate import GateRefused  # noqa: PLC0415

    try:
        yield
    except GateRefused as refusal:
        tables().print(gate_table(refusal.report.as_json()))
        refuse([str(refusal)], "refused", 1)
    except (RegistryError, BundleError) as refusal:
        refuse([str(refusal)], "refused", 1)


def gate_table(report: Mapping[str, Any]) -> Table:
    """Every number with its limit and its verdict."""
    data = report["data"]
    title = f"gate of {report['gate']}: {data['rows']:,} impressions, {data['clicks']:,} clicks"
    table = Table(title=title, caption=_replayed(data.get("replay")), **COMPACT)
    for column in ("check", "value", "95 % by chance", "limit", ""):
        table.add_column(column, justify="left" if column in ("check", "") else "right")
    for check in report["checks"]:
        table.add_row(
            check["name"],
            _number(check["value"]),
            "" if check["low"] is None else f"{_number(check['low'])} … {_number(check['high'])}",
            _limit(check),
            _verdict(check),
        )
    return table


def _replayed(replay: Mapping[str, Any] | None) -> str:
    if replay is None:
        return "no pages were replayed"
    return f"{replay['pages']:,} pages, {replay['slots']:,} slots sold: {replay['source']}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"


def _limit(check: Mapping[str, Any]) -> str:
    least, most = check["least"], check["most"]
    if least is not None and most is not None:
        return f"{least:g} … {most:g}"
    if least is not None:
        return f"≥ {least:.6g}"
    return "" if most is None else f"≤ {most:.6g}"


def _verdict(check: Mapping[str, Any]) -> str:
    if check["least"] is None and check["most"] is None:
        return "reported"
    return "[green]kept[/green]" if check["passed"] else "[red]broken[/red]"
