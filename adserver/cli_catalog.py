"""`adserver catalog`: make, build, look at and change the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from adserver import cli_trading, progress
from adserver.catalogue import additions, operations
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.learning import learn_conversions
from adserver.catalogue.sample import create_sample
from adserver.cli_database import database, json_of
from adserver.cli_refusals import settings_given
from adserver.deadline import wall
from adserver.errors import ConfigError
from adserver.eventlog import read

app = typer.Typer(no_args_is_help=True)
console = Console(stderr=True)
app.add_typer(cli_trading.deals, name="deal", help="Private deals.")
app.add_typer(cli_trading.floors, name="floor", help="Floor rules.")
app.add_typer(cli_trading.rates, name="rates", help="Rates of currencies.")
MOST_BYTES = 64 << 20
"""Of a document of additions."""
Level = Annotated[str, typer.Argument(help="advertiser, campaign, line_item, ad or deal")]
RowId = Annotated[int, typer.Argument(help="its id")]


@app.command()
def sample(
    ads: Annotated[int, typer.Option(help="How many ads.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The committed model has learnt seed 1.")] = 1,
    plain: Annotated[bool, typer.Option(help="Standard line items in US dollars only.")] = False,
) -> None:
    """Fill an empty catalogue with a simulated marketplace's ads."""
    with settings_given() as settings, progress.shown(console, f"{ads:,} ads") as heard:
        settings.adserver_data.mkdir(parents=True, exist_ok=True)
        create_sample(settings.database, ads, wall(), seed, heard, mixed=not plain)


@app.command()
def build() -> None:
    """Publish the catalogue as a new snapshot; running servers take it up within seconds."""
    with settings_given() as settings, progress.shown(console, "snapshot") as heard:
        root, bundle = settings.snapshots, settings.bundle
        others = settings.trial_bundles
        version = build_snapshot(settings.database, root, bundle, wall(), heard, others)
    typer.echo(f"snapshot {version}")


@app.command()
def add(
    document: Annotated[typer.FileBinaryRead, typer.Argument(help="JSON; -: standard input")],
) -> None:
    """Add advertisers, campaigns, line items and ads; running servers show them within seconds."""
    with database() as engine:
        content = document.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError([f"document: longer than {MOST_BYTES} bytes"])
        for level, ids in additions.add(engine, json_of("document", content)).items():
            if ids:
                typer.echo(f"{level}: {' '.join(map(str, ids))}")


@app.command()
def targeting(
    line_item_id: RowId,
    stated: Annotated[
        str, typer.Argument(metavar="JSON", help='{"country": {"include": ["DEU"]}}; {} for all')
    ],
) -> None:
    """Change what a line item asks of requests; running servers follow within seconds."""
    with database() as engine:
        operations.set_targeting(engine, line_item_id, json_of("targeting", stated))


@app.command()
def show(
    level: Annotated[str, typer.Argument()] = "", row_id: Annotated[int, typer.Argument()] = 0
) -> None:
    """What the catalogue holds, or one row of it: `show ad 17`."""
    with database() as engine:
        found = operations.show(engine, level, row_id) if level else operations.summary(engine)
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


@app.command()
def pause(level: Level, row_id: RowId) -> None:
    """Stop it, and all below it, within a second."""
    with database() as engine:
        operations.pause(engine, level, row_id)


@app.command()
def resume(level: Level, row_id: RowId) -> None:
    """Undo `pause`."""
    with database() as engine:
        operations.resume(engine, level, row_id)


@app.command()
def bid(
    line_item_id: RowId,
    micros: Annotated[int, typer.Argument(help="per thousand impressions, or per click")],
) -> None:
    """Change a line item's bid within a second."""
    with database() as engine:
        operations.set_bid(engine, line_item_id, micros)


@app.command()
def budget(
    level: Annotated[str, typer.Argument(help="advertiser, campaign, line_item or deal")],
    row_id: RowId,
    micros: Annotated[int, typer.Argument(help="0 stops it")] = 0,
    period: Annotated[str, typer.Option(help="daily or lifetime")] = "daily",
    unlimited: Annotated[bool, typer.Option(help="Lift the limit.")] = False,
) -> None:
    """Change what may be spent a day or in all, within a second."""
    with database() as engine:
        operations.set_budget(engine, level, row_id, None if unlimited else micros, period)


@app.command()
def tier(
    line_item_id: RowId,
    number: Annotated[int, typer.Argument(help="1 to 100, sold lowest first; 50 is standard")],
    share: Annotated[int, typer.Option(help="weight in a weighted tier")] = 1,
) -> None:
    """Change a line item's tier within a second."""
    with database() as engine:
        operations.set_tier(engine, line_item_id, number, share)


@app.command()
def quality(
    line_item_id: RowId,
    millionths: Annotated[int, typer.Argument(help="100000 to 10000000; 1000000 is neutral")],
) -> None:
    """Change by how much a line item's rank is multiplied, within a second."""
    with database() as engine:
        operations.set_quality(engine, line_item_id, millionths)


@app.command()
def goal(
    line_item_id: RowId,
    kind: Annotated[str, typer.Argument(help="impressions, viewable, clicks, spend or none")],
    amount: Annotated[int, typer.Argument()] = 0,
) -> None:
    """Change what a line item is to deliver in its flight, within a second."""
    with database() as engine:
        stated = (None, None) if kind == "none" else (kind, amount)
        operations.set_goal(engine, line_item_id, *stated)


@app.command()
def pacing(
    line_item_id: RowId,
    mode: Annotated[str, typer.Argument(help="asap, even or front_loaded")],
) -> None:
    """Change how a line item spreads its budget or goal, within a second."""
    with database() as engine:
        operations.set_pacing(engine, line_item_id, mode)


@app.command()
def conversions() -> None:
    """Learn from the event log how many clicks convert, for line items that pay by conversion."""
    with settings_given() as settings, database() as engine:
        log = read(settings.adserver_data / "events", decisions=False)
        typer.echo(f"{learn_conversions(engine, log)} line items")


@app.command()
def caps(
    level: Level,
    row_id: RowId,
    stated: Annotated[
        str, typer.Argument(metavar="JSON", help='[{"max": 3, "window": "24h"}]; [] for none')
    ],
) -> None:
    """Change how often one person may have it; running servers follow within seconds."""
    with database() as engine:
        operations.set_caps(engine, level, row_id, json_of("caps", stated))
