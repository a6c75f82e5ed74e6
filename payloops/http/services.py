"""What the handlers work with. bootstrap makes it; tests make it the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from payloops.commands.aggregates import (
    CheckoutSessions,
    Merchants,
    Orders,
    ProcessorEvents,
    WebhookDeliveries,
    WebhookEndpoints,
)
from payloops.commands.handlers import CommandHandler
from payloops.commands.webhook_setup import WebhookRegistrar
from payloops.config import Settings
from payloops.crypto import HashingPool, JwtSigner, KeyRing, VerifiedKeyCache
from payloops.events.base import Meta
from payloops.http.auth import Authenticator, Caller
from payloops.http.rate_limits import RateLimits
from payloops.projections.analytics import Analytics
from payloops.projections.checkout_sessions import CheckoutViews
from payloops.projections.key_uses import KeyUses
from payloops.projections.personal_data import PersonalData
from payloops.projections.process_metrics import ProcessMetrics
from payloops.projections.processor_event_views import InboxViews
from payloops.projections.tokens import Tokens
from payloops.projections.views import Views
from payloops.projections.webhook_secrets import WebhookSecrets
from payloops.projections.webhook_views import WebhookViews
from payloops.values import Clock

KEY_TTL_S = 300.0
"""How long an API key's secret counts as verified. That the key still holds is checked in every request."""
KEYS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How a part is: ``down`` means that it can't do its work."""

    status: Literal["ok", "degraded", "down"]
    detail: str


ReadinessCheck: TypeAlias = Callable[[], Awaitable[CheckResult]]


async def no_wake(_workflow_ids: Sequence[str]) -> None:
    """The embedded engine's wakes are rows of the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """``checks`` are the parts of /health/ready by name; ``database`` and ``schema`` decide about 503."""

    settings: Settings
    clock: Clock
    handler: CommandHandler
    orders: Orders
    merchants: Merchants
    webhook_endpoints: WebhookEndpoints
    webhook_deliveries: WebhookDeliveries
    webhooks: WebhookViews
    checkout_sessions: CheckoutSessions
    checkout_views: CheckoutViews
    settle_checkout: Callable[[UUID, Meta], Awaitable[object]]
    """Bring a session in line with its order and with the time; raises VersionConflict, Unavailable."""
    stripe_amount: Callable[[int, str], int]
    """Minor units of a currency as Stripe counts them; raises AmountMismatch."""
    views: Views
    personal: PersonalData
    ring: KeyRing
    hashing: HashingPool
    jwt: JwtSigner
    tokens: Tokens
    processor_events: ProcessorEvents
    inbox: InboxViews
    analytics: Analytics
    webhook_secrets: WebhookSecrets
    webhook_registrar: WebhookRegistrar
    rate_limits: RateLimits
    key_uses: KeyUses
    process_metrics: ProcessMetrics
    key_cache: VerifiedKeyCache[Caller] = field(
        default_factory=lambda: VerifiedKeyCache(ttl_s=KEY_TTL_S, max_entries=KEYS_MAX)
    )
    checks: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    next_wake: Callable[[Sequence[str]], Awaitable[datetime | None]] = no_wake
    """When the first of these workflows goes on by itself, if their engine knows that and no table does. It answers
    within a moment; None when it can't."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is about to stop: who waits for an outcome answers with what is known."""

    def authenticator(self) -> Authenticator:
        """The authenticator over these parts."""
        return Authenticator(
            views=self.views,
            ring=self.ring,
            hashing=self.hashing,
            jwt=self.jwt,
            tokens=self.tokens,
            rate_limits=self.rate_limits,
            key_cache=self.key_cache,
            clock=self.clock,
        )
