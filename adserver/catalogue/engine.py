"""Connections to the catalogue's database, SQLite or PostgreSQL, that see one state at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event

BUSY_S = 30
"""How long a writer waits for another before it gives up."""


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def connect(url: str) -> Engine:
    """An engine for the catalogue at an SQLAlchemy URL."""
    sqlite = url.startswith("sqlite")
    options: dict[str, Any] = {"json_serializer": _encode, "json_deserializer": msgspec.json.decode}
    if sqlite:
        options["connect_args"] = {"timeout": BUSY_S}
    engine = create_engine(url, **options)
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def one_state(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it was at its first read, whatever is written."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":  # whose transactions always do
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's driver would begin a transaction at the first write only; reads must be in it too
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
