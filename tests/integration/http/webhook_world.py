"""What the relay and its workflows do to webhook deliveries, done by their commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from payloops.commands.webhook_delivery import GiveUpDelivery, RecordAttempt, ScheduleDelivery
from payloops.events.base import Actor, Meta
from payloops.events.webhook_delivery import delivery_id, delivery_workflow_id
from payloops.events.webhook_delivery_state import Existing
from payloops.values import new_id
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant

URL = "https://shop.example/hook"
FIELDS = {
    *("id", "endpointId", "url", "orderId", "eventType", "status", "attempts", "lastAttemptAt", "nextRetryAt"),
    *("deliveredAt", "createdAt"),
}
"""Of a delivery as the dashboard sees it."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of that merchant's."""

    id: UUID
    merchant: Merchant


class Sender:
    """What the relay and its workflows do to deliveries."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def endpoint(self, merchant: Merchant, url: str = URL) -> Endpoint:
        made = (await self.api.call("POST", "/api/webhook-endpoints", {"url": url}, token=merchant.token)).must(201)
        return Endpoint(UUID(made["id"]), merchant)

    async def scheduled(
        self,
        endpoint: Endpoint,
        *,
        order_id: UUID | None = None,
        created_at: datetime | None = None,
        sequence: int = 1,
    ) -> UUID:
        event_id = new_id()
        made = delivery_id(event_id, endpoint.id)
        command = ScheduleDelivery(
            delivery_id=made,
            merchant_id=endpoint.merchant.id,
            now=created_at or self.api.services.clock.now(),
            meta=self._meta(),
            endpoint_id=endpoint.id,
            url=URL,
            order_id=order_id or new_id(),
            event_id=event_id,
            event_type="payment.captured",
            sequence=sequence,
            workflow_id=delivery_workflow_id(made),
        )
        await self.told(command)
        return made

    async def attempted(self, endpoint: Endpoint, delivery: UUID, number: int, **fields: Any) -> None:
        now = fields.pop("now", None) or self.api.services.clock.now()
        outcome = {"status_code": 200, "error": None, "response_body": None, "verdict": "delivered"} | fields
        command = RecordAttempt(
            delivery, endpoint.merchant.id, now, self._meta(), number, started_at=now, duration_ms=7, **outcome
        )
        await self.told(command)

    async def failed(self, endpoint: Endpoint, *, created_at: datetime | None = None) -> UUID:
        made = await self.scheduled(endpoint, created_at=created_at)
        await self.attempted(
            endpoint, made, 1, status_code=500, error="it answered 500", verdict="failed", now=created_at
        )
        return made

    async def given_up(self, endpoint: Endpoint, delivery: UUID) -> None:
        now = self.api.services.clock.now()
        await self.told(GiveUpDelivery(delivery, endpoint.merchant.id, now, self._meta(), reason="disabled"))

    async def told(self, command: Any) -> None:
        services = self.api.services
        await services.handler.execute(services.webhook_deliveries, command.delivery_id, command)

    async def state(self, delivery: UUID | str) -> Existing:
        services = self.api.services
        state = await services.handler.load(services.webhook_deliveries, UUID(str(delivery)))
        assert isinstance(state, Existing)
        return state

    async def page(self, merchant: Merchant, query: str = "") -> Any:
        return (await self.api.call("GET", f"/api/webhooks?{query}", token=merchant.token)).must(200)

    def _meta(self) -> Meta:
        return Meta(new_id(), Actor("workflow", "webhook"), "from-the-workflow")


def outbox(test_database: TestDatabase) -> list[tuple[str, str, str]]:
    """Kind, key and lane of each row that is not about orders, in order."""
    with psycopg.connect(test_database.app_dsn) as connection:
        return connection.execute("SELECT kind, key, lane FROM outbox ORDER BY seq").fetchall()
