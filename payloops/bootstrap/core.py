"""What every process stands on: the database, the log, the aggregates with all that their events write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from payloops.commands import aggregates
from payloops.commands.aggregates import (
    CheckoutSessions,
    Merchants,
    Orders,
    ProcessorEvents,
    WebhookDeliveries,
    WebhookEndpoints,
)
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.config import Settings
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.errors import ConfigurationError
from payloops.events.store import EventStore
from payloops.migrations import runner
from payloops.projections.checkout_sessions import CHECKOUT_PUBLIC_EVENTS, CHECKOUT_SESSIONS
from payloops.projections.merchants import API_KEYS, MERCHANTS, PROCESSOR_CONFIGS
from payloops.projections.order_stats import ORDER_STATS
from payloops.projections.orders import ORDERS
from payloops.projections.personal_data import PersonalData
from payloops.projections.process_metrics import ProcessMetrics
from payloops.projections.processor_events import PROCESSOR_EVENTS
from payloops.projections.public_events import PUBLIC_EVENTS
from payloops.projections.refunds import REFUNDS
from payloops.projections.transactions import TRANSACTIONS
from payloops.projections.webhook_deliveries import WEBHOOK_ATTEMPTS, WEBHOOK_DELIVERIES
from payloops.projections.webhook_endpoints import WEBHOOK_ENDPOINTS
from payloops.telemetry.metrics import METRICS
from payloops.values import Clock, SystemClock
from payloops.workflows_bridge.checkout import CheckoutKeeper
from payloops.workflows_bridge.checkout_outbox import CHECKOUT_OUTBOX
from payloops.workflows_bridge.deliveries.outbox import DELIVERY_OUTBOX
from payloops.workflows_bridge.inbox.outbox import INBOX_OUTBOX
from payloops.workflows_bridge.outbox import OUTBOX

MERCHANT_PROJECTIONS: Final = (MERCHANTS, API_KEYS, PROCESSOR_CONFIGS)
DELIVERY_PROJECTIONS: Final = (WEBHOOK_DELIVERIES, WEBHOOK_ATTEMPTS)
ORDER_PROJECTIONS: Final = (ORDERS, TRANSACTIONS, REFUNDS, ORDER_STATS, PUBLIC_EVENTS)
DATABASE_WAIT_S: Final = 20.0
"""How long a part that starts waits for the database: longer than a crash recovery of an embedded one."""


@dataclass(frozen=True, slots=True)
class Core:
    """What every process of the service stands on."""

    settings: Settings
    clock: Clock
    database: Database
    store: EventStore
    handler: CommandHandler
    orders: Orders
    merchants: Merchants
    checkout_sessions: CheckoutSessions
    webhook_endpoints: WebhookEndpoints
    webhook_deliveries: WebhookDeliveries
    ring: KeyRing
    personal: PersonalData
    metrics: ProcessMetrics


def order_aggregate() -> Orders:
    """Orders with all that their events write."""
    return aggregates.orders(*ORDER_PROJECTIONS, OUTBOX)


def checkout_session_aggregate() -> CheckoutSessions:
    """Checkout sessions with all that their events write."""
    return aggregates.checkout_sessions(CHECKOUT_SESSIONS, CHECKOUT_PUBLIC_EVENTS, CHECKOUT_OUTBOX)


def merchant_aggregate() -> Merchants:
    """Merchants with all that their events write."""
    return aggregates.merchants(*MERCHANT_PROJECTIONS)


def webhook_endpoint_aggregate() -> WebhookEndpoints:
    """Webhook endpoints with all that their events write."""
    return aggregates.webhook_endpoints(WEBHOOK_ENDPOINTS)


def webhook_delivery_aggregate() -> WebhookDeliveries:
    """Webhook deliveries with all that their events write."""
    return aggregates.webhook_deliveries(*DELIVERY_PROJECTIONS, DELIVERY_OUTBOX)


def processor_event_aggregate() -> ProcessorEvents:
    """Events of the inbox with all that they write."""
    return aggregates.processor_events(PROCESSOR_EVENTS, INBOX_OUTBOX)


def checkout_keeper(base: Core) -> CheckoutKeeper:
    """What keeps checkout sessions in line with their orders and with the time."""
    return CheckoutKeeper(base.handler, base.orders, base.checkout_sessions, base.clock)


@asynccontextmanager
async def core(settings: Settings, part: str, *, clock: Clock | None = None) -> AsyncIterator[Core]:
    """The core over ``settings.database_url``, for the length of the block.

    Raises ConfigurationError (the schema is not this release's), PoolTimeout (no database within DATABASE_WAIT_S).
    """
    database = Database(
        settings.database_url, min_size=2, max_size=settings.db_pool_max, application_name=f"payloops-{part}"
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        await database.open(wait_s=DATABASE_WAIT_S)
        await require_schema(database)
        store = EventStore(database, queue_max=settings.append_queue_max)
        stack.push_async_callback(store.close)
        await store.open()
        ring = KeyRing.from_setting(settings.encryption_key)
        metrics = ProcessMetrics(database, METRICS, part)
        stack.push_async_callback(metrics.close)
        await metrics.open()
        yield Core(
            settings=settings,
            clock=clock or SystemClock(),
            database=database,
            store=store,
            handler=CommandHandler(store, ResponseKeeper(ring)),
            orders=order_aggregate(),
            merchants=merchant_aggregate(),
            checkout_sessions=checkout_session_aggregate(),
            webhook_endpoints=webhook_endpoint_aggregate(),
            webhook_deliveries=webhook_delivery_aggregate(),
            ring=ring,
            personal=PersonalData(database, ring),
            metrics=metrics,
        )


async def require_schema(database: Database) -> None:
    """Raises ConfigurationError when the database is not at this release's schema; says what to run."""
    state = await runner.check_schema(database)
    if not state.ok:
        raise ConfigurationError(state.message)
