"""The dashboard's queries on webhook endpoints and deliveries. Each is one round trip and sees one merchant only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from payloops.db import Database, load_sql
from payloops.errors import NotFound
from payloops.projections.base import Row
from payloops.projections.reading import Columns, fetch
from payloops.projections.webhook_turns import EndpointTurns

DELIVERY_STATUSES: Final = frozenset({"pending", "retrying", "delivered", "failed"})
ATTEMPTS_MAX: Final = 1000
"""Attempts of one delivery that are shown, the last ones; a merchant can ask for rounds without end."""

_ENDPOINT: Final = (
    "id",
    "url",
    "event_types",
    "enabled",
    "disabled_reason",
    "is_default",
    "created_at",
    "updated_at",
    "open_until",
)
_DELIVERY: Final = (
    "id",
    "endpoint_id",
    "url",
    "order_id",
    "event_type",
    "status",
    "attempts",
    "last_attempt_at",
    "next_retry_at",
    "delivered_at",
    "created_at",
)
_ATTEMPT: Final = ("number", "started_at", "duration_ms", "status_code", "error", "response_body")


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What is None does not filter."""

    status: str | None = None
    endpoint_id: UUID | None = None
    order_id: UUID | None = None


class WebhookViews:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.turns = EndpointTurns(database)

    async def endpoints(self, merchant_id: UUID) -> list[Row]:
        """The merchant's endpoints, newest first, with ``open_until``: when it is tried again, if it is not now."""
        return _named(_ENDPOINT, await self._fetch("endpoints", merchant_id))

    async def open_until(self, merchant_id: UUID, endpoint_id: UUID) -> datetime | None:
        """When the endpoint is tried again; None when it is tried now."""
        found = await self._fetch("open_until", merchant_id, endpoint=endpoint_id)
        return found[0][0] if found else None

    async def deliveries_numbered(
        self, merchant_id: UUID, wanted: DeliveryFilter, *, page: int, limit: int
    ) -> tuple[list[Row], int]:
        """Page number ``page`` (from 1) of the deliveries that match, newest first, and how many match."""
        block = "deliveries_numbered"
        if wanted.order_id is not None:
            block = "deliveries_numbered_of_order"
        elif wanted.endpoint_id is not None:
            block = "deliveries_numbered_of_endpoint"
        elif wanted.status is not None:
            block = "deliveries_numbered_of_status"
        found = await self._fetch(
            block,
            merchant_id,
            status=wanted.status,
            endpoint=wanted.endpoint_id,
            order=wanted.order_id,
            limit=limit,
            offset=(page - 1) * limit,
        )
        return _named(_DELIVERY, [columns[1:] for columns in found if columns[1] is not None]), int(found[0][0])

    async def attempts(self, merchant_id: UUID, delivery_id: UUID) -> list[Row]:
        """A delivery's attempts, newest first; ``response_body`` is sealed. Raises NotFound."""
        found = await self._fetch("attempts", merchant_id, delivery=delivery_id, limit=ATTEMPTS_MAX)
        if not found:
            raise no_delivery()
        return _named(_ATTEMPT, [columns[1:] for columns in found if columns[1] is not None])

    async def delivery_target(self, merchant_id: UUID, delivery_id: UUID) -> tuple[bool, bool]:
        """Whether the delivery's endpoint is enabled, and whether it was removed. Raises NotFound (no delivery)."""
        found = await self._fetch("delivery_target", merchant_id, delivery=delivery_id)
        if not found:
            raise no_delivery()
        enabled, removed = found[0]
        return bool(enabled), bool(removed)

    async def retryable(
        self,
        merchant_id: UUID,
        *,
        endpoint_id: UUID | None,
        status: str,
        created_from: datetime,
        created_to: datetime,
        limit: int,
    ) -> list[UUID]:
        """The oldest deliveries that were made in that time and can be sent anew; none that changed after it."""
        found = await self._fetch(
            "retryable",
            merchant_id,
            endpoint=endpoint_id,
            status=status,
            limit=limit,
            **{"from": created_from, "to": created_to},
        )
        return [delivery_id for (delivery_id,) in found]

    async def _fetch(self, block: str, merchant_id: UUID, **parameters: Any) -> list[Columns]:
        return await fetch(self._database, compose(block), {"merchant": merchant_id, **parameters})


async def merchants_without_default_endpoint(database: Database, after: UUID, *, limit: int) -> list[UUID]:
    """Merchants, in order of their ids, whose ``webhookUrl`` has no endpoint. Raises Unavailable."""
    found = await fetch(database, compose("without_default_endpoint"), {"after": after, "limit": limit})
    return [merchant_id for (merchant_id,) in found]


@cache
def compose(block: str) -> str:
    """A block of webhook_views.sql with the parts that it shares with others put in."""
    blocks: Mapping[str, str] = load_sql("payloops.projections", "webhook_views")
    sql = blocks[block]
    for part in ("endpoint_columns", "delivery_columns"):
        sql = sql.replace(f"{{{part}}}", blocks[part])
    return sql


def no_delivery() -> NotFound:
    """The one error for a delivery that is not there, whatever the reason."""
    return NotFound("No such webhook delivery.")


def no_endpoint() -> NotFound:
    """The one error for an endpoint that is not there, whatever the reason."""
    return NotFound("No such webhook endpoint.")


def _named(names: tuple[str, ...], rows: list[Columns]) -> list[Row]:
    return [dict(zip(names, row, strict=True)) for row in rows]
