"""HTTP in and out: routes, limits, status codes, CORS.

This file knows no ads. What is behind it answers with values; what goes wrong is in one table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import orjson
import structlog
from aiohttp import web

from adserver import metrics
from adserver.batcher import Ask
from adserver.catalogue.currency import Rates
from adserver.deadline import Deadline, monotonic
from adserver.decision import Decision
from adserver.errors import AdServerError, BadRequest, Overloaded
from adserver.insider import Insider
from adserver.request import AdRequest, Dialect
from adserver.web.files import StaticFile
from adserver.wire import body as wire_body
from adserver.wire import decision as wire_decision
from adserver.wire import openrtb as wire_openrtb
from adserver.wire.render import UrlsOf

BODY_SECONDS = 2.0
"""A body that trickles in slower than this is refused: a socket is not a place to wait."""
log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Backend(Protocol):
    """What the routes need of the worker behind them."""

    def unseen(self) -> float: ...
    async def decide(self, ask: Ask) -> Decision: ...
    def rates(self) -> Rates: ...
    def urls(self, base: str) -> UrlsOf: ...
    async def event(self, kind: str, token: str, prefetch: bool) -> EventAnswer: ...
    def health(self) -> dict[str, object]: ...
    def readiness(self) -> dict[str, object]: ...
    async def report(self) -> str: ...
    async def explain(self, decision: str, offset: str, limit: str) -> dict[str, object]: ...
    async def why(self, ad: str, window: str) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What the browser gets: a redirect for a click whose token is genuine, else nothing."""

    code: str
    location: str = ""
    kept: bool = True
    """False: the log failed; the event did not happen and may be sent again."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Handlers over one backend."""

    backend: Backend
    default_deadline_ms: int
    public_url: str
    seat: str
    files: dict[str, StaticFile]
    insider: Insider

    def app(self) -> web.Application:
        app = web.Application(client_max_size=wire_body.LIMIT + 1)
        decide = [
            ("/v1/decision", Dialect.DECISION),
            ("/openrtb2/auction", Dialect.AUCTION),
            ("/openrtb2/bid", Dialect.BID),
        ]
        for path, dialect in decide:
            app.router.add_post(path, guarded(path, self._decider(dialect)))
            app.router.add_route("OPTIONS", path, guarded(path, self.preflight))
        for kind in ("impression", "viewable", "click", "conversion"):
            app.router.add_get(f"/e/{kind}", guarded(f"/e/{kind}", self._event(kind)))
        for path, answer in self.files.items():
            app.router.add_get(path, guarded("static", _file(answer)))
        app.router.add_get("/healthz", guarded("/healthz", self.healthz))
        app.router.add_get("/readyz", guarded("/readyz", self.readyz))
        app.router.add_get("/metrics", guarded("/metrics", self.metrics))
        app.router.add_get("/report", guarded("/report", self.report))
        explain, why = "/v1/decisions/{id}/explain", "/v1/ads/{id}/why"
        app.router.add_get(explain, guarded(explain, self.insider.only(self.explain)))
        app.router.add_get(why, guarded(why, self.insider.only(self.why)))
        app.router.add_get("/", guarded("/", self.index))
        return app

    def _decider(self, dialect: Dialect) -> Handler:
        took = metrics.TOOK.labels(dialect.value)

        async def decide(http: web.Request) -> web.StreamResponse:
            began = monotonic() - self.backend.unseen()
            request = self._parse(dialect, await _read(http), http)
            allowed = (request.deadline_ms or self.default_deadline_ms) / 1000
            ask = Ask(request, Deadline(began + allowed), began)
            decision = await self.backend.decide(ask)
            status, body = self._render(decision, http)
            took.observe(monotonic() - began)
            return _json(http, status, body, _timing(decision))

        return decide

    def _parse(self, dialect: Dialect, body: bytes, http: web.Request) -> AdRequest:
        agent = http.headers.get("User-Agent", "")
        if dialect is Dialect.DECISION:
            return wire_decision.parse(body, agent, self.backend.rates())
        return wire_openrtb.parse(body, dialect, agent, self.seat, self.backend.rates())

    def _render(self, decision: Decision, http: web.Request) -> tuple[int, bytes]:
        base = self.public_url or f"{http.scheme}://{http.host}"
        urls = self.backend.urls(base)
        if decision.request.dialect is Dialect.DECISION:
            return 200, wire_decision.render(decision, urls)
        return wire_openrtb.render(decision, urls, seat=self.seat)

    def _event(self, kind: str) -> Handler:
        async def event(http: web.Request) -> web.StreamResponse:
            purpose = http.headers.get("Sec-Purpose", "") + http.headers.get("Purpose", "")
            token = http.query.get("t", "")
            answer = await self.backend.event(kind, token, "prefetch" in purpose)
            metrics.EVENTS.labels(kind, answer.code).inc()
            headers = {"Cache-Control": "no-store", **_cors(http)}
            if answer.location:
                return web.Response(status=302, headers={**headers, "Location": answer.location})
            if kind == "click":
                raise BadRequest("invalid", "t", f"this click URL is not valid: {answer.code}")
            return web.Response(status=204 if answer.kept else 503, headers=headers)

        return event

    async def preflight(self, http: web.Request) -> web.StreamResponse:
        allow = {
            "Access-Control-Allow-Headers": "content-type",
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Max-Age": "86400",
        }
        return web.Response(status=204, headers={**_cors(http), **allow})

    async def healthz(self, http: web.Request) -> web.StreamResponse:
        return web.json_response(self.backend.health())

    async def readyz(self, http: web.Request) -> web.StreamResponse:
        state = self.backend.readiness()
        return web.json_response(state, status=200 if state["ready"] else 503)

    async def metrics(self, http: web.Request) -> web.StreamResponse:
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def report(self, http: web.Request) -> web.StreamResponse:
        return web.Response(text=await self.backend.report(), content_type="text/html")

    async def explain(self, http: web.Request) -> web.StreamResponse:
        query = http.query
        return _private(
            await self.backend.explain(
                http.match_info["id"], query.get("offset", ""), query.get("limit", "")
            )
        )

    async def why(self, http: web.Request) -> web.StreamResponse:
        window = http.query.get("window", "")
        return _private(await self.backend.why(http.match_info["id"], window))

    async def index(self, http: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/demo/")


def guarded(route: str, handler: Handler) -> Handler:
    """Every answer is counted; every failure becomes a status with a cause, never a traceback."""

    async def answer(http: web.Request) -> web.StreamResponse:
        try:
            response = await handler(http)
        except AdServerError as error:
            response = _refusal(http, error)
        except web.HTTPException as status:
            response = status
        except Exception:
            log.exception("bug", route=route, request=http.headers.get("X-Request-Id", ""))
            response = web.json_response({"error": {"code": "internal"}}, status=500)
        metrics.answered(route, response.status)
        return response

    return answer


async def _read(http: web.Request) -> bytes:
    try:
        # No timer for what is here already, as nearly every body is.
        async with asyncio.timeout(None if http.content.is_eof() else BODY_SECONDS):
            raw = await http.read()
    except web.HTTPRequestEntityTooLarge:
        raise BadRequest.too_large(wire_body.LIMIT) from None
    except TimeoutError:
        raise BadRequest("too_slow", "body", f"not complete after {BODY_SECONDS:g} s") from None
    return wire_body.read(raw, http.headers.get("Content-Encoding", ""))


def _refusal(http: web.Request, error: AdServerError) -> web.Response:
    headers = {"Retry-After": "1"} if isinstance(error, Overloaded) else {}
    headers |= _cors(http)
    return web.json_response(error.body(), status=error.status, headers=headers)


def _json(http: web.Request, status: int, body: bytes, timing: str) -> web.Response:
    headers = {"Server-Timing": timing, "Cache-Control": "no-store", **_cors(http)}
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _private(answer: dict[str, object]) -> web.Response:
    """What is between us and the caller: no page of another origin reads it, no cache keeps it."""
    return web.Response(
        body=orjson.dumps(answer),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _timing(decision: Decision) -> str:
    stages = ", ".join(f"{name};dur={ms}" for name, ms in decision.stage_ms.items())
    total = f"total;dur={decision.took_ms:.3f}"
    return f"{stages}, {total}" if stages else total


def _cors(http: web.Request) -> dict[str, str]:
    """Any page may ask for ads: cookies would identify, never authorise."""
    origin = http.headers.get("Origin")
    if not origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Server-Timing",
        "Vary": "Origin",
    }


def _file(file: StaticFile) -> Handler:
    async def answer(http: web.Request) -> web.StreamResponse:
        if http.headers.get("If-None-Match") == file.headers["ETag"]:
            return web.Response(status=304, headers=file.headers)
        return web.Response(body=file.body, headers=file.headers)

    return answer
