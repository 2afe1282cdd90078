"""`adserver experiment`: what one arm did better or worse than another."""

from __future__ import annotations

from typing import Annotated

import typer

from adserver.cli_labels import wall_ms
from adserver.cli_refusals import refuse, settings_given
from adserver.cli_tables import tables
from adserver.deadline import wall
from adserver.records import DAY_MS
from feedback.compaction import compact
from feedback.experiments.reading import users
from feedback.experiments.report import read_out, read_out_table, sizes
from feedback.reports import Span

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Arms of hashed users, compared with what is known of them from before taken out."""


@app.command()
def report(
    since: Annotated[str, typer.Option(help="When the experiment began: ISO date or time, UTC.")],
    until: Annotated[str, typer.Option(help="Its end, not included; now if empty.")] = "",
    control: Annotated[str, typer.Option(help="Arm that the others are held against.")] = (
        "production"
    ),
    share: Annotated[
        list[str] | None, typer.Option(help="arm=share, for each arm; equal if not given.")
    ] = None,
    before: Annotated[float, typer.Option(help="Days before it, to cut the variance with.")] = 7,
) -> None:
    """Click rate and revenue of each arm against the control, over users, with intervals."""
    begin = wall_ms(since, "--since")
    end = wall_ms(until, "--until") if until else int(wall() * 1000)
    shares = _shares(share or [])
    with settings_given() as settings:
        data = settings.adserver_data
        compact(data / "events", data / "warehouse")
        past = Span(max(0, begin - int(before * DAY_MS)), begin)
        found = users(data / "warehouse", data / "features", Span(begin, end), past)
    result = read_out(found, control, shares or dict.fromkeys(found.arms, 1.0))
    if result.blocked:
        refuse([f"{result.blocked} ({sizes(result)})"], "not read off", 1)
    tables().print(read_out_table(result))


def _shares(given: list[str]) -> dict[str, float]:
    shares = {}
    for one in given:
        arm, _, number = one.rpartition("=")
        try:
            shares[arm] = float(number)
        except ValueError:
            shares[arm] = -1.0
        if not arm or not 0 < shares[arm] <= 1:
            raise typer.BadParameter(
                f"{one!r} is not arm=share with a share in (0, 1]", param_hint="--share"
            )
    return shares
