"""A request as it stands in an auction record: msgpack, readable by later versions.

`unserved` is not kept: what never came to auction has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from typing import Any, get_type_hints

import msgspec

from adserver.request import AdRequest

_KEPT = [field for field in fields(AdRequest) if field.name != "unserved"]


def _kept_field(field: Any, hint: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.default is MISSING:
        return field.name, hint
    return field.name, hint, field.default


_HINTS = get_type_hints(AdRequest)
_Asked = msgspec.defstruct(
    "_Asked", [_kept_field(field, _HINTS[field.name]) for field in _KEPT], frozen=True
)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Asked).decode
_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def pack(requests: Sequence[AdRequest]) -> bytes:
    """All requests of a batch as one msgpack array."""
    return _pack([replace(r, unserved=()) if r.unserved else r for r in requests])


def pack_again(packed: Sequence[bytes | memoryview]) -> bytes:
    """What `split` gave, as one array."""
    return _pack([msgspec.Raw(one) for one in packed])


def split(packed: bytes | memoryview) -> list[memoryview]:
    """Each request of `pack`, still packed."""
    return [memoryview(raw) for raw in _split(packed)]


def request_of(packed: bytes | memoryview) -> AdRequest:
    """One request, without what never came to auction."""
    asked = _unpack(packed)
    return AdRequest(**{field.name: getattr(asked, field.name) for field in _KEPT})
