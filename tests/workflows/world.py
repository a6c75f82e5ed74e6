"""The service without HTTP: commands, log, relays and workflows on a real Postgres, with the simulated processors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import orjson
from psycopg.types.json import Json

from payloops.bootstrap.core import merchant_aggregate, order_aggregate
from payloops.commands import merchant as mc
from payloops.commands import order as oc
from payloops.commands.aggregates import OrderCommand
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.order_results import RecordCaptured
from payloops.commands.order_sync import RequestSync
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.events.base import Actor, Meta, Sealed
from payloops.events.order_state import Absent, Captured, Existing, OrderState, Sync, status
from payloops.events.store import EventStore
from payloops.projections.personal_data import PersonalData, seal_credentials
from payloops.sandbox.app import Sandbox
from payloops.values import new_id
from payloops.workflows_bridge.accounts import ProcessorAccounts
from payloops.workflows_bridge.activities import Activities
from payloops.workflows_bridge.contracts import CompletePayment
from payloops.workflows_bridge.embedded_relay import embedded_relay
from payloops.workflows_bridge.machines.schedule import Schedule
from payloops.workflows_bridge.outbox import completion
from payloops.workflows_bridge.relay import Relay, RelayOptions
from tests.clock import CLOCK

WAIT_S = 60.0
AMOUNT = 4999
RING = KeyRing.from_setting("a key of these tests that is long enough for a ring")

FAST = Schedule(
    action_timeout_s=1.0,
    action_asks_s=(0.1, 0.3, 0.6),
    doubt_asks_s=(0.05, 0.1, 0.2, 0.4),
    daily_s=0.5,
    quick_retries_s=(0.02, 0.04),
)
"""A day in a second."""
OPTIONS = RelayOptions(concurrency=16, lease_s=3.0, poll_s=0.2, failure_delay_min_s=0.02)


def meta(actor: str = "test") -> Meta:
    """The cause of a test's own commands."""
    return Meta(new_id(), Actor("system", actor), f"c-{uuid4().hex}")


@dataclass
class World:
    """All parts; a relay only runs inside ``relaying``."""

    dsn: str
    database: Database
    store: EventStore
    handler: CommandHandler
    personal: PersonalData
    sandbox: Sandbox
    http: aiohttp.ClientSession
    merchant_id: UUID
    stripe: str
    razorpay: str
    wait_s: float = WAIT_S
    """How long a state is waited for."""

    def __post_init__(self) -> None:
        self.orders = order_aggregate()
        self.clock = CLOCK

    # ----------------------------------------------------------------------------------------------------------- relays

    @asynccontextmanager
    async def relaying(
        self, schedule: Schedule = FAST, options: RelayOptions = OPTIONS, *, timeout_s: float = 0.5
    ) -> AsyncIterator[Relay]:
        """A relay as a process of its own has it: nothing of it is shared with the commands of the test."""
        async with (
            opened(self.dsn) as database,
            process(database) as (handler, personal),
            embedded_relay(
                database,
                handler,
                self.orders,
                ring=RING,
                personal=personal,
                clock=self.clock,
                api_bases={"stripe": self.sandbox.stripe_url, "razorpay": self.sandbox.razorpay_url},
                processor_timeout_s=timeout_s,
                options=options,
                schedule=schedule,
            ) as relay,
        ):
            yield relay

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[tuple[Activities, ProcessorAccounts]]:
        """The activities alone; no relay calls them."""
        bases = {"stripe": self.sandbox.stripe_url, "razorpay": self.sandbox.razorpay_url}
        accounts = ProcessorAccounts(self.database, RING, api_bases=bases, timeout_s=0.5)
        await accounts.open()
        activities = Activities(
            handler=self.handler, orders=self.orders, accounts=accounts, personal=self.personal, clock=self.clock
        )
        yield activities, accounts
        await accounts.close()

    # --------------------------------------------------------------------------------------------------------- commands

    async def execute(self, order_id: UUID, command: OrderCommand) -> Existing:
        executed = await self.handler.execute(self.orders, order_id, command)
        assert not isinstance(executed.state, Absent)
        return executed.state

    async def create(self, **changes: Any) -> UUID:
        order_id = new_id()
        command = oc.CreateOrder(
            order_id,
            self.clock.now(),
            meta(),
            self.merchant_id,
            True,
            AMOUNT,
            "USD",
            "cart-1",
            return_url="https://x.example/r",
        )
        await self.execute(order_id, replace(command, **changes))
        return order_id

    async def pay(self, order_id: UUID, token: str | None = None, processor: str = "stripe") -> None:
        options = (oc.ProcessorOption(processor, enabled=True, priority=1, test_mode=True),)
        command = oc.StartPayment(
            order_id, self.clock.now(), meta(), options, payment_method_type="card", payment_method_token=token
        )
        await self.execute(order_id, command)

    async def capture(self, order_id: UUID, amount: int | None = None) -> None:
        await self.execute(order_id, oc.CapturePayment(order_id, self.clock.now(), meta(), amount))

    async def cancel(self, order_id: UUID) -> None:
        await self.execute(order_id, oc.CancelOrder(order_id, self.clock.now(), meta(), "changed my mind"))

    async def refund(self, order_id: UUID, amount: int | None = None) -> UUID:
        refund_id = new_id()
        command = oc.RefundPayment(order_id, self.clock.now(), meta(), refund_id, amount)
        await self.execute(order_id, command)
        return refund_id

    async def sync(self, order_id: UUID) -> Sync:
        """Have the processor asked now; what it told, once the relay has asked."""
        state = await self.execute(order_id, RequestSync(order_id, self.clock.now(), meta()))
        asked = state.facts.sync
        assert asked is not None

        def answered(state: Existing) -> bool:
            sync = state.facts.sync
            return sync is not None and sync.number == asked.number and sync.answers is not None

        sync = (await self.until(order_id, answered, "the answer of the processor")).facts.sync
        assert sync is not None
        return sync

    async def paid(self, token: str | None = None, **changes: Any) -> UUID:
        """An order whose payment was asked for."""
        order_id = await self.create(**changes)
        await self.pay(order_id, token)
        return order_id

    async def complete(self, order_id: UUID, *, success: bool = True) -> None:
        """Word from the processor that the customer has acted, as the inbox forwards it."""
        told = CompletePayment(success, None, "evt_1")
        for row in completion(await self.state(order_id), told, event_id=new_id(), correlation_id="c-event"):
            await self.insert(row)

    async def report_captured(self, order_id: UUID, *, attempt: int, transaction_id: str) -> None:
        """What a webhook of the processor would report."""
        captured = RecordCaptured(
            order_id, self.clock.now(), meta(), attempt, AMOUNT, new_id(), processor_transaction_id=transaction_id
        )
        await self.execute(order_id, captured)

    async def insert(self, row: Mapping[str, Any]) -> None:
        """Write an outbox row and announce it, as an append does."""
        await self.rows("SELECT apply_outbox(%s::json, '{}')", Json([{"c": 0, **row}], dumps=orjson.dumps))
        await self.rows("SELECT pg_notify('payloops', '0 outbox')")

    async def authenticate(self, order_id: UUID, result: str) -> None:
        """The customer's 3-D Secure answer."""
        (payment,) = await self.payments(order_id)
        await self.control("POST", f"/payments/{payment['id']}/authenticate", {"result": result})

    # ------------------------------------------------------------------------------------------------------------ looks

    async def state(self, order_id: UUID) -> Existing:
        state = await self.handler.load(self.orders, order_id)
        assert not isinstance(state, Absent)
        return state

    async def reach(self, order_id: UUID, *wanted: str) -> Existing:
        """The order's state once its status is one of these."""
        return await self.until(order_id, lambda state: status(state) in wanted, str(wanted))

    async def until(self, order_id: UUID, reached: Callable[[Existing], bool], what: str = "that state") -> Existing:
        """The order's state once that holds."""

        def there(state: OrderState) -> bool:
            return not isinstance(state, Absent) and reached(state)

        state = await self.handler.wait_for(self.orders, order_id, there, timeout_s=self.wait_s)
        assert not isinstance(state, Absent)
        assert there(state), f"{status(state)} after {self.wait_s} s, wanted {what}"
        return state

    async def quiet(self) -> None:
        """Nothing is due or in hand any more; timers of the future may remain."""
        await eventually(self._is_quiet, "the outbox is quiet")

    async def _is_quiet(self) -> bool:
        return not await self.rows(
            "SELECT seq FROM outbox WHERE parked_at IS NULL"
            " AND (kind <> 'wake' OR due_at <= now() OR lease_until > now())"
        )

    async def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def history(self, order_id: UUID) -> list[str]:
        """The order's events, by class."""
        return [type(event).__name__ for event in await self.store.load(order_id)]

    # ---------------------------------------------------------------------------------------------------------- sandbox

    async def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self.http.request(method, f"{self.sandbox.stripe_url}/_sandbox{path}", json=body) as response:
            text = await response.text()
            assert response.status < 300, text
            return await response.json() if text else None

    async def fault(self, operation: str, mode: str, times: int = 1, account: str | None = None) -> None:
        fault = {"account": account or self.stripe, "operation": operation, "mode": mode, "times": times}
        await self.control("POST", "/faults", fault)

    async def ledger(self, account: str | None = None) -> Any:
        return await self.control("GET", f"/ledger?account={account or self.stripe}")

    async def payments(self, order_id: UUID, account: str | None = None) -> list[Any]:
        """What the processor has of the order."""
        ledger = await self.ledger(account)
        return [p for p in ledger["payments"] if p["metadata"].get("order_id") == str(order_id)]

    async def agree(self, order_id: UUID, account: str | None = None) -> list[Any]:
        """The log, the read tables and the processor's ledger tell the same story of the order's money."""
        state = await self.state(order_id)
        payments = await self.payments(order_id, account)
        captured = state.captured if isinstance(state, Captured) else 0
        given_back = state.refunded if isinstance(state, Captured) else 0
        surplus = [one for one in state.facts.surplus if one.refund is not None]
        captured += sum(one.amount for one in surplus)
        given_back += sum(one.amount for one in surplus if one.refund is not None and one.refund.status == "success")
        assert sum(p["amountCaptured"] for p in payments) == captured, payments
        refunded = [r for r in (await self.ledger(account))["refunds"] if r["status"] in ("succeeded", "processed")]
        mine = {p["id"] for p in payments}
        assert sum(r["amount"] for r in refunded if r["paymentId"] in mine) == given_back
        row = await self.rows(
            "SELECT status, amount_captured, amount_refunded, version FROM orders WHERE id = %s", order_id
        )
        own = state if isinstance(state, Captured) else None
        money = (own.captured, own.refunded) if own else (0, 0)
        assert row == [(status(state), *money, state.facts.version)]
        return payments


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until it holds; there is no event for it."""
    deadline_s = time.monotonic() + WAIT_S
    while not await condition():
        assert time.monotonic() < deadline_s, f"not within {WAIT_S} s: {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    """A pool of its own."""
    database = Database(dsn, min_size=1, max_size=6, application_name="payloops-relay")
    await database.open(wait_s=10.0)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def process(database: Database) -> AsyncIterator[tuple[CommandHandler, PersonalData]]:
    """A command handler as another process has it."""
    store = EventStore(database)
    await store.open()
    try:
        yield CommandHandler(store, ResponseKeeper(RING)), PersonalData(database, RING)
    finally:
        await store.close()


@asynccontextmanager
async def open_world(dsn: str, database: Database, sandbox: Sandbox) -> AsyncIterator[World]:
    """A world with one merchant, who has an account of its own at both processors."""
    store = EventStore(database)
    await store.open()
    personal = PersonalData(database, RING)
    handler = CommandHandler(store, ResponseKeeper(RING))
    merchant_id = new_id()
    async with aiohttp.ClientSession() as http:
        world = World(
            dsn=dsn,
            database=database,
            store=store,
            handler=handler,
            personal=personal,
            sandbox=sandbox,
            http=http,
            merchant_id=merchant_id,
            stripe=f"sk_test_{uuid4().hex}",
            razorpay=f"rzp_test_{uuid4().hex[:14]}",
        )
        try:
            await _register(world)
            yield world
        finally:
            await store.close()


async def _register(world: World) -> None:
    merchants, now, merchant_id = merchant_aggregate(), world.clock.now(), world.merchant_id
    _, key_row = world.personal.new_key(merchant_id)
    register = mc.RegisterMerchant(merchant_id, now, meta(), "Shop", Sealed("e"), str(merchant_id), Sealed("p"))
    await world.handler.execute(
        merchants, merchant_id, register, new=True, extra_rows={"merchant_keys": [dict(key_row)]}
    )
    await configure(world, "stripe", {"secretKey": world.stripe})
    await configure(world, "razorpay", {"keyId": world.razorpay, "keySecret": "razorpay-secret"})


async def configure(world: World, processor: str, credentials: Mapping[str, str]) -> None:
    """Give the merchant (new) credentials."""
    sealed = seal_credentials(RING, world.merchant_id, processor, credentials)
    command = mc.ConfigureProcessor(
        world.merchant_id,
        world.clock.now(),
        meta(),
        new_id(),
        processor,
        sealed,
        enabled=True,
        priority=1,
        test_mode=True,
    )
    await world.handler.execute(merchant_aggregate(), world.merchant_id, command)
