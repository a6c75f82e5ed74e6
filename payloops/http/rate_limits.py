"""How often what may be asked: who is counted, against which limit, and what a refusal says.

What guards passwords is counted in Postgres, exactly and for all processes. What guards capacity on the merchant API is
counted in each process by itself, for a round trip would cost more than what it guards.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from payloops.config import Settings
from payloops.config.parsing import Network
from payloops.errors import RateLimited
from payloops.http.client_address import client_address, client_name
from payloops.http.message import Request
from payloops.projections.rate_limits import SharedRateLimits

Limit = Literal["auth", "api-keys", "webhook-endpoints"]
"""What a route is limited by: the client's address ("auth"), else the merchant's own count of that name."""

WINDOW_S: Final = 60
LOGINS_PER_ACCOUNT: Final = 10
"""In any WINDOW_S, by the wire contract."""
AUTH_REQUESTS_PER_ADDRESS: Final = 30
"""In any WINDOW_S, by the wire contract."""
KEYS_KEPT_MAX: Final = 50_000


class KeyBucket:
    """A token bucket of one API key in this process: so many requests at once, and as many more each WINDOW_S."""

    __slots__ = ("_at_s", "_full", "_left", "_per_s")

    def __init__(self, per_window: int, now_s: float) -> None:
        self._full = float(per_window)
        self._per_s = per_window / WINDOW_S
        self._left = self._full
        self._at_s = now_s

    def take(self, now_s: float) -> None:
        """Let one request in; ``now_s`` is the event loop's clock. Raises RateLimited."""
        if now_s > self._at_s:
            self._left = min(self._full, self._left + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
        if self._left < 1.0:
            wait_s = math.ceil((1.0 - self._left) / self._per_s)
            raise refusal("Too many requests with this API key", "api-key", int(self._full), wait_s)
        self._left -= 1.0


class RateLimits:
    """All limits of one process. ``admit_…`` raise RateLimited, those in Postgres also Unavailable."""

    def __init__(self, shared: SharedRateLimits, settings: Settings) -> None:
        self._shared = shared
        self._trusted: Sequence[Network] = settings.trusted_proxies
        self._per_key = settings.api_key_requests_per_min
        self._per_merchant: dict[str, int] = {
            "api-keys": settings.api_keys_created_per_min,
            "webhook-endpoints": settings.webhook_endpoints_created_per_min,
        }
        self._buckets: OrderedDict[UUID, KeyBucket] = OrderedDict()

    async def admit_address(self, request: Request) -> None:
        """Count a request against its client's address."""
        forwarded_for = request.headers.getall("X-Forwarded-For", ())
        name = client_name(client_address(request.peer, forwarded_for, self._trusted))
        await self._admit("auth", f"auth:{name}", AUTH_REQUESTS_PER_ADDRESS, "Too many requests from this address")

    async def admit_login(self, email_digest: str) -> None:
        """Count a try of a password against the account, whether there is one or not."""
        await self._admit("login", f"login:{email_digest}", LOGINS_PER_ACCOUNT, "Too many tries to sign in")

    async def admit_merchant(self, limit: Limit, merchant_id: UUID) -> None:
        """Count what a merchant makes; creating a key costs a hash, an endpoint a place in every event's way."""
        await self._admit(limit, f"{limit}:{merchant_id}", self._per_merchant[limit], "Too many requests of this kind")

    def of_key(self, key_id: UUID, now_s: float) -> KeyBucket:
        """The bucket of an API key; those used by the last KEYS_KEPT_MAX keys to be verified are kept."""
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._buckets[key_id] = KeyBucket(self._per_key, now_s)
            if len(self._buckets) > KEYS_KEPT_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key_id)
        return bucket

    async def _admit(self, policy: str, bucket: str, limit: int, problem: str) -> None:
        taken = await self._shared.take(bucket, limit=limit, window_s=WINDOW_S)
        if not taken.allowed:
            raise refusal(problem, policy, limit, taken.wait_s)


def refusal(problem: str, policy: str, limit: int, wait_s: int) -> RateLimited:
    """The refusal of a limit of so many requests in WINDOW_S; the next one is let in after ``wait_s``."""
    wait_s = max(1, wait_s)
    return RateLimited(
        f"{problem}; try again in {wait_s} s.", retry_after_s=wait_s, policy=policy, limit=limit, window_s=WINDOW_S
    )
