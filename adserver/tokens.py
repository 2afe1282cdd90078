"""Event tokens: what the URL of an impression, click or conversion proves about the sale behind it.

A token is `v1.` + base64url(payload) + `.` + base64url of 16 bytes of HMAC-SHA256. The kind of
event is part of what is signed, so an impression URL cannot be turned into a click URL. A sale's
payload is packed and encoded once for all its events; only a click carries the landing URL.
A conversion's token is made when a click has been counted, and nobody has it before.

This module knows nothing of clocks, of whether a token was used before, or of budgets.
"""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Protocol

from adserver.errors import ConfigError
from auction.columns import Pricing

VERSION = "v1."
MAC_CHARS = 22
"""16 bytes in base64url without padding."""
LONGEST = 8192
"""Longest token that is looked at; longer ones are malformed."""
LEAST_KEY = 16
"""Shortest accepted secret, in bytes."""

_HEAD = struct.Struct(">BBBBQQQQIIIIqqqBBB")
_MODEL = struct.Struct(">III")
_TEST, _TOPIC, _MOST_TOPIC = 1, 1, 63  # flags: the test bit, and the topic from bit 1 on
_TELLS_MODEL = 128  # flag of tokens that have `_MODEL` behind the names; older ones have none
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_BLOCK = 64  # of SHA-256, RFC 2104


class Kind(StrEnum):
    """An event that has its own URL."""

    IMPRESSION = "impression"
    VIEWABLE = "viewable"
    CLICK = "click"
    CONVERSION = "conversion"


ON_PAGE = (Kind.IMPRESSION, Kind.VIEWABLE, Kind.CLICK)
"""Events whose tokens go out with the sale."""
_BILLABLE = {
    Pricing.CPM: Kind.IMPRESSION,
    Pricing.CPC: Kind.CLICK,
    Pricing.CPA: Kind.CONVERSION,
    Pricing.FLAT: Kind.IMPRESSION,  # at a price of 0
    Pricing.VCPM: Kind.VIEWABLE,
}


class Fault(StrEnum):
    """Why a token was not accepted."""

    MALFORMED = "MALFORMED"
    FORGED = "FORGED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Token:
    """What was sold: enough to bill and to attribute an event without a look-up."""

    decision: str
    slot: int
    """Index of the slot in its decision."""
    number: int
    """Serial number of the ticket that makes the events single-use."""
    ad: int
    creative: str
    campaign: int
    advertiser: int
    placement: str
    issued_ms: int
    """Wall clock, UTC."""
    charge_micros: int
    """Price of the `billable` event."""
    clear_micros: int
    """Price per thousand impressions."""
    reserved_micros: int
    """What the ledger keeps back for this sale until it is settled or released."""
    pricing: Pricing = Pricing.CPM
    test: bool = False
    landing: str = ""
    """Where a click goes; known from click tokens only."""
    line_item: int = 0
    deal: int = 0
    """0: sold in the open auction."""
    identity: int = 0
    """Hash of what frequency is counted by, unsigned 64 bits; 0: nothing."""
    worker: int = 0
    """Who sold it, and whose lease therefore holds the reservation."""
    topic: int = 0
    """Of the ad, as `ranking.features.topic_of` numbers it."""
    model: int = 0
    """Version of the click model that decided; 0: none that is answerable for it."""
    phase: int = 0
    """Of the releases when it decided, below 2 ** 32."""
    pctr_ppm: int = 0
    """Click rate that the model gave it."""

    @property
    def billable(self) -> Kind:
        return _BILLABLE[self.pricing]


@dataclass(frozen=True, slots=True)
class TokenError:
    """A refused token; an expired one still tells what it was for."""

    reason: Fault
    token: Token | None = None


class _Hash(Protocol):
    def copy(self) -> _Hash: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Mac:
    """HMAC-SHA256 of one key and one kind; the key's two blocks are hashed once, not per token.

    Less than half the time of `hmac.digest`; the tests compare the two.
    """

    inner: _Hash
    outer: _Hash

    @classmethod
    def of(cls, key: bytes, kind: Kind) -> _Mac:
        block = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        inner = sha256(bytes(b ^ 0x36 for b in block))
        inner.update(f"{VERSION}{kind}.".encode())
        return cls(inner, sha256(bytes(b ^ 0x5C for b in block)))

    def text(self, body: bytes) -> bytes:
        """The signature as it stands in a URL."""
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return _base64url(outer.digest()[:16])[:MAC_CHARS]


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with the first key, and accepts tokens of every key, so that keys can be rotated."""

    keys: tuple[bytes, ...] = field(repr=False)
    _macs: dict[Kind, tuple[_Mac, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.keys or min(map(len, self.keys)) < LEAST_KEY:
            raise ConfigError([f"ADSERVER_TOKEN_KEY must have at least {LEAST_KEY} characters"])
        macs = {kind: tuple(_Mac.of(key, kind) for key in self.keys) for kind in Kind}
        object.__setattr__(self, "_macs", macs)

    def sign(self, token: Token) -> str:
        """The tokens of a sale's events on the page in one text; `event_token` takes them apart.

        `v1.HEAD.LANDING.mac of impression.mac of viewable.mac of click`. HEAD is a multiple of
        three bytes, so that base64 of HEAD and LANDING joined is their base64 joined.
        """
        head = _base64url(_pack(token))
        landing = _base64url(token.landing.encode(errors="replace")).rstrip(b"=")
        macs = self._macs
        parts = (
            head,
            landing,
            macs[Kind.IMPRESSION][0].text(head),
            macs[Kind.VIEWABLE][0].text(head),
            macs[Kind.CLICK][0].text(head + landing),
        )
        return VERSION + b".".join(parts).decode("ascii")

    def conversion(self, token: Token) -> str:
        """The token by which the advertiser reports what came of a click on this sale."""
        head = _base64url(_pack(token))
        return f"{VERSION}{head.decode()}.{self._macs[Kind.CONVERSION][0].text(head).decode()}"

    def verify(self, text: str, kind: Kind, now_ms: int, max_age_ms: int) -> Token | TokenError:
        """The token behind `text`, if we signed it for this kind of event not too long ago.

        The signature covers the text, not the decoded bytes: no second spelling of a token passes.
        """
        parts = text.split(".")
        if len(text) > LONGEST or len(parts) != 3 or len(parts[2]) != MAC_CHARS:
            return TokenError(Fault.MALFORMED)
        if parts[0] + "." != VERSION or not text.isascii():
            return TokenError(Fault.MALFORMED)
        body, signature = parts[1].encode(), parts[2].encode()
        if not any(compare_digest(mac.text(body), signature) for mac in self._macs[kind]):
            return TokenError(Fault.FORGED)
        token = _unpack(urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
        if now_ms - token.issued_ms > max_age_ms:
            return TokenError(Fault.EXPIRED, token)
        return token


def event_token(signed: str, kind: Kind) -> str:
    """The token of one event `ON_PAGE`, cut out of what `Signer.sign` returned."""
    _, head, landing, impression, viewable, click = signed.split(".")
    if kind is Kind.CLICK:
        return f"{VERSION}{head}{landing}.{click}"
    return f"{VERSION}{head}.{impression if kind is Kind.IMPRESSION else viewable}"


def signer_of(current: str, previous: Sequence[str] = ()) -> Signer:
    """A signer from secrets as an operator writes them; empty previous ones are left out."""
    return Signer(tuple(key.encode() for key in (current, *previous) if key))


def _base64url(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_URLSAFE)


def _pack(token: Token) -> bytes:
    decision, creative, placement = map(clipped, (token.decision, token.creative, token.placement))
    head = _HEAD.pack(
        token.test * _TEST | token.topic << _TOPIC | bool(token.model) * _TELLS_MODEL,
        token.pricing,
        token.worker,
        token.slot,
        token.number,
        token.ad,
        token.issued_ms,
        token.identity,
        token.campaign,
        token.advertiser,
        token.line_item,
        token.deal,
        token.charge_micros,
        token.clear_micros,
        token.reserved_micros,
        len(decision),
        len(creative),
        len(placement),
    )
    packed = head + decision + creative + placement
    if token.model:
        packed += _MODEL.pack(token.model, token.phase, token.pctr_ppm)
    return packed + b"\0" * (-len(packed) % 3)


def clipped(text: str) -> bytes:
    """At most 255 bytes: a page may send a placement key of any length, and still gets its ad."""
    return text.encode(errors="replace")[:255].decode(errors="ignore").encode()


def _unpack(payload: bytes) -> Token:
    (flags, pricing, worker, slot, number, ad, issued, identity, *rest) = _HEAD.unpack_from(payload)
    (campaign, advertiser, line_item, deal, charge, clear, reserved, d, c, p) = rest
    creative = _HEAD.size + d
    placement = creative + c
    end = placement + p
    told = (0, 0, 0)
    if flags & _TELLS_MODEL:
        told, end = _MODEL.unpack_from(payload, end), end + _MODEL.size
    landing = end + -end % 3
    return Token(
        decision=payload[_HEAD.size : creative].decode(),
        slot=slot,
        number=number,
        ad=ad,
        creative=payload[creative:placement].decode(),
        campaign=campaign,
        advertiser=advertiser,
        placement=payload[placement : placement + p].decode(),
        issued_ms=issued,
        charge_micros=charge,
        clear_micros=clear,
        reserved_micros=reserved,
        pricing=Pricing(pricing),
        test=bool(flags & _TEST),
        landing=payload[landing:].decode(),
        line_item=line_item,
        deal=deal,
        identity=identity,
        worker=worker,
        topic=flags >> _TOPIC & _MOST_TOPIC,
        model=told[0],
        phase=told[1],
        pctr_ppm=told[2],
    )
