"""What can go wrong that is nobody's bug: the caller's body, the load, the configuration.

An empty slot, a late model and a full cap are answers, not errors. Anything outside this tree is
a bug and is answered 500.
"""

from __future__ import annotations

from collections.abc import Sequence


class AdServerError(Exception):
    """Known trouble with an HTTP status."""

    status = 500
    code = "internal"

    def body(self) -> dict[str, dict[str, str]]:
        """What the caller is told."""
        return {"error": {"code": self.code, "message": str(self)}}


class BadRequest(AdServerError):
    """The body cannot be understood; `field` says where, in the caller's own notation."""

    def __init__(self, code: str, field: str, message: str, status: int = 400) -> None:
        super().__init__(f"{field}: {message}")
        self.code = code
        self.field = field
        self.message = message
        self.status = status

    @classmethod
    def too_large(cls, limit: int) -> BadRequest:
        return cls("too_large", "body", f"is larger than {limit} bytes", status=413)

    def body(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "field": self.field, "message": self.message}}


class NotFound(AdServerError):
    """What was asked for is not here, or not any more; the message says why."""

    status = 404
    code = "not_found"


class Forbidden(AdServerError):
    """Not for this caller."""

    status = 403
    code = "forbidden"


class Overloaded(AdServerError):
    """More requests than can be answered in time; the caller may try again after a while."""

    status = 503
    code = "overloaded"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(AdServerError):
    """The configuration is wrong; lists every mistake, so that one start shows them all."""

    code = "config"

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)
