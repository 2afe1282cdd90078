"""A table of figures with its footnotes, for a terminal, a spreadsheet or a browser."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from string import Template

from rich.table import Table

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Sheet:
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    """As many cells as the head; numbers in full precision."""
    notes: Sequence[str] = ()


def shown(cell: Cell) -> str:
    """For people: thousands apart, four figures of a fraction."""
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return cell


def as_table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left")
    for place, name in enumerate(sheet.head):
        table.add_column(name, justify="right" if place else "left")
    for row in sheet.rows:
        table.add_row(*(shown(cell) for cell in row))
    table.caption = "\n".join(sheet.notes)
    table.caption_justify = "left"
    return table


def as_csv(sheets: Sequence[Sheet]) -> str:
    """All sheets below each other; the first column names the sheet."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for sheet in sheets:
        writer.writerow(["sheet", *sheet.head])
        for row in sheet.rows:
            writer.writerow([sheet.title, *(_safe(cell) for cell in row)])
    return text.getvalue()


def as_html(title: str, sheets: Sequence[Sheet], figures: Sequence[tuple[str, str]] = ()) -> str:
    """A page that needs no other file; `figures` are titles and SVG."""
    drawn = "".join(
        f"<figure><figcaption>{escape(name)}</figcaption>{svg}</figure>" for name, svg in figures
    )
    tables = "".join(_html(sheet) for sheet in sheets)
    return _PAGE.substitute(title=escape(title), figures=drawn, tables=tables)


def _html(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in sheet.head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in row) + "</tr>"
        for row in sheet.rows
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in sheet.notes)
    return (
        f'<h2>{escape(sheet.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{notes}"
    )


def _safe(cell: Cell) -> Cell:
    """A name that a spreadsheet will not take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@"} else cell


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2430; --soft: #667085;
  --grid: #dfe3ea; --first: #2f6fde; --second: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --ink: #e6e9ef;
  --soft: #98a2b3; --grid: #343c49; --first: #6ea0ff; --second: #f0a35c; } }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; } h2 { font-size: 16px; margin: 32px 0 8px; } p, th { color: var(--soft); }
figure { margin: 16px 0; } svg { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
th { font-weight: 500; font-size: 12px; } th:first-child, td:first-child { text-align: left; }
</style></head><body><h1>$title</h1>$figures$tables</body></html>
""")
