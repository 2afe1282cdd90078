"""Banner templates: markup with names that each ad gives values to."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text, name, literal text, … in turn, so that filling is one join."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """`{{name}}` stands for a value; everything else, `{click}` included, is literal."""
        return cls(tuple(_NAME.split(text)))

    def fill(self, values: Mapping[str, str]) -> str:
        """The markup, with values escaped: an advertiser's title cannot add elements to a page."""
        filled = list(self.parts)
        for at in range(1, len(filled), 2):
            filled[at] = html.escape(values.get(filled[at], ""), quote=True)
        return "".join(filled)
