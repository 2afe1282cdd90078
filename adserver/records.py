"""What the event log says: one record per decision, and one per impression, viewable,
click or conversion.

A line is the CRC-32 of the JSON in eight hex digits, a space, the JSON, a newline. Field names
are those of version `v`: fields may be added with a default, never renamed. This module knows
neither files nor the auction's own types.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from zlib import crc32

import msgspec

VERSION = 1
DAY_MS = 86_400_000
_PREFIX = 9  # eight hex digits and a space


class Filter(StrEnum):
    """Whether an event counts, or the one reason why not."""

    OK = "OK"
    RELEASED = "RELEASED"  # genuine, but after its reservation was given back: counted, not billed
    DUPLICATE = "DUPLICATE"
    NO_PRIOR_IMP = "NO_PRIOR_IMP"  # clicked or seen without having been shown
    NO_PRIOR_CLICK = "NO_PRIOR_CLICK"  # converted without a counted click
    EXPIRED = "EXPIRED"
    GONE = "GONE"  # its ticket is unknown here: too old, or of another machine
    FORGED = "FORGED"
    MALFORMED = "MALFORMED"

    @property
    def counts(self) -> bool:
        return self in {Filter.OK, Filter.RELEASED}


class SlotRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One slot of a decision: what it was sold for, or why it stayed empty (`reason`)."""

    slot: str
    placement: str = ""
    reason: int = 0
    """auction.Rejection; 0: sold."""
    number: int = 0
    """Serial number of the ticket; 0 when unsold."""
    ad: int = 0
    creative: str = ""
    line_item: int = 0
    campaign: int = 0
    advertiser: int = 0
    bid_micros: int = 0
    bid_cpm_micros: int = 0
    clear_micros: int = 0
    charge_micros: int = 0
    reserved_micros: int = 0
    per_click: bool = False
    first_price: bool = False
    pctr: float = 0.0
    runner_up_ad: int = 0
    runner_up_cpm_micros: int = 0
    plain_advertiser: int = 0
    """Who would have won with fairness off."""
    plain_clear_micros: int = 0
    relaxed: bool = False
    """Sold past the fairness cap, because the slot would have stayed empty."""
    plain_ad: int = 0
    """Which ad would have won with fairness off."""
    tier: int = 0
    deal: int = 0
    """Catalogue id of the deal it was sold under; 0: the open auction."""
    pricing: int = 0
    """auction.columns.Pricing of the winner."""
    full_bid_micros: int = 0
    """The bid before pacing held it back, in units of `bid_micros`; 0: the same."""


class DecisionRecord(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="decision"
):
    """The answer to one request."""

    t: int
    """Wall clock of the decision, ms."""
    id: str
    slots: tuple[SlotRecord, ...]
    v: int = VERSION
    request: str = ""
    worker: int = 0
    publisher: str = ""
    domain: str = ""
    country: str = ""
    device: str = ""
    quality: int = 0
    snapshot: int = 0
    model: str = ""
    catalogue: int = 0
    eligible: int = 0
    retrieved: int = 0
    scored: int = 0
    took_ms: float = 0.0
    test: bool = False
    rates: int = 0
    """Version of the rate table that its floors and prices were converted with."""


class _Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    t: int
    """Wall clock when the event came, ms."""
    code: Filter
    v: int = VERSION
    worker: int = 0
    decision: str = ""
    """Empty for a forged or malformed token, like all that follows."""
    decided: int = 0
    """Wall clock of the decision, ms: what hour and day the event is reported under."""
    slot: int = 0
    """Index of the slot in its decision."""
    number: int = 0
    ad: int = 0
    creative: str = ""
    campaign: int = 0
    advertiser: int = 0
    placement: str = ""
    billed_micros: int = 0
    test: bool = False
    line_item: int = 0
    deal: int = 0


class ImpressionRecord(_Event, frozen=True, omit_defaults=True, tag="impression"):
    """A creative began to render, says the page."""


class ViewableRecord(_Event, frozen=True, omit_defaults=True, tag="viewable"):
    """Half of it was in view for a second, says the page."""


class ClickRecord(_Event, frozen=True, omit_defaults=True, tag="click"):
    """Somebody was sent to the advertiser."""


class ConversionRecord(_Event, frozen=True, omit_defaults=True, tag="conversion"):
    """Somebody who clicked did what the advertiser wanted, says its page."""


EventRecord = ImpressionRecord | ViewableRecord | ClickRecord | ConversionRecord
Record = DecisionRecord | EventRecord

_encode = msgspec.json.Encoder().encode
_decode: Callable[[bytes], Record] = msgspec.json.Decoder(Record).decode
_DECISION = b'{"kind":"decision"'


def encode_line(record: Record) -> bytes:
    text = _encode(record)
    return b"%08x %b\n" % (crc32(text), text)


def checked_text(line: bytes) -> bytes | None:
    """The JSON of a line without its newline; None if it is damaged."""
    text = line[_PREFIX:]
    try:
        return text if int(line[: _PREFIX - 1], 16) == crc32(text) else None
    except ValueError:
        return None


def decode_line(line: bytes) -> Record | None:
    """The record of a line without its newline; None if it is damaged."""
    text = checked_text(line)
    try:
        return None if text is None else _decode(text)
    except msgspec.MsgspecError:
        return None


def is_decision(line: bytes) -> bool:
    """A look at the first bytes only: most lines are decisions, and few readers want both."""
    return line.startswith(_DECISION, _PREFIX)
