"""How the tiers compete, as an operator writes it down: JSON into modes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from auction.settings import MOST_TIER, Mode


def read_modes(text: str) -> dict[int, Mode]:
    """Tier -> mode, of JSON like {"1-9": "weighted", "12": "guaranteed"}.

    Tiers that are not named are auctions. ValueError says what is wrong.
    """
    try:
        asked = msgspec.json.decode(text or "{}", type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    modes: dict[int, Mode] = {}
    for span, word in asked.items():
        for tier in _tiers(span):
            if tier in modes:
                raise ValueError(f"tier {tier} is named twice")
            modes[tier] = _mode(word)
    return modes


def _tiers(span: str) -> Iterator[int]:
    first, _, last = span.partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"{span!r} is neither a tier nor two with a hyphen")
    if not 1 <= int(first) <= int(last) <= MOST_TIER:
        raise ValueError(f"{span!r}: tiers are 1 to {MOST_TIER}, the lower one first")
    yield from range(int(first), int(last) + 1)


def _mode(word: str) -> Mode:
    known = {mode.name.lower(): mode for mode in Mode}
    if word not in known:
        raise ValueError(f"{word!r} is none of {', '.join(known)}")
    return known[word]
