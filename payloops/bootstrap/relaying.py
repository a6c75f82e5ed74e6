"""The relay with its engine and what it does besides, and its process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from payloops.bootstrap.core import Core, checkout_keeper, core
from payloops.bootstrap.running import run_until_stopped
from payloops.config import Settings
from payloops.errors import Unavailable
from payloops.events.store import EventStore
from payloops.projections.audit_log import AuditLog
from payloops.values import Clock
from payloops.workflows_bridge.checkout import checkout_task
from payloops.workflows_bridge.contracts import Kind

if TYPE_CHECKING:
    from payloops.workflows_bridge.deliveries.parts import Deliveries
    from payloops.workflows_bridge.engines.base import Engine
    from payloops.workflows_bridge.relay import Relay

_log = logging.getLogger(__name__)


IDEMPOTENCY_KEPT_S: Final = 80 * 3600.0
"""Longer than the 72 hours that clients are promised."""
CLEAN_EVERY_S: Final = 60.0
CLEAN_ROWS_MAX: Final = 5_000


@asynccontextmanager
async def relay(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Relay]:
    """A relay with the engine that the settings name, running for the length of the block. Raises as ``core``."""
    # Here, so that an API process does not spend half a second on the processors' SDKs.
    from payloops.workflows_bridge.embedded_relay import embedded_relay
    from payloops.workflows_bridge.relay import RelayOptions

    async with core(settings, "relay", clock=clock) as base, outbound_webhooks(base) as webhooks:
        options = RelayOptions(concurrency=settings.relay_concurrency, lease_s=settings.outbox_lease_s)
        async with embedded_relay(
            base.database,
            base.handler,
            base.orders,
            ring=base.ring,
            personal=base.personal,
            clock=base.clock,
            api_bases={"stripe": settings.stripe_api_base, "razorpay": settings.razorpay_api_base},
            processor_timeout_s=settings.processor_timeout_s,
            options=options,
            tasks={Kind.CHECKOUT: checkout_task(checkout_keeper(base)), **webhooks.tasks},
            others=webhooks.activities,
            engine=temporal_engine(settings, "relay") if settings.workflow_engine == "temporal" else None,
        ) as running:
            cleaner = asyncio.create_task(_forget_old_keys(base.store), name="idempotency-cleaner")
            adopting = asyncio.create_task(_catch_up(base), name="webhook-catch-up")
            indexer = asyncio.create_task(AuditLog(base.database).run(), name="audit-index")
            try:
                yield running
            finally:
                cleaner.cancel()
                adopting.cancel()
                indexer.cancel()
                await asyncio.gather(cleaner, adopting, indexer, return_exceptions=True)


@asynccontextmanager
async def outbound_webhooks(base: Core) -> AsyncIterator[Deliveries]:
    """What sends webhooks, for the length of the block."""
    from payloops.workflows_bridge.deliveries.parts import DeliveryOptions, open_deliveries

    options = DeliveryOptions(allow_loopback=base.settings.webhook_allow_loopback, https_only=base.settings.production)
    async with open_deliveries(
        base.database,
        base.handler,
        orders=base.orders,
        deliveries=base.webhook_deliveries,
        endpoints=base.webhook_endpoints,
        ring=base.ring,
        personal=base.personal,
        clock=base.clock,
        options=options,
    ) as deliveries:
        yield deliveries


async def _catch_up(base: Core) -> None:
    """What there was before there were webhooks: once, as soon as the database can serve."""
    from payloops.projections.public_events_backfill import PublicEventsBackfill
    from payloops.workflows_bridge.deliveries.adoption import Adoption

    adoption = Adoption(
        base.database,
        base.handler,
        merchants=base.merchants,
        endpoints=base.webhook_endpoints,
        ring=base.ring,
        clock=base.clock,
    )
    while True:
        try:
            await PublicEventsBackfill(base.database, base.store).run()
            await adoption.run()
            return
        except Unavailable as problem:
            _log.warning("earlier orders and webhookUrls are not taken up yet: %s", problem.message)
        await asyncio.sleep(CLEAN_EVERY_S)


async def _forget_old_keys(store: EventStore) -> None:
    while True:
        try:
            await store.forget_idempotency_keys(older_than_s=IDEMPOTENCY_KEPT_S, limit=CLEAN_ROWS_MAX)
        except Unavailable as problem:
            _log.warning("old idempotency keys were not deleted: %s", problem.message)
        await asyncio.sleep(CLEAN_EVERY_S)


def temporal_engine(settings: Settings, part: str) -> Engine:
    """The engine that hands workflows to Temporal; ``part`` names this process there. Raises ConfigurationError."""
    from payloops.workflows_bridge.engines.temporal import TemporalEngine
    from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
    from payloops.workflows_bridge.temporal.preparation import Preparation

    return TemporalEngine(Preparation(Connection(ServerAddress.from_settings(settings), part=part)))


def run_relay(settings: Settings) -> int:
    """The outbox relay, until SIGTERM or SIGINT; then it gives its leases back."""

    async def serve(stopping: asyncio.Event) -> None:
        async with relay(settings):
            _log.info("the relay runs on %s, with %d slots", settings.workflow_engine, settings.relay_concurrency)
            await stopping.wait()

    return run_until_stopped(serve)
