"""What the commands about the catalogue share: its database, and JSON as an argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Engine

from adserver.catalogue import schema
from adserver.cli_refusals import settings_given
from adserver.errors import ConfigError


@contextmanager
def database() -> Iterator[Engine]:
    with settings_given() as settings:
        settings.adserver_data.mkdir(parents=True, exist_ok=True)
        engine = schema.connect(settings.database)
        schema.create_tables(engine)
        yield engine
        engine.dispose()


def json_of(name: str, text: str | bytes) -> Any:
    """ConfigError, naming the argument, for what is not JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError([f"{name}: {error}"]) from None
