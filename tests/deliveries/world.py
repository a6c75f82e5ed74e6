"""Merchants, endpoints, orders with public events, and relays that deliver them: a real Postgres, no processors."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from payloops.bootstrap.core import order_aggregate, webhook_delivery_aggregate, webhook_endpoint_aggregate
from payloops.commands import order as oc
from payloops.commands import webhook_delivery as dc
from payloops.commands import webhook_endpoint as ec
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.order_reports import PublishEvent
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.events.base import Actor, Meta
from payloops.events.store import EventStore
from payloops.events.webhook_delivery import delivery_id, delivery_workflow_id
from payloops.events.webhook_delivery_state import Absent, Existing, WebhookDeliveryState, has_ended, status
from payloops.events.webhook_event_types import EVENT_TYPES, SAMPLE_TYPE
from payloops.projections.personal_data import PersonalData, seal_webhook_secret
from payloops.values import Clock, new_id
from payloops.workflows_bridge.deliveries.health import Limits
from payloops.workflows_bridge.deliveries.parts import Deliveries, DeliveryOptions, open_deliveries
from payloops.workflows_bridge.embedded_relay import embedded_relay
from payloops.workflows_bridge.machines.schedule import DeliverySchedule, Schedule
from payloops.workflows_bridge.relay import Relay, RelayOptions
from tests.clock import CLOCK
from tests.workflows.world import RING

WAIT_S = 60.0
NOWHERE = "http://127.0.0.1:9"
"""No processor is asked for anything here."""

FAST = DeliverySchedule(steps_s=(0.1, 0.2, 0.3, 0.4, 0.5), turn_wait_s=20.0, room_wait_s=0.05)
"""A day in two seconds; whose turn it is to come is waited for as long as a test may take."""
LIMITS = Limits(failures_max=10, open_min_s=0.5, open_max_s=2.0, probe_s=3.0)
OPTIONS = RelayOptions(concurrency=16, lease_s=3.0, poll_s=0.2, failure_delay_min_s=0.02)
DELIVERING = DeliveryOptions(allow_loopback=True, https_only=False, schedule=FAST, timeout_s=1.0, limits=LIMITS)


def meta(actor: str = "test") -> Meta:
    return Meta(new_id(), Actor("system", actor), f"c-{secrets.token_hex(8)}")


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Endpoint:
    """One that was made."""

    id: UUID
    secret: str


@dataclass
class Shop:
    """A merchant with a data key."""

    id: UUID
    endpoints: list[Endpoint] = field(default_factory=list)


@dataclass
class World:
    """All parts; a relay only runs inside ``relaying``."""

    dsn: str
    database: Database
    store: EventStore
    handler: CommandHandler
    personal: PersonalData
    ring: KeyRing = RING

    def __post_init__(self) -> None:
        self.orders = order_aggregate()
        self.deliveries = webhook_delivery_aggregate()
        self.endpoints = webhook_endpoint_aggregate()
        self.clock = CLOCK

    # ----------------------------------------------------------------------------------------------------------- relays

    @asynccontextmanager
    async def relaying(
        self, delivering: DeliveryOptions = DELIVERING, options: RelayOptions = OPTIONS
    ) -> AsyncIterator[Relay]:
        """A relay as a process of its own has it."""
        async with AsyncExitStack() as stack:
            database = Database(self.dsn, min_size=1, max_size=6, application_name="payloops-relay")
            await database.open(wait_s=10.0)
            stack.push_async_callback(database.close)
            yield await stack.enter_async_context(relaying(database, delivering, options))

    @asynccontextmanager
    async def delivering(self, delivering: DeliveryOptions = DELIVERING) -> AsyncIterator[Deliveries]:
        """The activities alone; no relay calls them."""
        async with opened_deliveries(self.database, self.handler, self.personal, delivering) as parts:
            yield parts

    # --------------------------------------------------------------------------------------------------------- commands

    async def shop(self) -> Shop:
        merchant_id = new_id()
        _, row = self.personal.new_key(merchant_id)
        async with self.database.connection() as connection:
            await connection.execute(
                "INSERT INTO merchant_keys (merchant_id, wrapped) VALUES (%s, %s)", (merchant_id, row["wrapped"])
            )
        return Shop(merchant_id)

    async def endpoint(self, shop: Shop, url: str, *types: str, is_default: bool = False) -> Endpoint:
        endpoint, secret = new_id(), new_secret()
        sealed = seal_webhook_secret(self.ring, shop.id, endpoint, secret)
        command = ec.CreateEndpoint(
            endpoint, shop.id, self.clock.now(), meta(), url, types, sealed, is_default=is_default
        )
        await self.handler.execute(self.endpoints, endpoint, command)
        made = Endpoint(endpoint, secret)
        shop.endpoints.append(made)
        return made

    async def change(self, shop: Shop, endpoint: Endpoint, **changes: Any) -> None:
        command = ec.ChangeEndpoint(endpoint.id, shop.id, self.clock.now(), meta(), **changes)
        await self.handler.execute(self.endpoints, endpoint.id, command)

    async def rotate(self, shop: Shop, endpoint: Endpoint, *, overlap: timedelta = timedelta(days=1)) -> str:
        """The endpoint's new secret; the one before it goes on signing for a day, or for ``overlap``."""
        secret, now = new_secret(), self.clock.now()
        sealed = seal_webhook_secret(self.ring, shop.id, endpoint.id, secret)
        command = ec.RotateSecret(endpoint.id, shop.id, now, meta(), sealed, now + overlap)
        await self.handler.execute(self.endpoints, endpoint.id, command)
        return secret

    async def remove(self, shop: Shop, endpoint: Endpoint) -> None:
        command = ec.RemoveEndpoint(endpoint.id, shop.id, self.clock.now(), meta())
        await self.handler.execute(self.endpoints, endpoint.id, command)

    async def order(self, shop: Shop, *, order_id: UUID | None = None, **changes: Any) -> UUID:
        order_id = order_id or new_id()
        command = oc.CreateOrder(order_id, self.clock.now(), meta(), shop.id, True, 4999, "USD", "cart-1")
        await self.handler.execute(self.orders, order_id, replace(command, **changes))
        return order_id

    async def publish(self, order_id: UUID, *types: str, payload: dict[str, Any] | None = None) -> list[UUID]:
        """Public events of the order, in this order."""
        events = []
        for event_type in types:
            command = PublishEvent(order_id, self.clock.now(), meta(), event_type, payload)
            executed = await self.handler.execute(self.orders, order_id, command)
            events.append(executed.events[0])
        rows = await self.rows("SELECT id FROM public_events WHERE stream_id = %s ORDER BY sequence", order_id)
        return [row[0] for row in rows[-len(events) :]]

    async def told(self, shop: Shop, count: int = 1) -> UUID:
        """An order with so many public events."""
        order_id = await self.order(shop)
        await self.publish(order_id, *EVENT_TYPES[:count])
        return order_id

    async def sample(self, shop: Shop, endpoint: Endpoint, url: str, document: dict[str, Any]) -> UUID:
        """A delivery of something that is no event."""
        event_id = UUID(document["id"])
        made = delivery_id(event_id, endpoint.id)
        command = dc.ScheduleDelivery(
            made,
            shop.id,
            self.clock.now(),
            meta(),
            endpoint.id,
            url,
            None,
            event_id,
            SAMPLE_TYPE,
            1,
            delivery_workflow_id(made),
            document,
        )
        await self.handler.execute(self.deliveries, made, command)
        return made

    async def retry(self, shop: Shop, delivery: UUID) -> None:
        command = dc.RetryDelivery(delivery, shop.id, self.clock.now(), meta())
        await self.handler.execute(self.deliveries, delivery, command)

    async def insert(self, key: str, kind: str, payload: dict[str, Any]) -> None:
        """An outbox row, announced as an append does."""
        row = {"c": 0, "id": str(new_id()), "key": key, "kind": kind, "payload": payload, "correlation_id": "c-1"}
        await self.rows("SELECT apply_outbox(%s::json, '{}')", json.dumps([row]))
        await self.rows("SELECT pg_notify('payloops', '0 outbox')")

    # ------------------------------------------------------------------------------------------------------------ looks

    async def delivery(self, delivery: UUID) -> Existing:
        state = await self.handler.load(self.deliveries, delivery)
        assert not isinstance(state, Absent)
        return state

    async def until(
        self, delivery: UUID, reached: Callable[[Existing], bool], what: str = "that state", *, within_s: float = WAIT_S
    ) -> Existing:
        def there(state: WebhookDeliveryState) -> bool:
            return not isinstance(state, Absent) and reached(state)

        state = await self.handler.wait_for(self.deliveries, delivery, there, timeout_s=within_s)
        assert not isinstance(state, Absent)
        assert there(state), f"{status(state)} after {within_s} s, wanted {what}: {state}"
        return state

    async def ended(self, delivery: UUID, *, within_s: float = WAIT_S) -> Existing:
        return await self.until(delivery, has_ended, "its end", within_s=within_s)

    async def deliveries_of(self, shop: Shop) -> list[UUID]:
        """By order and sequence."""
        rows = await self.rows(
            "SELECT id FROM webhook_deliveries WHERE merchant_id = %s ORDER BY order_id, sequence, endpoint_id", shop.id
        )
        return [row[0] for row in rows]

    async def all_ended(self, shop: Shop, count: int, *, within_s: float = WAIT_S) -> list[Existing]:
        """The shop's deliveries, once there are so many and all have ended."""

        async def over() -> bool:
            ((total, open_ones),) = await self.rows(
                "SELECT count(*), count(*) FILTER (WHERE status NOT IN ('delivered', 'failed'))"
                " FROM webhook_deliveries WHERE merchant_id = %s",
                shop.id,
            )
            return bool(total >= count and open_ones == 0)

        await eventually(over, f"{count} deliveries have ended", within_s=within_s)
        return [await self.delivery(one) for one in await self.deliveries_of(shop)]

    async def quiet(self) -> None:
        """Nothing is due or in hand any more; timers of the future may remain."""

        async def is_quiet() -> bool:
            return not await self.rows(
                "SELECT seq FROM outbox WHERE parked_at IS NULL"
                " AND (kind <> 'wake' OR due_at <= now() OR lease_until > now())"
            )

        await eventually(is_quiet, "the outbox is quiet")
        assert await self.rows("SELECT kind, last_error FROM outbox WHERE parked_at IS NOT NULL") == []

    async def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def history(self, stream_id: UUID) -> list[str]:
        return [type(event).__name__ for event in await self.store.load(stream_id)]


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, *, within_s: float = WAIT_S) -> None:
    """Wait until it holds; there is no event for it."""
    deadline_s = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def opened_deliveries(
    database: Database,
    handler: CommandHandler,
    personal: PersonalData,
    options: DeliveryOptions,
    clock: Clock | None = None,
) -> AsyncIterator[Deliveries]:
    """The parts over one database."""
    async with open_deliveries(
        database,
        handler,
        orders=order_aggregate(),
        deliveries=webhook_delivery_aggregate(),
        endpoints=webhook_endpoint_aggregate(),
        ring=RING,
        personal=personal,
        clock=clock or CLOCK,
        options=options,
    ) as parts:
        yield parts


@asynccontextmanager
async def relaying(
    database: Database, delivering: DeliveryOptions = DELIVERING, options: RelayOptions = OPTIONS
) -> AsyncIterator[Relay]:
    """A relay that delivers, over a database of its own process."""
    store = EventStore(database)
    await store.open()
    handler, personal = CommandHandler(store, ResponseKeeper(RING)), PersonalData(database, RING)
    try:
        async with (
            opened_deliveries(database, handler, personal, delivering) as parts,
            embedded_relay(
                database,
                handler,
                order_aggregate(),
                ring=RING,
                personal=personal,
                clock=CLOCK,
                api_bases={"stripe": NOWHERE, "razorpay": NOWHERE},
                options=options,
                schedule=Schedule(delivery=delivering.schedule),
                tasks=parts.tasks,
                others=parts.activities,
            ) as relay,
        ):
            yield relay
    finally:
        await store.close()


@asynccontextmanager
async def open_world(dsn: str, database: Database) -> AsyncIterator[World]:
    store = EventStore(database)
    await store.open()
    try:
        yield World(dsn, database, store, CommandHandler(store, ResponseKeeper(RING)), PersonalData(database, RING))
    finally:
        await store.close()
