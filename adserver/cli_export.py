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
from adserver.cli_database import settings_given
from adserver.deadline import wall
from adserver.releases.registry import Registry, RegistryError
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
        rival = _incumbent(Registry(settings.model_repository), incumbent)
    with _refusal_exits_1(), progress.shares(console, "export") as heard:
        replay = replay_newest(run / "test_slice.npz", pages, auctions)
        manifest = exporting.export(run, out, version, limits, replay, heard, rival)
    _show(manifest["gate"])
    if rival:
        _show(manifest["challenge"])
    typer.echo(str(out))


def calibrate(
    version: Annotated[int, typer.Option(help="The released version whose map is refitted.")],
    newest: Annotated[
        Path, typer.Option("--from", help="Newer labelled impressions: `adserver labels build`.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the new version into.")] = Path(
        "var/calibrated"
    ),
    register: Annotated[bool, typer.Option(help="Make it a candidate of the registry.")] = True,
) -> None:
    """Refit a version's calibration map: a release of its own, which needs no new snapshot."""
    from ranking.dataset import Impressions  # noqa: PLC0415
    from ranking.refit import refit  # noqa: PLC0415 — onnx is in an extra

    with settings_given() as settings:
        limits, registry = settings.gate_limits, Registry(settings.model_repository)
    with _refusal_exits_1(), progress.shares(console, "calibrate") as heard:
        table = Impressions.load(newest)
        manifest = refit(registry.folder(version), table, out, version + 1, limits, heard)
    _show(manifest["gate"])
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
        _show(refusal.report.as_json())
        console.print(f"[red]refused:[/red] {refusal}")
        raise typer.Exit(1) from None


def _show(report: Mapping[str, Any]) -> None:
    """Every number with its limit and its verdict."""
    data = report["data"]
    title = f"gate of {report['gate']}: {data['rows']:,} impressions, {data['clicks']:,} clicks"
    table = Table(title=title, caption=_replayed(data.get("replay")))
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
    console.print(table)


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
