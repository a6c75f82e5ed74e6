"""The API: what its handlers work with, and its process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from payloops.bootstrap.core import checkout_keeper, core, processor_event_aggregate
from payloops.bootstrap.engine_view import engine_view
from payloops.bootstrap.readiness import database_check, outbox_check, projections_check, schema_check
from payloops.bootstrap.running import run_until_stopped
from payloops.config import Settings
from payloops.crypto import HashingPool, JwtSigner
from payloops.http.app import build_server
from payloops.http.rate_limits import RateLimits
from payloops.http.services import Services
from payloops.projections.analytics import Analytics
from payloops.projections.checkout_sessions import CheckoutViews
from payloops.projections.key_uses import KeyUses
from payloops.projections.processor_event_views import InboxViews
from payloops.projections.rate_limits import SharedRateLimits
from payloops.projections.tokens import Tokens
from payloops.projections.views import Views
from payloops.projections.webhook_secrets import WebhookSecrets
from payloops.projections.webhook_views import WebhookViews
from payloops.values import Clock
from payloops.workflows_bridge.outbox_table import OutboxTable
from payloops.workflows_bridge.processors.amounts import to_stripe
from payloops.workflows_bridge.webhook_registrar import ProcessorWebhooks

_log = logging.getLogger(__name__)


JWT_ISSUER: Final = "payloops"
JWT_AUDIENCE: Final = "payloops-dashboard"


@asynccontextmanager
async def services(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Services]:
    """What the API's handlers work with, for the length of the block. Raises as ``core``."""
    async with core(settings, "api", clock=clock) as base, AsyncExitStack() as stack:
        hashing = HashingPool()
        stack.callback(hashing.close)
        views = Views(base.database)
        stack.push_async_callback(views.close)
        key_uses = KeyUses(base.database, base.clock)
        stack.push_async_callback(key_uses.close)
        await key_uses.open()
        outbox = OutboxTable(base.database)
        stack.push_async_callback(outbox.close)
        webhooks = ProcessorWebhooks(stripe_api_base=settings.stripe_api_base, timeout_s=settings.processor_timeout_s)
        stack.push_async_callback(webhooks.close)
        analytics = Analytics(base.database, base.personal, base.store.watch)
        stack.push_async_callback(analytics.close)
        engine = engine_view(settings)
        yield Services(
            settings=settings,
            clock=base.clock,
            handler=base.handler,
            orders=base.orders,
            merchants=base.merchants,
            webhook_endpoints=base.webhook_endpoints,
            webhook_deliveries=base.webhook_deliveries,
            webhooks=WebhookViews(base.database),
            checkout_sessions=base.checkout_sessions,
            checkout_views=CheckoutViews(base.database),
            settle_checkout=checkout_keeper(base).settle,
            stripe_amount=to_stripe,
            views=views,
            personal=base.personal,
            ring=base.ring,
            hashing=hashing,
            jwt=JwtSigner(
                settings.jwt_secret,
                expires_in_s=settings.jwt_expires_in_s,
                issuer=JWT_ISSUER,
                audience=JWT_AUDIENCE,
            ),
            tokens=Tokens(base.database),
            processor_events=processor_event_aggregate(),
            inbox=InboxViews(base.database, base.personal),
            analytics=analytics,
            webhook_secrets=WebhookSecrets(base.database, base.ring),
            webhook_registrar=webhooks,
            rate_limits=RateLimits(SharedRateLimits(base.database), settings),
            key_uses=key_uses,
            process_metrics=base.metrics,
            checks={
                "database": lambda: database_check(base),
                "schema": lambda: schema_check(base),
                "projections": projections_check,
                "outbox": lambda: outbox_check(outbox),
                "engine": engine.check,
            },
            next_wake=engine.next_wake,
        )


def run_api(settings: Settings) -> int:
    """The HTTP API, until SIGTERM or SIGINT; then what was accepted is finished."""

    async def serve(stopping: asyncio.Event) -> None:
        async with services(settings) as parts:
            server = build_server(parts)
            await server.start(settings.host, settings.port, share_port=True)
            _log.info("the API listens on %s port %d", settings.host, settings.port)
            await stopping.wait()
            parts.stopping.set()
            await server.stop()

    return run_until_stopped(serve)
