"""The bounded field types of every dialect, and typed decoding that names the field it dislikes.

Bounds are generous to real callers and final to hostile ones: whatever decodes is small. `null`
counts as absent in every optional field, because many JSON writers put it there.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from msgspec import DecodeError, Meta, ValidationError
from msgspec.json import Decoder

from adserver.errors import BadRequest

MOST_SLOTS = 20
MOST_CPM = 100_000
MOST_WORDS = 256
"""Categories, keywords, segments or key-values that one request keeps."""
LEAST_DEADLINE_MS, MOST_DEADLINE_MS = 10, 500

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Key = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=512)]
Line = Annotated[str, Meta(max_length=8192)]
"""URLs, user agents, comma-separated keywords."""
Words = Annotated[list[Text], Meta(max_length=MOST_WORDS)]
BlockList = Annotated[list[Text], Meta(max_length=5000)]
Cpm = Annotated[float, Meta(ge=0, le=MOST_CPM)]
Pixels = Annotated[int, Meta(ge=1, le=10_000)]
Milliseconds = Annotated[float, Meta(ge=0)]
Flag = bool | int
_KvKey = Annotated[str, Meta(min_length=1, max_length=64)]
_KvText = Annotated[str, Meta(max_length=256)]
_KvInt = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_KvList = Annotated[list[_KvText], Meta(max_length=32)]
KvValue = bool | _KvInt | float | _KvText | _KvList
KeyValues = Annotated[dict[_KvKey, KvValue], Meta(max_length=64)]

T = TypeVar("T")
_AT = re.compile(r"^(.*) - at (?:`key` in )?`\$(.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$")


def decode(decoder: Decoder[T], body: bytes) -> T:
    """The typed request, or a BadRequest that names the field in the caller's own notation."""
    try:
        return decoder.decode(body)
    except ValidationError as error:
        raise _misfit(str(error)) from None
    except DecodeError as error:
        told = str(error).removeprefix("JSON is malformed: ")
        raise BadRequest("bad_json", "body", f"is not valid JSON: {told}") from None
    except UnicodeDecodeError as error:
        raise BadRequest("bad_json", "body", f"is not valid UTF-8: {error.reason}") from None
    except RecursionError:
        raise BadRequest("bad_json", "body", "is nested too deeply") from None


def _misfit(complaint: str) -> BadRequest:
    located = _AT.match(complaint)
    complaint, path = located.groups() if located else (complaint, "")
    field = path.replace("[...]", "").lstrip(".")
    missing = _MISSING.match(complaint)
    if missing:
        return BadRequest("missing", f"{field}.{missing[1]}".lstrip("."), "is required")
    told = complaint.replace("`", "").replace(" | null", "").replace(" | ", " or ")
    return BadRequest("invalid", field or "body", told[:1].lower() + told[1:])


def micros(cpm: float | None) -> int:
    """Whole micros of a price, to the nearest; exact for six decimals and fewer.

    A double holds any such price up to MOST_CPM to within a ten-thousandth of a micro, so the
    nearest integer of the product is the decimal that the caller wrote.
    """
    return round(cpm * 1_000_000) if cpm else 0


def deadline_ms(asked: float | None) -> int | None:
    """Within the limits; None, the server's own default, for zero or nothing."""
    if not asked:
        return None
    return int(min(max(asked, LEAST_DEADLINE_MS), MOST_DEADLINE_MS))
