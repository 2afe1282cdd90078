"""How a command ends on a mistake: each is named on standard error, exit code 2, no traceback."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from adserver.errors import ConfigError
from adserver.settings import Settings, from_environment
from ranking.dataset import Unreadable

_errors = Console(stderr=True)


@contextmanager
def settings_given() -> Iterator[Settings]:
    """Of the environment; what is wrong with them, or found wrong inside, ends the command."""
    with refusals():
        yield from_environment(os.environ)


@contextmanager
def refusals() -> Iterator[None]:
    """What arguments, settings and files have wrong ends the command."""
    try:
        yield
    except ConfigError as error:
        refuse(error.mistakes)
    except Unreadable as error:
        refuse([str(error)])


def refuse(mistakes: Iterable[str], word: str = "error", code: int = 2) -> NoReturn:
    for mistake in mistakes:
        _errors.print(f"[red]{word}:[/red] {escape(mistake)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)
