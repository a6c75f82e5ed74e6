"""What the adapters are tested against: servers that misbehave as told, and the simulator of both processors."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock, new_id
from payloops.workflows_bridge.processors.base import PaymentRef, PaymentRequest, Processor
from payloops.workflows_bridge.processors.registry import build_processor
from payloops.workflows_bridge.processors.transport import processor_session

CANARY = "canary4f1c"
"""Stands in everything that must not be seen."""

LOST = pytest.mark.parametrize(
    ("mode", "happened"),
    (
        ("timeout_before", False),
        ("timeout_after", True),
        ("reset_before", False),
        ("reset_after", True),
        ("http_500", False),
    ),
)
"""The simulator's ways to lose an answer, and whether the request was carried out."""


@dataclass
class Seen:
    """A request that a server got."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str


@dataclass
class Server:
    """An HTTP server on loopback that answers as its handler says and remembers what it was asked."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)


Answer = Callable[[Seen], web.Response | Awaitable[web.Response]]
StartServer = Callable[[Answer], Awaitable[Server]]
RawAnswer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
StartRawServer = Callable[[RawAnswer], Awaitable[str]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with processor_session() as session:
        yield session


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Starts servers that speak proper HTTP."""
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> Server:
        server = Server()

        async def handle(request: web.Request) -> web.Response:
            seen = Seen(request.method, request.path, request.query_string, dict(request.headers), await request.text())
            server.seen.append(seen)
            response = answer(seen)
            return response if isinstance(response, web.Response) else await response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def start_raw_server() -> AsyncIterator[StartRawServer]:
    """Starts servers that write whatever bytes they like once a request's head has come in."""
    servers: list[asyncio.Server] = []
    talking: set[asyncio.Task[None]] = set()

    async def start(answer: RawAnswer) -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talking.add(task)
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await reader.readuntil(b"\r\n\r\n")
                await answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


Start = Callable[[Answer], Awaitable[tuple[Processor, Server]]]


@pytest.fixture
def stripe_at(http: aiohttp.ClientSession, start_server: StartServer) -> Start:
    async def start(answer: Answer) -> tuple[Processor, Server]:
        server = await start_server(answer)
        credentials = {"secretKey": f"sk_test_{CANARY}"}
        return build_processor("stripe", credentials, api_base=server.url + "/", http=http, timeout_s=5), server

    return start


@pytest.fixture
def razorpay_at(http: aiohttp.ClientSession, start_server: StartServer) -> Start:
    async def start(answer: Answer) -> tuple[Processor, Server]:
        server = await start_server(answer)
        credentials = {"keyId": "rzp_test_1", "keySecret": CANARY}
        return build_processor("razorpay", credentials, api_base=server.url, http=http, timeout_s=5), server

    return start


# ------------------------------------------------------------------------------------------------------------- sandbox


class MovableClock:
    """A clock that the test moves; it stands still otherwise."""

    def __init__(self) -> None:
        self._now = SystemClock().now()

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> None:
        self._now += timedelta(**duration)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A simulator of both processors, forgotten afterwards."""
    running = build_sandbox(None, SystemClock(), settle_delay_s=0, hold_s=30)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@dataclass
class Account:
    """One account at the simulator: an adapter for it, and the simulator's own view of it."""

    processor: Processor
    name: str
    base: str
    clock: MovableClock
    http: aiohttp.ClientSession
    build: Callable[..., Processor]

    async def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of the simulator's control API."""
        async with self.http.request(method, f"{self.base}/_sandbox{path}", json=body) as response:
            text = await response.text()
            assert response.status < 300, text
            return cast("dict[str, Any]", json.loads(text or "{}"))

    async def ledger(self) -> dict[str, Any]:
        return await self.control("GET", f"/ledger?account={self.name}")

    async def payments(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", (await self.ledger())["payments"])

    async def refunds(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", (await self.ledger())["refunds"])

    async def fault(self, operation: str, mode: str, times: int = 1) -> None:
        """Arms a fault for the next calls of an operation."""
        fault = {"account": self.name, "operation": operation, "mode": mode, "times": times}
        await self.control("POST", "/faults", fault)


@pytest.fixture
def stripe_account(sandbox: Sandbox, http: aiohttp.ClientSession) -> Account:
    clock = MovableClock()
    name = f"sk_test_{uuid4().hex}"

    def build(key: str = name, timeout_s: float = 5) -> Processor:
        return build_processor(
            "stripe", {"secretKey": key}, api_base=sandbox.stripe_url, http=http, timeout_s=timeout_s, clock=clock
        )

    return Account(build(), name, sandbox.stripe_url, clock, http, build)


@pytest.fixture
def razorpay_account(sandbox: Sandbox, http: aiohttp.ClientSession) -> Account:
    clock = MovableClock()
    name = f"rzp_test_{uuid4().hex}"

    def build(secret: str = "razorpay-secret", timeout_s: float = 5) -> Processor:
        credentials = {"keyId": name, "keySecret": secret}
        return build_processor(
            "razorpay", credentials, api_base=sandbox.razorpay_url, http=http, timeout_s=timeout_s, clock=clock
        )

    return Account(build(), name, sandbox.razorpay_url, clock, http, build)


def payment_request(**changes: Any) -> PaymentRequest:
    """A request of a fresh order; by card, captured at once."""
    request = PaymentRequest(
        order_id=new_id(),
        merchant_id=new_id(),
        attempt=1,
        amount=4999,
        currency="USD",
        capture_method="automatic",
        return_url="https://shop.example/return",
        payment_method_type="card",
        payment_method_token="pm_card_visa",
        description="Two tickets",
        external_id="order-1",
        correlation_id="c-1",
    )
    return replace(request, **changes)


def ref_of(request: PaymentRequest, outcome: object = None) -> PaymentRef:
    """The payment of a request, with the ids that an outcome told."""
    return PaymentRef(
        order_id=request.order_id,
        attempt=request.attempt,
        processor_order_id=getattr(outcome, "processor_order_id", None),
        processor_transaction_id=getattr(outcome, "processor_transaction_id", None),
        amount=request.amount,
        currency=request.currency,
        merchant_id=request.merchant_id,
    )
