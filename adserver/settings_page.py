"""The settings as a table for docs/operations.md: `python -m adserver.settings_page`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise

from adserver import settings
from adserver.environment import allowed


def table() -> str:
    """One row per setting: name, default, bounds, how to choose it; from the source itself."""
    told, usual = dict(_docstrings()), settings.Settings()
    rows = ["| variable | default | may be | how to choose |", "|---|---|---|---|"]
    for name, _, rules in allowed(settings.Settings):
        default = str(getattr(usual, name))
        shown, bounds = f"`{default}`" if default else "", " ".join(map(str, rules))
        rows.append(f"| `{name.upper()}` | {shown} | {bounds} | {told[name]} |")
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
