"""A receiver of webhooks with manners that a test chooses, and what every webhook must be to it.

It knows only the wire contract ("Outbound webhooks"): ``check`` is what a merchant's own code would do.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import ssl
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

WAIT_S = 60.0
CLOCKS_APART_S = 60
DRIP_PAUSE_S = 0.05
BODY_MEMBERS = {
    "id",
    "eventType",
    "type",
    "createdAt",
    "sequence",
    "orderId",
    "externalId",
    "amount",
    "currency",
    "status",
    "processor",
    "payload",
    "data",
}

Manner = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes = field(repr=False)
    at_s: float
    """Monotonic."""
    peer: object = None
    """The connection that it came on."""
    problem: str | None = None
    """Why a careful receiver would not believe it, where the receiver knows the secret (``Receiver.expect``)."""

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def type(self) -> str:
        return str(self.document["type"])

    @property
    def sequence(self) -> int:
        return int(self.document["sequence"])


def check(received: Received, secret: str) -> Any:
    """What a careful receiver does with each request: headers, both signatures, the body's form. Gives the body."""
    headers, document = received.headers, received.document
    timestamp_ms = headers["x-loop-timestamp"]
    mac = hmac.new(secret.encode(), timestamp_ms.encode() + b"." + received.body, hashlib.sha256).hexdigest()
    assert headers["x-loop-signature"] == f"t={timestamp_ms},v1={mac}"
    assert headers["x-payloops-signature"] == headers["x-loop-signature"]
    assert abs(int(timestamp_ms) / 1000 - time.time()) < CLOCKS_APART_S
    Webhook(secret).verify(received.body, headers)
    assert headers["x-loop-event-id"] == headers["webhook-id"] == document["id"]
    assert int(timestamp_ms) // 1000 == int(headers["webhook-timestamp"])
    assert headers["content-type"].startswith("application/json")
    assert headers["user-agent"].startswith("PayLoops")
    assert headers["x-correlation-id"]
    assert set(document) == BODY_MEMBERS
    assert document["type"] == document["eventType"]
    assert document["payload"] == document["data"]
    return document


# -------------------------------------------------------------------------------------------------------------- manners


def answer(status: int, body: bytes = b"", **headers: str) -> Manner:
    """That status; header names with underscores for dashes."""

    async def manner(_: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return manner


OK = answer(200, b"ok")
GONE = answer(410)


def busy(retry_after: str, status: int = 429) -> Manner:
    return answer(status, Retry_After=retry_after)


def redirect(to: str, status: int = 302) -> Manner:
    return answer(status, Location=to)


def slow(delay_s: float, then: Manner = OK) -> Manner:
    async def manner(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(delay_s)
        return await then(request)

    return manner


def held(release: asyncio.Event, then: Manner = OK) -> Manner:
    """Answers when the test says so."""

    async def manner(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return await then(request)

    return manner


async def black_hole(_: web.BaseRequest) -> web.StreamResponse:
    """Takes the request, and never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
    """Breaks the connection off without an answer."""
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


def raw(first: bytes, repeated: bytes = b"", pause_s: float = 0.0, *, close: bool = False) -> Manner:
    """These very bytes, then ``repeated`` for ever."""

    async def manner(request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        transport.write(first)
        while repeated and not transport.is_closing():
            transport.write(repeated)
            await asyncio.sleep(pause_s)
        if close:
            transport.close()
            raise asyncio.CancelledError
        await asyncio.Event().wait()
        raise AssertionError

    return manner


def drip(status: int = 200) -> Manner:
    """A head, then a body that never ends, a byte at a time."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 1000000\r\n\r\n".encode()
    return raw(head, b"x", DRIP_PAUSE_S)


def drip_head() -> Manner:
    """A head that never ends."""
    return raw(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", DRIP_PAUSE_S)


def flood(status: int = 200) -> Manner:
    """A body without end, as fast as it is taken."""

    async def manner(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"flood " * 4096)
        return response

    return manner


def flood_of_headers() -> Manner:
    """Headers without end."""
    return raw(b"HTTP/1.1 200 OK\r\n", b"".join(b"X-%d: %s\r\n" % (n, b"y" * 100) for n in range(50)), 0.001)


def gzip_bomb(size: int = 50_000_000) -> Manner:
    """A small answer that would unpack to ``size`` bytes."""
    return answer(200, gzip.compress(b"0" * size, 9), Content_Encoding="gzip")


# ------------------------------------------------------------------------------------------------------------- receiver


class Receiver:
    """Listens on loopback. Each path is a receiver of its own: ``at("shop")`` is its URL."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.under_way: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._manners: defaultdict[str, deque[Manner]] = defaultdict(deque)
        self._lasting: dict[str, Manner] = {}
        self._secrets: dict[str, str] = {}
        self._came = asyncio.Event()
        self._tls = tls
        self._runner: web.ServerRunner | None = None
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        # Handlers are cancelled when their client goes away, so that a black hole does not hold up the end.
        self._runner = web.ServerRunner(web.Server(self._take, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def at(self, path: str = "hook", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/{path}"

    def behave(self, path: str, *manners: Manner, then: Manner | None = None) -> None:
        """The next requests there meet these manners, one each; later ones ``then``."""
        self._manners[path] = deque(manners)
        if then is not None:
            self._lasting[path] = then

    def expect(self, path: str, secret: str) -> None:
        """Look at what comes there as it comes: a signature is only good for a while."""
        self._secrets[path] = secret

    def of(self, path: str) -> list[Received]:
        """What came there."""
        return [one for one in self.received if one.path == path]

    async def until(self, count: int, path: str | None = None, *, within_s: float = WAIT_S) -> list[Received]:
        """What came there, once there are so many."""

        def found() -> list[Received]:
            return list(self.received) if path is None else self.of(path)

        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(found()) < count:
                    self._came.clear()
                    await self._came.wait()
        got = found()
        assert len(got) >= count, f"{len(got)} of {count} requests within {within_s} s"
        return got

    def _looked_at(self, came: Received) -> Received:
        if came.path not in self._secrets:
            return came
        try:
            check(came, self._secrets[came.path])
        except Exception as problem:  # noqa: BLE001 - whatever a careful receiver stumbles over is a finding
            line = traceback.extract_tb(problem.__traceback__)[-1].line
            return replace(came, problem=f"{problem!r} at {line}")
        return came

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.lstrip("/")
        self.under_way[path] += 1
        self.most_at_once[path] = max(self.most_at_once[path], self.under_way[path])
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            body = await request.read()
            came = Received(path, headers, body, time.monotonic(), id(request.transport))
            self.received.append(self._looked_at(came))
            self._came.set()
            waiting = self._manners[path]
            manner = waiting.popleft() if waiting else self._lasting.get(path, OK)
            return await manner(request)
        finally:
            self.under_way[path] -= 1


@asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver for the length of the block."""
    receiver = Receiver(tls=tls)
    await receiver.start(host)
    try:
        yield receiver
    finally:
        await receiver.stop()


def in_order(received: Iterable[Received]) -> bool:
    """Whether the first arrivals of one order's events came by sequence."""
    firsts: list[int] = []
    for one in received:
        if one.sequence not in firsts:
            firsts.append(one.sequence)
    return firsts == sorted(firsts)
