"""A public event becomes one delivery for each endpoint that wants it: what the relay does for rows of kind publish.

A delivery's id is made of event and endpoint, so a row that is done twice schedules nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from payloops.commands.aggregates import WebhookDeliveries
from payloops.commands.handlers import CommandHandler
from payloops.commands.webhook_delivery import ScheduleDelivery
from payloops.events.base import Actor, Meta
from payloops.events.webhook_delivery import delivery_id, delivery_workflow_id
from payloops.values import Clock, new_id
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.deliveries.receivers import Receivers, Wanting
from payloops.workflows_bridge.engines.base import Work


@dataclass(frozen=True, slots=True)
class _Event:
    id: UUID
    merchant_id: UUID
    order_id: UUID | None
    type: str
    sequence: int


class Publisher:
    """See the module."""

    def __init__(
        self, handler: CommandHandler, deliveries: WebhookDeliveries, receivers: Receivers, clock: Clock
    ) -> None:
        self._handler = handler
        self._deliveries = deliveries
        self._receivers = receivers
        self._clock = clock

    async def __call__(self, payload: Mapping[str, Any], work: Work) -> None:
        """Schedule what is to be sent. Raises ContractViolation, Unavailable."""
        try:
            merchant_id, event_type = UUID(payload["merchantId"]), str(payload["type"])
            event = _Event(
                UUID(payload["eventId"]),
                merchant_id,
                None if payload["orderId"] is None else UUID(payload["orderId"]),
                event_type,
                int(payload["sequence"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ContractViolation("publish: the row names no public event") from None
        wanting = await self._receivers.wanting(merchant_id, event_type)
        work.require_lease()
        # At once, so that they share a commit; all are awaited, so that none goes on when the row is given back.
        scheduled = await asyncio.gather(
            *(self._schedule(event, endpoint, work) for endpoint in wanting), return_exceptions=True
        )
        for problem in scheduled:
            if isinstance(problem, BaseException):
                raise problem

    async def _schedule(self, event: _Event, endpoint: Wanting, work: Work) -> None:
        new_delivery = delivery_id(event.id, endpoint.endpoint_id)
        command = ScheduleDelivery(
            new_delivery,
            event.merchant_id,
            self._clock.now(),
            Meta(new_id(), Actor("system", "publisher"), work.correlation_id, str(event.id), work.traceparent),
            endpoint.endpoint_id,
            endpoint.url,
            event.order_id,
            event.id,
            event.type,
            event.sequence,
            delivery_workflow_id(new_delivery),
        )
        await self._handler.execute(self._deliveries, new_delivery, command, new=not work.repeated)
