"""The words of the database, and the numbers that columns hold for them.

A word's place is its number; the order is that of the enums that they name.
"""

from __future__ import annotations

from auction.columns import PackageKind, Pricing
from auction.pacing import Goal, Mode


def _words(*members: Pricing | Goal | Mode | PackageKind) -> tuple[str, ...]:
    return tuple(member.name.lower() for member in members)


PRICING = _words(*Pricing)
GOALS = _words(*Goal)
PACING = _words(*Mode)
NO_PACKAGE = "none"
PACKAGES = (*_words(*PackageKind), NO_PACKAGE)
NO_IDENTITY = ("page_only", "serve", "skip")
NONE = 255
"""Where a column of codes has nothing to say."""


def code(words: tuple[str, ...], word: str | None) -> int:
    return NONE if word is None or word == NO_PACKAGE else words.index(word)
