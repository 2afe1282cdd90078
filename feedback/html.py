"""How the reports' pages are laid out: tiles, figures, tables, and a page that needs no other file.

Knows no figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import Any

from rich.box import SIMPLE_HEAD

COMPACT: Any = {
    "box": SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "title_justify": "left",
    "caption_justify": "left",
}
"""For tables with many columns in a terminal of 80."""
Tile = tuple[str, str, str]
"""Name, value, note; the note may be empty."""


def page(
    moment: str,
    described: Sequence[Tile],
    figures: Sequence[str],
    tables: str,
    title: str = "Ad report",
) -> str:
    """The whole document; `figures` and `tables` are HTML already."""
    return _PAGE.substitute(
        title=escape(title),
        as_of=escape(moment),
        tiles=tiles(described),
        figures="".join(figures),
        tables=tables,
    )


def tiles(described: Sequence[Tile], kind: str = "tiles") -> str:
    inside = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        + (f"<small>{escape(note)}</small>" if note else "")
        + "</div>"
        for name, value, note in described
    )
    return f'<dl class="{kind}">{inside}</dl>'


def figure(title: str, svg: str, attributes: str = "") -> str:
    return f"<figure{attributes}><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str]
) -> str:
    """Figures to the right; the first column, and others of words, to the left."""
    kind = [' class="text"' if at == 0 or _of_words(rows, at) else "" for at in range(len(head))]

    def line(cells: Sequence[str], tag: str) -> str:
        shown = (f"<{tag}{of}>{escape(one)}</{tag}>" for one, of in zip(cells, kind, strict=True))
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    total = f"<tfoot>{line(foot, 'td')}</tfoot>" if foot else ""
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table>'
        f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody>{total}</table></div>"
    )


def _of_words(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether most cells that say something begin with a letter."""
    said = [row[column] for row in rows if row[column]]
    return 2 * sum(one[0].isalpha() for one in said) > len(said)


def cell(text: str) -> str:
    """A name that a spreadsheet will not take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def money(micros: int) -> str:
    return f"${micros / 1e6:,.2f}" if micros >= 0 else f"-${-micros / 1e6:,.2f}"


def rounded(micros: int) -> str:
    """Without cents where nobody would read them."""
    return money(micros) if abs(micros) < 1_000_000_000 else f"${micros / 1e6:,.0f}"


def as_of(ms: int) -> str:
    if not ms:
        return "no data yet"
    return f"as of {datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1d2430; --soft: #667085;
  --grid: #dfe3ea; --first: #2f6fde; --second: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --card: #1c222b; --ink: #e6e9ef;
  --soft: #98a2b3; --grid: #343c49; --first: #6ea0ff; --second: #f0a35c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 14px/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 16px; margin: 40px 0 8px; }
header span, dt, small, th { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px;
  margin: 20px 0; }
.tiles div, figure { background: var(--card); border-radius: 10px; padding: 14px 16px; }
dt, small { font-size: 12px; } dd { margin: 0; font-size: 24px; font-weight: 600;
  font-variant-numeric: tabular-nums; } .small dd { font-size: 16px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr));
  gap: 12px; grid-auto-flow: dense; }
figure { margin: 0; } .broad { grid-column: 1 / -1; }
figcaption { font-weight: 600; margin-bottom: 8px; }
svg { width: 100%; height: auto; display: block; } svg text { font-family: inherit !important; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
th { font-weight: 500; font-size: 12px; } tfoot td { font-weight: 600; border: 0; }
.text { text-align: left; }
</style></head><body>
<header><h1>$title</h1><span>$as_of</span></header>
$tiles
<div class="figures">$figures</div>
$tables
</body></html>
""")
