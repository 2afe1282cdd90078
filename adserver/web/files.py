"""The tag and the demonstration page as they go over the wire, read once.

Knows nothing of the server that sends them, nor of what is in them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}

_PATHS = {
    "/t.js": "t.js",
    "/demo/": "demo.html",
    "/demo/demo.css": "demo.css",
    "/demo/demo.js": "demo.js",
    "/demo/articles.js": "articles.js",
}

_PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        # An ad's frame inherits this policy, and advertisers style their markup inline.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' https: data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file and the headers that go with it, ETag among them."""

    body: bytes
    headers: dict[str, str]


def static_files() -> dict[str, StaticFile]:
    """Every static file by its path on the server; the whole set is some 40 KB."""
    return {path: _load(path, name) for path, name in _PATHS.items()}


def _load(path: str, name: str) -> StaticFile:
    body = files(__package__).joinpath(name).read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    suffix = name.rpartition(".")[2]
    return StaticFile(body, {"Content-Type": _TYPES[suffix], "ETag": etag} | _policy(path))


def _policy(path: str) -> dict[str, str]:
    if path == "/t.js":
        # Publishers embed it: an hour in caches, and a day more while a new copy is fetched.
        return {
            "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
    return {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _PAGE_POLICY,
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
