"""`adserver catalog deal`, `floor` and `rates`: what is agreed beside the open market."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from adserver.catalogue import trading
from adserver.catalogue.schema import deal, floor_rule
from adserver.cli_database import database, json_of
from adserver.errors import ConfigError

deals = typer.Typer(no_args_is_help=True)
floors = typer.Typer(no_args_is_help=True)
rates = typer.Typer(no_args_is_help=True)
Currency = Annotated[str, typer.Option(help="ISO 4217")]
Micros = Annotated[int, typer.Argument(help="per thousand impressions")]


@deals.command()
def create(
    key: Annotated[str, typer.Argument(help="what requests call it (imp.pmp.deals.id)")],
    floor_micros: Micros = 0,
    currency: Currency = "USD",
    fixed: Annotated[bool, typer.Option(help="The floor is the price.")] = False,
    publisher: Annotated[str, typer.Option(help="Its id; empty: any.")] = "",
    seat: Annotated[list[str] | None, typer.Option(help="Buyers that may use it.")] = None,
) -> None:
    """Agree on a deal; line items are tied to it by their `deal_id`, from the next snapshot on."""
    with database() as engine:
        new = trading.NewDeal(key, floor_micros, currency, fixed, publisher, tuple(seat or ()))
        typer.echo(f"deal {trading.add_deal(engine, new)}")


@deals.command("list")
def list_deals() -> None:
    """All deals."""
    with database() as engine:
        for row in trading.listed(engine, deal):
            typer.echo(row)


@floors.command()
def add(
    conditions: Annotated[
        str, typer.Argument(metavar="JSON", help='{"publisher": ["pub-1"], "size": ["300x250"]}')
    ],
    floor_micros: Micros,
    currency: Currency = "USD",
) -> None:
    """Ask for at least so much where all conditions hold, within a second."""
    with database() as engine:
        stated = json_of("conditions", conditions)
        typer.echo(f"floor {trading.add_floor_rule(engine, stated, floor_micros, currency)}")


@floors.command()
def remove(rule_id: Annotated[int, typer.Argument(help="its id")]) -> None:
    """Undo `add` within a second."""
    with database() as engine:
        trading.remove_floor_rule(engine, rule_id)


@floors.command("list")
def list_floors() -> None:
    """All rules."""
    with database() as engine:
        for row in trading.listed(engine, floor_rule):
            typer.echo(row)


@rates.command("set")
def set_rates(
    stated: Annotated[
        list[str], typer.Argument(metavar="CURRENCY=UNITS...", help="for a dollar: EUR=0.92")
    ],
) -> None:
    """Put a new table of rates in force within a second; it replaces the old one whole."""
    with database() as engine:
        table = dict(_rate(one) for one in stated)
        typer.echo(f"rates {trading.set_rates(engine, table)}")


@rates.command("show")
def show_rates() -> None:
    """The table in force."""
    with database() as engine:
        version, table = trading.rates(engine)
        typer.echo(f"version: {version}")
        for name, ppm in table.items():
            typer.echo(f"{name}: {Decimal(ppm) / 1_000_000}")


def _rate(text: str) -> tuple[str, int]:
    name, _, units = text.partition("=")
    try:
        return name, int(Decimal(units) * 1_000_000)
    except (InvalidOperation, ValueError, OverflowError):
        raise ConfigError([f"rates: {text!r} is not like EUR=0.92"]) from None
