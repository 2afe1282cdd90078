"""Banner templates: small, self-contained HTML that looks right at any size of its shape.

`{{name}}` is filled in from the ad; `{click}` is left for the server, which puts its own redirect
there. Sizes follow the banner by container units, so one template serves every size of a shape.
"""

from __future__ import annotations

_FRAME = (
    '<a href="{click}" target="_blank" rel="noopener" style="position:relative;display:block;'
    "width:{{width}}px;height:{{height}}px;overflow:hidden;box-sizing:border-box;"
    "text-decoration:none;container-type:size;border-radius:4px;color:#fff;"
    "font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
    'background:linear-gradient({{angle}}deg,hsl({{hue}} 64% 27%),hsl({{hue2}} 66% 39%))">'
)
_ART = {
    "rings": (
        '<svg aria-hidden="true" viewBox="0 0 100 100" preserveAspectRatio="xMidYMid slice" style="'
        'position:absolute;inset:0;width:100%;height:100%" fill="none" stroke="#fff" '
        'stroke-opacity=".16" stroke-width="7"><circle cx="88" cy="18" r="16"/>'
        '<circle cx="88" cy="18" r="34"/><circle cx="88" cy="18" r="52"/></svg>'
    ),
    "waves": (
        '<svg aria-hidden="true" viewBox="0 0 100 100" preserveAspectRatio="none" style="'
        'position:absolute;inset:0;width:100%;height:100%" fill="#fff">'
        '<path fill-opacity=".12" d="M0 62C25 44 45 82 70 62S96 50 100 56V100H0Z"/>'
        '<path fill-opacity=".14" d="M0 80C22 64 48 96 72 78S94 72 100 76V100H0Z"/></svg>'
    ),
}
_LAYOUT = {
    "wide": ("row", "center", "min(4.2cqw,30cqh)", "0 4cqw"),
    "small": ("row", "center", "min(5.4cqw,30cqh)", "0 3cqw"),
    "box": ("column", "flex-start", "min(10.5cqw,13cqh)", "8cqmin"),
    "tall": ("column", "flex-start", "min(14cqw,6cqh)", "9cqmin"),
}


def _body(shape: str) -> str:
    direction, align, title, padding = _LAYOUT[shape]
    return (
        f'<span style="position:absolute;inset:0;display:flex;flex-direction:{direction};'
        f"align-items:{align};justify-content:space-between;gap:3cqmin;padding:{padding};"
        'box-sizing:border-box"><span style="display:block;min-width:0"><span style="display:block;'
        f"font-size:max(9px,calc({title}*.5));font-weight:600;letter-spacing:.04em;opacity:.85;"
        'text-transform:uppercase">{{advertiser}}</span>'
        f'<strong style="display:block;font-size:max(11px,{title});line-height:1.12;'
        'font-weight:700;text-wrap:balance">{{title}}</strong></span>'
        f'<span style="flex:none;font-size:max(10px,calc({title}*.62));font-weight:600;'
        "white-space:nowrap;padding:.5em 1em;border-radius:2em;background:#fff;"
        'color:hsl({{hue}} 70% 28%)">{{call}}</span></span></a>'
    )


def templates() -> dict[str, str]:
    """Name -> markup; two for each shape of banner."""
    return {
        f"{shape}-{art}": _FRAME + _ART[art] + _body(shape) for shape in _LAYOUT for art in _ART
    }
