"""A running API on loopback over a real database, and a client that speaks to it as merchants do."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from payloops.bootstrap.api import services as open_services
from payloops.commands.order_results import (
    OrderReport,
    RecordActionRequired,
    RecordAuthorized,
    RecordCaptured,
    RecordFailed,
)
from payloops.config import Settings
from payloops.crypto import HashingPool
from payloops.events.base import Actor, Meta
from payloops.events.order_state import OrderState
from payloops.http.app import App
from payloops.http.server import HttpServer
from payloops.http.services import Services
from payloops.values import Clock, new_id
from tests import conformance
from tests.clock import CLOCK
from tests.databases import TestDatabase

SETTINGS = {
    "JWT_SECRET": "a jwt secret of the tests as long as the longest HMAC of JWT would like it to be",
    "ENCRYPTION_KEY": "an encryption key of the tests of 48 characters",
    "CORS_ORIGINS": "https://app.example.com,http://localhost:5173",
    "PAY_WAIT_S": "0",
    "STRIPE_API_BASE": "https://127.0.0.1:9",
    # Clients of the tests have addresses of their own, so that limits by address are met only where they are meant.
    "TRUSTED_PROXIES": "127.0.0.0/8",
    "DB_POOL_MAX": "6",
}
PASSWORD = "correct horse"
"""Of every merchant."""
_numbers = itertools.count(1)


def from_address(number: int) -> dict[str, str]:
    """The header by which a trusted proxy tells of a client of its own."""
    return {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}


@dataclass(frozen=True)
class Answer:
    """A reply. ``raw`` is the body as it came."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def code(self) -> str:
        return str(self.json["code"])

    def must(self, status: int) -> Any:
        """The body of a reply that has this status."""
        assert self.status == status, f"{self.status}: {self.raw[:500]!r}"
        return orjson.loads(self.raw) if self.raw else None


@dataclass(frozen=True)
class Merchant:
    id: UUID
    email: str
    token: str
    api_key: str
    api_key_id: str


class Api:
    """One API process's worth of service."""

    def __init__(self, services: Services, server: HttpServer, port: int, session: aiohttp.ClientSession) -> None:
        self.services = services
        self.server = server
        self.port = port
        self._session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        token: str | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call. ``body`` goes as JSON, ``data`` as it is."""
        sent = dict(headers or {})
        if body is not None:
            data = orjson.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if key is not None:
            sent["X-API-Key"] = key
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self._session.request(method, url, data=data, headers=sent, allow_redirects=False) as reply:
            raw = await reply.read()
        problem = conformance.problem_of(method, path, reply.status, reply.headers.get("Content-Type", ""), raw)
        assert problem is None, problem
        return Answer(reply.status, reply.headers, raw)

    async def merchant(self, **key: object) -> Merchant:
        """A new account with an API key."""
        number = next(_numbers)
        email = f"merchant{number}@shop.example"
        account = {"name": "A shop", "email": email, "password": PASSWORD}
        made = (await self.call("POST", "/api/auth/register", account, headers=from_address(number))).must(201)
        token = made["token"]
        secret = await self.new_key(token, **key)
        return Merchant(UUID(made["merchant"]["id"]), email, token, secret["secret"], secret["apiKey"]["id"])

    async def new_key(self, token: str, **fields: object) -> Any:
        return (await self.call("POST", "/api/api-keys", {"name": "key", **fields}, token=token)).must(201)

    async def new_order(self, merchant: Merchant, **fields: object) -> Any:
        body = {"amount": 1000, "currency": "USD", **fields}
        return (await self.call("POST", "/v1/orders", body, key=merchant.api_key)).must(201)

    async def with_stripe(self, merchant: Merchant) -> None:
        body = {"credentials": {"secretKey": "sk_test_123456789"}}
        (await self.call("POST", "/api/processors/stripe", body, token=merchant.token)).must(200)

    async def paid_order(self, merchant: Merchant, **fields: object) -> Any:
        """An order whose payment is with the processor."""
        await self.with_stripe(merchant)
        order = await self.new_order(merchant, **fields)
        (await self.call("POST", f"/v1/orders/{order['id']}/pay", key=merchant.api_key)).must(200)
        return order

    async def captured_order(self, merchant: Merchant, **fields: object) -> Any:
        order = await self.paid_order(merchant, **fields)
        await self.captured(order["id"], order["amount"])
        return order

    async def order(self, merchant: Merchant, order_id: str) -> Any:
        return (await self.call("GET", f"/v1/orders/{order_id}", key=merchant.api_key)).must(200)

    async def reached(self, order_id: str, version: int) -> None:
        """Wait until the order has that version."""
        orders = self.services.orders
        state = await self.services.handler.wait_for(
            orders, UUID(order_id), lambda state: orders.version(state) >= version, timeout_s=60
        )
        assert orders.version(state) >= version

    # What a processor's workflow would report.

    async def record(self, report: OrderReport) -> OrderState:
        done = await self.services.handler.execute(self.services.orders, report.order_id, report)
        return done.state

    def head(self, order_id: str) -> dict[str, Any]:
        meta = Meta(new_id(), Actor("workflow", f"payment-{order_id}"), "from-the-workflow")
        return {"order_id": UUID(order_id), "now": self.services.clock.now(), "meta": meta}

    async def captured(self, order_id: str, amount: int, *, attempt: int = 1) -> None:
        head = self.head(order_id)
        await self.record(
            RecordCaptured(
                **head, attempt=attempt, amount=amount, surplus_refund_id=new_id(), processor_transaction_id="pi_1"
            )
        )

    async def authorized(self, order_id: str, amount: int) -> None:
        await self.record(
            RecordAuthorized(**self.head(order_id), attempt=1, amount=amount, processor_transaction_id="pi_1")
        )

    async def failed(self, order_id: str, *, attempt: int = 1) -> None:
        report = RecordFailed(
            **self.head(order_id), attempt=attempt, code="card_declined", decline_code="lost_card", message="Declined."
        )
        await self.record(report)

    async def action_required(self, order_id: str, **fields: Any) -> None:
        await self.record(RecordActionRequired(**self.head(order_id), attempt=1, **fields))


@asynccontextmanager
async def open_api(database: TestDatabase, *routes: Any, **settings: str) -> AsyncIterator[Api]:
    """An API over this database, with further routes for the test's own use."""
    async with open_api_at(None, database, *routes, **settings) as api:
        yield api


@asynccontextmanager
async def open_api_at(clock: Clock | None, database: TestDatabase, *routes: Any, **settings: str) -> AsyncIterator[Api]:
    """As ``open_api``, in a process whose clock is that one."""
    async with _open_api(clock, _as_they_are, database, *routes, **settings) as api:
        yield api


@asynccontextmanager
async def open_api_with(plant: Plant, database: TestDatabase, **settings: str) -> AsyncIterator[Api]:
    """As ``open_api``, with a fault that ``plant`` puts among its parts."""
    async with _open_api(None, plant, database, **settings) as api:
        yield api


Plant = Callable[[Services], Services]


def _as_they_are(services: Services) -> Services:
    return services


@asynccontextmanager
async def _open_api(
    clock: Clock | None, plant: Plant, database: TestDatabase, *routes: Any, **settings: str
) -> AsyncIterator[Api]:
    wanted = Settings.from_env(SETTINGS | settings).with_database(database.app_dsn, database.owner_dsn)
    # bcrypt's cost is what makes it slow; the tests are not about that.
    hashing = HashingPool(secret_cost=4, password_cost=4)
    try:
        async with open_services(wanted, clock=clock or CLOCK) as made:
            services = plant(dataclasses.replace(made, hashing=hashing))
            app = build_app_with(services, routes)
            server = HttpServer(app)
            port = await server.start("127.0.0.1", 0)
            try:
                async with aiohttp.ClientSession(auto_decompress=False) as session:
                    yield Api(services, server, port, session)
            finally:
                services.stopping.set()
                await server.stop(grace_s=0.5)
    finally:
        hashing.close()


def build_app_with(services: Services, further: tuple[Any, ...]) -> App:
    from payloops.http.routes import routes

    return App(services, (*routes(), *further))
