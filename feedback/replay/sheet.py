"""A table of figures with its footnotes, for a terminal, a spreadsheet or a browser."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO

from rich.table import Table

from feedback import html

Cell = str | int | float
Figure = tuple[str, str]
"""Title and SVG."""


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


def _safe(cell: Cell) -> Cell:
    return html.cell(cell) if isinstance(cell, str) else cell


def as_html(sheets: Sequence[Sheet], figures: Sequence[Figure] = ()) -> str:
    """A page that needs no other file."""
    drawn = [html.figure(title, svg, ' class="broad"') for title, svg in figures]
    return html.page("simulation", (), drawn, "".join(_html(sheet) for sheet in sheets))


def _html(sheet: Sheet) -> str:
    rows = [[shown(cell) for cell in row] for row in sheet.rows]
    notes = "".join(f"<p>{escape(note)}</p>" for note in sheet.notes)
    return html.table(sheet.title, sheet.head, rows, ()) + notes
