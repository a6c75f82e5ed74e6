"""The application: finds a request's route and caller, runs its handler, and turns what comes of it into a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from payloops.errors import NotAuthenticated, PayloopsError, RateLimited, Unavailable
from payloops.http.access_log import NO_ROUTE, AccessLog
from payloops.http.auth import API_KEY_HEADER
from payloops.http.errors import error_body, error_headers, status_of, unexpected
from payloops.http.fields import look_at_query
from payloops.http.message import Reply, Request
from payloops.http.replies import Replies
from payloops.http.routes import routes
from payloops.http.routing import Access, Route, Router
from payloops.http.server import HttpServer
from payloops.http.services import Services
from payloops.telemetry import (
    TraceContext,
    accept_correlation_id,
    correlation_id,
    span,
    trace_scope,
)
from payloops.telemetry.metrics import METRICS

_UNAUTHORIZED: Final = 401
_NO_HEADERS: Final[CIMultiDictProxy[str]] = CIMultiDictProxy(CIMultiDict())
_CHALLENGES: Final[dict[Access, str]] = {
    "public": "",
    "api_key": f'ApiKey realm="payloops", header="{API_KEY_HEADER}"',
    "user": 'Bearer realm="payloops"',
}


class App:
    """Answers requests; one for a process. Not one of its methods raises."""

    def __init__(self, services: Services, table: Iterable[Route]) -> None:
        self.routes = tuple(table)
        self._services = services
        self._router = Router(self.routes)
        self._auth = services.authenticator()
        self._replies = Replies(services.settings)
        self._access_log = AccessLog()
        self._loop = asyncio.get_running_loop()

    async def respond(self, request: Request) -> Reply:
        """The reply to a request."""
        self._identify(request)
        headers = request.headers
        if "traceparent" in headers:
            with trace_scope(TraceContext.parse(headers["traceparent"])):
                reply = await self._reply(request)
        else:
            reply = await self._reply(request)
        caller = request.principal
        if caller is not None and caller.guard.api_key_id is not None and reply.status != _UNAUTHORIZED:
            self._services.key_uses.used(caller.guard.api_key_id)
        self._note(request, reply.status)
        return reply

    def write(self, reply: Reply, request: Request, *, close: bool) -> bytes:
        """The reply as it goes on the wire."""
        return self._replies.write(reply, request, close=close)

    def refuse(self, error: PayloopsError, request: Request | None) -> bytes:
        """The last reply of a connection whose request can't be read."""
        known = request or Request("", "", _NO_HEADERS, peer="", started_at_s=self._loop.time())
        self._identify(known)
        reply = self._error(error, known)
        self._note(known, reply.status)
        return self._replies.write(reply, known, close=True)

    def _note(self, request: Request, status: int) -> None:
        now_s = self._loop.time()
        self._access_log.note(request, status, now_s)
        # An unknown method of an unknown path must not make a series.
        method, path = (request.method, request.route.path) if request.route is not None else ("", NO_ROUTE)
        METRICS.http_requests.add((method, path, str(status)))
        METRICS.http_duration_s.observe(now_s - request.started_at_s, (method, path))

    def _identify(self, request: Request) -> None:
        """The correlation id that the client brought, if it is one, else a new one."""
        headers = request.headers
        brought = headers.get("X-Correlation-ID")
        if brought is None:
            brought = headers.get("X-Request-ID")
        request.correlation_id = accept_correlation_id(brought)
        correlation_id.set(request.correlation_id)

    async def _reply(self, request: Request) -> Reply:
        try:
            if request.method == "OPTIONS":
                return self._replies.options(request, self._router.methods(request.path))
            route, request.params = self._router.find(request.method, request.path)
            request.route = route
            with span(route.name, kind="server") as step:
                try:
                    reply = await self._call(route, request)
                except PayloopsError as error:
                    reply = self._error(await self._proven(error, request), request)
                step.set("http.response.status_code", reply.status)
            return reply
        except PayloopsError as error:
            return self._error(error, request)
        except Exception as problem:  # noqa: BLE001 - the edge: whatever went wrong, the client gets an answer
            return self._error(unexpected(problem), request)

    async def _call(self, route: Route, request: Request) -> Reply:
        services = self._services
        if route.limit == "auth":
            # Before anything that costs more: nothing was parsed, looked up or hashed yet. What could not be hashed
            # anyway is not even counted, so that a flood of logins costs no round trips.
            if route.access == "public":
                services.hashing.require_room_for_password()
            await services.rate_limits.admit_address(request)
        if route.access == "api_key":
            caller = self._auth.known_key(request)
            if caller is None:
                caller = await self._auth.api_key(request)
            request.principal = caller
            caller.admit(request.started_at_s)
            caller.require(route.scope)
        elif route.access == "user":
            request.principal = await self._auth.user(request)
            if route.limit is not None and route.limit != "auth":
                await services.rate_limits.admit_merchant(route.limit, request.principal.merchant_id)
        if request.query and route.access != "public":
            look_at_query(request)
        return await route.handler(request, services)

    async def _proven(self, error: PayloopsError, request: Request) -> PayloopsError:
        """A request that failed before anything saw its API key hold: a key that does not is refused as such."""
        caller = request.principal
        if caller is None or request.proven or isinstance(error, NotAuthenticated | RateLimited | Unavailable):
            return error
        try:
            await self._services.handler.prove(caller.guard)
        except PayloopsError as worse:
            return worse
        return error

    def _error(self, error: PayloopsError, request: Request) -> Reply:
        challenge = "" if request.route is None else _CHALLENGES[request.route.access]
        request.error_code = error.code
        return Reply(status_of(error), error_body(error, request.correlation_id), error_headers(error, challenge))


def build_app(services: Services) -> App:
    """The application over these services. Call it in the event loop that will run it."""
    return App(services, routes())


def build_server(services: Services) -> HttpServer:
    """A server of the application: ``await server.start(host, port)``, ``await server.stop()``."""
    return HttpServer(build_app(services))
