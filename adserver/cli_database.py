"""What the commands about the catalogue share: its database, and how they end on a mistake."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import typer
from rich.console import Console
from sqlalchemy import Engine

from adserver.catalogue import schema
from adserver.errors import ConfigError
from adserver.settings import Settings, from_environment

console = Console(stderr=True)


@contextmanager
def settings_given() -> Iterator[Settings]:
    """Mistakes of the configuration and of the arguments end in exit 2, not in a traceback."""
    try:
        yield from_environment(os.environ)
    except ConfigError as error:
        for mistake in error.mistakes:
            console.print(f"[red]error:[/red] {mistake}")
        raise typer.Exit(2) from None


@contextmanager
def database() -> Iterator[Engine]:
    with settings_given() as settings:
        settings.adserver_data.mkdir(parents=True, exist_ok=True)
        engine = schema.connect(settings.database)
        schema.create_tables(engine)
        yield engine
        engine.dispose()


def json_of(name: str, text: str) -> Any:
    """ConfigError, naming the argument, for what is not JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError([f"{name}: {error}"]) from None
