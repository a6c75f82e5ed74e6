"""Endpoints as the read table has them at this moment: nothing is kept, so that disabling one counts at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from payloops.crypto import KeyRing
from payloops.db import Database, load_sql
from payloops.events.webhook_delivery_state import DeliveryFacts
from payloops.events.webhook_event_types import wants
from payloops.projections.personal_data import open_webhook_secret
from payloops.projections.reading import fetch

SQL: Final = load_sql("payloops.workflows_bridge.deliveries", "receivers")
WANTING_MAX: Final = 100
"""More than a merchant may have."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """An endpoint on behalf of one delivery. ``secrets`` sign, the newest first."""

    url: str
    version: int
    secrets: tuple[str, ...] = field(repr=False)
    failures: int
    """In a row, up to now."""
    circuit_broken: bool
    """It failed too often: open, or to be tried by one delivery at a time."""
    open_for_s: float
    """How long nothing is sent there; not above 0 once one may try."""
    others_first: bool
    """A delivery of the same order goes before this one."""


@dataclass(frozen=True, slots=True)
class Wanting:
    """An endpoint that wants an event."""

    endpoint_id: UUID
    url: str


@dataclass(frozen=True, slots=True)
class Signing:
    """The endpoint whose secret signs what an external worker sends."""

    url: str
    enabled: bool
    secrets: tuple[str, ...] = field(repr=False)


class Receivers:
    """The queries over one database. All raise Unavailable; DecryptionError when ENCRYPTION_KEY opens no secret."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def of_delivery(self, facts: DeliveryFacts) -> Receiver | None:
        """The delivery's endpoint; None when it is disabled, or removed."""
        parameters = {
            "endpoint_id": facts.endpoint_id,
            "merchant_id": facts.merchant_id,
            "order_id": facts.order_id,
            "sequence": facts.sequence,
        }
        rows = await fetch(self._database, SQL["for_delivery"], parameters)
        if not rows:
            return None
        url, enabled, version, secret, previous, failures, circuit_broken, open_for_s, others_first = rows[0]
        if not enabled or secret is None:
            return None
        return Receiver(
            url=url,
            version=version,
            secrets=self._open(facts.merchant_id, facts.endpoint_id, secret, previous),
            failures=failures,
            circuit_broken=circuit_broken,
            open_for_s=open_for_s or 0.0,
            others_first=others_first,
        )

    async def wanting(self, merchant_id: UUID, event_type: str) -> list[Wanting]:
        """The endpoints that want events of this type."""
        parameters = {"merchant_id": merchant_id, "limit": WANTING_MAX}
        rows = await fetch(self._database, SQL["wanting"], parameters)
        return [Wanting(endpoint_id, url) for endpoint_id, url, types in rows if wants(types, event_type)]

    async def signing(self, merchant_id: UUID, url: str) -> Signing | None:
        """Whose secret signs what goes to ``url``: that endpoint's, else the default one's; None without any."""
        rows = await fetch(self._database, SQL["signing"], {"merchant_id": merchant_id, "url": url})
        if not rows or rows[0][3] is None:
            return None
        endpoint_id, known_url, enabled, secret, previous = rows[0]
        return Signing(known_url, enabled, self._open(merchant_id, endpoint_id, secret, previous))

    async def default(self, merchant_id: UUID) -> tuple[str, str] | None:
        """URL and secret of the merchant's ``webhookUrl``, else of its newest endpoint; None without an enabled one."""
        rows = await fetch(self._database, SQL["default"], {"merchant_id": merchant_id})
        if not rows or rows[0][2] is None:
            return None
        endpoint_id, url, secret = rows[0]
        return url, open_webhook_secret(self._ring, merchant_id, endpoint_id, secret)

    def _open(self, merchant_id: UUID, endpoint_id: UUID, secret: str, previous: str | None) -> tuple[str, ...]:
        sealed = (secret,) if previous is None else (secret, previous)
        return tuple(open_webhook_secret(self._ring, merchant_id, endpoint_id, one) for one in sealed)
