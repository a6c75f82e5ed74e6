"""Events of a webhook delivery: one public event on its way to one endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID, uuid5

from payloops.events.base import Event, Sealed

DELIVERED: Final = "delivered"
RETRY: Final = "retry"
FAILED: Final = "failed"
VERDICTS: Final = frozenset({DELIVERED, RETRY, FAILED})
"""What an attempt means: it arrived, it is tried again, or there is no further try."""


@dataclass(frozen=True)
class DeliveryScheduled(Event):
    """A workflow is to send the event ``event_id`` to ``url``, the endpoint's address at that time."""

    TOPIC: ClassVar[str] = "webhook_delivery.scheduled.v1"

    merchant_id: UUID
    endpoint_id: UUID
    url: str
    order_id: UUID | None
    """None: a sample, or an event that is of no order."""
    event_id: UUID
    event_type: str
    sequence: int
    """The event's place among its order's public events, from 1; deliveries of one order and endpoint go by it."""
    workflow_id: str
    payload: dict[str, Any] | None
    """The body of a sample, whose event is in no table."""


@dataclass(frozen=True)
class DeliveryAttempted(Event):
    """One request to the endpoint, and what became of it."""

    TOPIC: ClassVar[str] = "webhook_delivery.attempted.v1"

    attempt: int
    """Counts from 1, through all rounds."""
    started_at: datetime
    duration_ms: int
    status_code: int | None
    """None: there was no answer; then ``error`` says why."""
    error: str | None
    response_body: Sealed | None
    """The beginning of the answer, sealed with the merchant's own key: who knows what it holds."""
    verdict: str
    """``delivered``, ``retry`` (at ``next_attempt_at``) or ``failed``."""
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class DeliveryGivenUp(Event):
    """It ends without a further attempt: its endpoint is gone or disabled."""

    TOPIC: ClassVar[str] = "webhook_delivery.given_up.v1"

    reason: str


@dataclass(frozen=True)
class DeliveryRetried(Event):
    """The merchant wants it sent now.

    ``signal``: it is under way, so its workflow is told. Otherwise it had ended and a new round begins, by a workflow
    of its own.
    """

    TOPIC: ClassVar[str] = "webhook_delivery.retried.v1"

    signal: bool
    round: int
    """The round that it is in from now on; the first is 1."""
    workflow_id: str


WebhookDeliveryEvent = DeliveryScheduled | DeliveryAttempted | DeliveryGivenUp | DeliveryRetried


def delivery_id(event_id: UUID, endpoint_id: UUID) -> UUID:
    """The delivery of an event to an endpoint: the same for ever, so that scheduling it twice is once."""
    return uuid5(event_id, str(endpoint_id))


def delivery_workflow_id(delivery_id: UUID, round_number: int = 1) -> str:
    """The workflow of a delivery's round (the wire contract, "Temporal"); the suffix comes from the second round on."""
    return f"webhook-{delivery_id}" if round_number == 1 else f"webhook-{delivery_id}-{round_number}"


def attempt_id(delivery_id: UUID, attempt: int) -> UUID:
    """The row of a delivery's attempt."""
    return uuid5(delivery_id, f"attempt-{attempt}")
