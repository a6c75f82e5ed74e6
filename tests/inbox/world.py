"""An API, a relay and the simulated processors over one database; processors' events are sent to it over HTTP."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import psycopg

from payloops.bootstrap.api import services as open_services
from payloops.bootstrap.core import order_aggregate
from payloops.commands.aggregates import OrderCommand
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.processor_event import processor_event_id
from payloops.config import Settings
from payloops.crypto import HashingPool, KeyRing
from payloops.db import Database
from payloops.events.order_state import Absent, Existing, status
from payloops.events.processor_event_state import Judged, ProcessorEventState
from payloops.events.store import EventStore
from payloops.http.app import App
from payloops.http.routes import routes
from payloops.http.server import HttpServer
from payloops.projections.personal_data import PersonalData
from payloops.sandbox.app import Sandbox
from payloops.values import Clock
from payloops.workflows_bridge.embedded_relay import embedded_relay
from payloops.workflows_bridge.inbox.processing import Patience
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, Schedule
from payloops.workflows_bridge.relay import Relay, RelayOptions
from tests.clock import CLOCK
from tests.databases import TestDatabase
from tests.inbox.bodies import Json
from tests.inbox.signing import razorpay_header, stripe_header
from tests.integration.http.world import SETTINGS, Answer, Api, Merchant
from tests.ports import held_ports

SECRET = "whsec_of_the_tests_1"
RAZORPAY_SECRET = "a webhook secret"
WAIT_S = 60.0
IMPATIENT = Patience(first_s=0.05, most_s=0.2, total_s=1.0)
UNASKING = replace(CONTRACT_SCHEDULE, action_asks_s=(600,))
"""While the customer is waited for, the engine asks nothing by itself: what moves an order was told by an event."""
OPTIONS = RelayOptions(concurrency=16, lease_s=5.0, poll_s=0.2, failure_delay_min_s=0.02)


class Inbox:
    """One API process, and relays inside ``relaying``."""

    def __init__(self, api: Api, sandbox: Sandbox, settings: Settings, http: aiohttp.ClientSession) -> None:
        self.api = api
        self.sandbox = sandbox
        self.settings = settings
        self.http = http

    # ---------------------------------------------------------------------------------------------------------- set-up

    async def merchant(self, *processors: str, account: str | None = None) -> Merchant:
        """A merchant with these processors configured, and their webhook secrets saved by hand."""
        merchant = await self.api.merchant()
        if "stripe" in processors:
            await self.configure(
                merchant, "stripe", secretKey=account or stripe_account(merchant), webhookSecret=SECRET
            )
        if "razorpay" in processors:
            await self.configure(
                merchant,
                "razorpay",
                keyId=account or razorpay_account(merchant),
                keySecret="razorpay-secret",
                webhookSecret=RAZORPAY_SECRET,
            )
        return merchant

    async def configure(self, merchant: Merchant, processor: str, **credentials: str) -> Any:
        answer = await self.api.call(
            "POST", f"/api/processors/{processor}", {"credentials": credentials}, token=merchant.token
        )
        return answer.must(200)

    async def pay(self, merchant: Merchant, token: str | None = None, wait_s: int = 5, **fields: Any) -> Any:
        """An order that was paid; what ``pay`` answered is under ``paid``."""
        order = await self.api.new_order(merchant, returnUrl="https://shop.example/r", **fields)
        method = {} if token is None else {"paymentMethod": {"type": "card", "token": token}}
        answer = await self.api.call(
            "POST",
            f"/v1/orders/{order['id']}/pay",
            method,
            key=merchant.api_key,
            headers={"Prefer": f"wait={wait_s}"},
        )
        return {**order, "paid": answer.must(200)}

    @asynccontextmanager
    async def relaying(
        self, patience: Patience = IMPATIENT, schedule: Schedule = UNASKING, *, timeout_s: float = 2.0
    ) -> AsyncIterator[Relay]:
        """A relay as a process of its own has it."""
        database = Database(self.settings.database_url, min_size=1, max_size=6, application_name="payloops-relay")
        await database.open(wait_s=10.0)
        store = EventStore(database)
        await store.open()
        ring = KeyRing.from_setting(self.settings.encryption_key)
        try:
            async with embedded_relay(
                database,
                CommandHandler(store, ResponseKeeper(ring)),
                order_aggregate(),
                ring=ring,
                personal=PersonalData(database, ring),
                clock=CLOCK,
                api_bases={"stripe": self.sandbox.stripe_url, "razorpay": self.sandbox.razorpay_url},
                processor_timeout_s=timeout_s,
                options=OPTIONS,
                schedule=schedule,
                patience=patience,
            ) as relay:
                yield relay
        finally:
            await store.close()
            await database.close()

    # --------------------------------------------------------------------------------------------------------- sending

    async def stripe(
        self, merchant: Merchant | None, event: Json, *, secret: str = SECRET, path: str | None = None
    ) -> Answer:
        body = orjson.dumps(event)
        path = path or ("/webhooks/stripe" if merchant is None else f"/webhooks/stripe/{merchant.id}")
        return await self.send(path, body, stripe_header(secret, body))

    async def razorpay(
        self,
        merchant: Merchant | None,
        event: Json,
        *,
        secret: str = RAZORPAY_SECRET,
        event_id: str | None = "event_1",
    ) -> Answer:
        body = orjson.dumps(event)
        path = "/webhooks/razorpay" if merchant is None else f"/webhooks/razorpay/{merchant.id}"
        return await self.send(path, body, razorpay_header(secret, body, event_id))

    async def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return await self.api.call("POST", path, data=body, headers=headers)

    # ----------------------------------------------------------------------------------------------------------- looks

    async def judged(self, merchant: Merchant, processor: str, their_id: str) -> Judged:
        """The event once it has its verdict."""
        state: ProcessorEventState = await self.api.services.handler.wait_for(
            self.api.services.processor_events,
            processor_event_id(merchant.id, processor, their_id),
            lambda state: isinstance(state, Judged),
            timeout_s=WAIT_S,
        )
        assert isinstance(state, Judged), f"{processor} {their_id}: no verdict within {WAIT_S} s: {state}"
        return state

    async def verdict(self, merchant: Merchant, event: Json, *, their_id: str | None = None) -> str:
        processor = "stripe" if their_id is None else "razorpay"
        state = await self.judged(merchant, processor, their_id or event["id"])
        return state.verdict

    async def tell_stripe(self, merchant: Merchant, event: Json) -> Judged:
        """Send an event and wait for its verdict."""
        assert (await self.stripe(merchant, event)).must(200) == {"received": True}
        return await self.judged(merchant, "stripe", event["id"])

    async def tell_razorpay(self, merchant: Merchant, event: Json, event_id: str) -> Judged:
        assert (await self.razorpay(merchant, event, event_id=event_id)).must(200) == {"received": True}
        return await self.judged(merchant, "razorpay", event_id)

    async def order(self, order_id: str) -> Existing:
        state = await self.api.services.handler.load(self.api.services.orders, UUID(order_id))
        assert not isinstance(state, Absent)
        return state

    async def reach(self, order_id: str, *wanted: str) -> Existing:
        """The order's state once its status is one of these."""
        state = await self.api.services.handler.wait_for(
            self.api.services.orders,
            UUID(order_id),
            lambda state: not isinstance(state, Absent) and status(state) in wanted,
            timeout_s=WAIT_S,
        )
        assert not isinstance(state, Absent)
        assert status(state) in wanted, f"{status(state)} after {WAIT_S} s, wanted {wanted}"
        return state

    async def execute(self, order_id: str, command: OrderCommand) -> None:
        await self.api.services.handler.execute(self.api.services.orders, UUID(order_id), command)

    async def events(self, merchant: Merchant, query: str = "") -> list[Any]:
        page = await self.api.call("GET", f"/api/processor-events{query}", token=merchant.token)
        data: list[Any] = page.must(200)["data"]
        return data

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            return connection.execute(sql, parameters).fetchall()

    def log_length(self) -> int:
        ((position,),) = self.rows("SELECT position FROM log_head")
        return int(position)

    # --------------------------------------------------------------------------------------------------------- sandbox

    async def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self.http.request(method, f"{self.sandbox.stripe_url}/_sandbox{path}", json=body) as response:
            text = await response.text()
            assert response.status < 300, text
            return await response.json() if text else None


def stripe_account(merchant: Merchant) -> str:
    return f"sk_test_{merchant.id.hex}"


def razorpay_account(merchant: Merchant) -> str:
    return f"rzp_test_{merchant.id.hex[-14:]}"


@asynccontextmanager
async def open_inbox(database: TestDatabase, sandbox: Sandbox, **settings: str) -> AsyncIterator[Inbox]:
    """An API that knows by which address it is reached."""
    async with open_inbox_at(None, database, sandbox, **settings) as inbox:
        yield inbox


@asynccontextmanager
async def open_inbox_at(
    clock: Clock | None, database: TestDatabase, sandbox: Sandbox, **settings: str
) -> AsyncIterator[Inbox]:
    """As ``open_inbox``, in a process whose clock is that one."""
    hashing = HashingPool(secret_cost=4, password_cost=4)
    try:
        with held_ports() as port:
            given = {
                "STRIPE_API_BASE": sandbox.stripe_url,
                "RAZORPAY_API_BASE": sandbox.razorpay_url,
                "PUBLIC_URL": f"http://127.0.0.1:{port}",
            }
            wanted = Settings.from_env(SETTINGS | given | settings).with_database(database.app_dsn, database.owner_dsn)
            async with (
                open_services(wanted, clock=clock or CLOCK) as made,
                aiohttp.ClientSession(auto_decompress=False) as session,
            ):
                services = dataclasses.replace(made, hashing=hashing)
                server = HttpServer(App(services, routes()))
                await server.start("127.0.0.1", port)
                yield Inbox(Api(services, server, port, session), sandbox, wanted, session)
                services.stopping.set()
                await server.stop(grace_s=0.5)
    finally:
        hashing.close()
