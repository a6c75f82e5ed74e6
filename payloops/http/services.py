"""What the handlers work with. bootstrap makes it; tests make it the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from payloops.commands.aggregates import Merchants, Orders
from payloops.commands.handlers import CommandHandler
from payloops.config import Settings
from payloops.crypto import HashingPool, JwtSigner, KeyRing, VerifiedKeyCache
from payloops.http.auth import Authenticator, Caller
from payloops.projections.key_uses import KeyUses
from payloops.projections.personal_data import PersonalData
from payloops.projections.views import Views
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """``checks`` are the parts of /health/ready by name; ``database`` and ``schema`` decide about 503."""

    settings: Settings
    clock: Clock
    handler: CommandHandler
    orders: Orders
    merchants: Merchants
    views: Views
    personal: PersonalData
    ring: KeyRing
    hashing: HashingPool
    jwt: JwtSigner
    key_uses: KeyUses
    key_cache: VerifiedKeyCache[Caller] = field(
        default_factory=lambda: VerifiedKeyCache(ttl_s=KEY_TTL_S, max_entries=KEYS_MAX)
    )
    checks: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is about to stop: who waits for an outcome answers with what is known."""

    def authenticator(self) -> Authenticator:
        """The authenticator over these parts."""
        return Authenticator(
            views=self.views,
            ring=self.ring,
            hashing=self.hashing,
            jwt=self.jwt,
            key_cache=self.key_cache,
            clock=self.clock,
        )
