"""The settings as a table for docs/operations.md: `python -m adserver.settings_page`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from itertools import pairwise

from adserver import settings


def table() -> str:
    """One row per setting: name, default, how to choose it; taken from the source itself."""
    told = dict(_docstrings())
    rows = ["| variable | default | how to choose |", "|---|---|---|"]
    for setting in fields(settings.Settings):
        default = "" if setting.default is MISSING or setting.default == "" else setting.default
        shown = f"`{default}`" if default != "" else ""
        rows.append(f"| `{setting.name.upper()}` | {shown} | {told[setting.name]} |")
    return "\n".join(rows)


def _docstrings() -> Iterator[tuple[str, str]]:
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(settings)).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    for before, after in pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            assert isinstance(after, ast.Expr), f"{before.target.id} has no docstring"
            assert isinstance(after.value, ast.Constant)
            yield before.target.id, " ".join(str(after.value.value).split())


if __name__ == "__main__":
    print(table())
