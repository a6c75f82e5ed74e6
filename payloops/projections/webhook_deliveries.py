"""Read tables of webhook deliveries: ``webhook_deliveries``, and ``webhook_attempts`` with a row a request."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from payloops.events.base import Sealed
from payloops.events.webhook_delivery import DeliveryAttempted, WebhookDeliveryEvent, attempt_id
from payloops.events.webhook_delivery_state import Delivered, Existing, Retrying, WebhookDeliveryState, status
from payloops.projections.base import InlineProjection, Row
from payloops.projections.personal_data import MerchantKey

RESPONSE_BODY: Final = "webhook_attempts.response_body"


def delivery_row(state: Existing) -> Row:
    """The delivery's row in this state."""
    facts = state.facts
    return {
        "id": facts.delivery_id,
        "merchant_id": facts.merchant_id,
        "endpoint_id": facts.endpoint_id,
        "url": facts.url,
        "order_id": facts.order_id,
        "event_id": facts.event_id,
        "event_type": facts.event_type,
        "sequence": facts.sequence,
        "status": status(state),
        "attempts": facts.attempts,
        "round": facts.round,
        "workflow_id": facts.workflow_id,
        "last_attempt_at": facts.last_attempt_at,
        "next_retry_at": state.next_retry_at if isinstance(state, Retrying) else None,
        "delivered_at": state.delivered_at if isinstance(state, Delivered) else None,
        "last_status_code": facts.last_status_code,
        "last_error": facts.last_error,
        "correlation_id": facts.correlation_id,
        "traceparent": facts.traceparent,
        "created_at": facts.created_at,
        "updated_at": facts.updated_at,
    }


def delivery_rows(_before: WebhookDeliveryState, _event: WebhookDeliveryEvent, after: Existing) -> list[Row]:
    """The delivery's row after the event."""
    return [delivery_row(after)]


def attempt_rows(_before: WebhookDeliveryState, event: WebhookDeliveryEvent, _after: Existing) -> list[Row]:
    """The row of the attempt that the event is."""
    if not isinstance(event, DeliveryAttempted):
        return []
    return [
        {
            "id": attempt_id(event.originator_id, event.attempt),
            "delivery_id": event.originator_id,
            "number": event.attempt,
            "started_at": event.started_at,
            "duration_ms": event.duration_ms,
            "status_code": event.status_code,
            "error": event.error,
            "response_body": event.response_body,
        }
    ]


def seal_response_body(key: MerchantKey, delivery_id: UUID, attempt: int, text: str) -> Sealed | None:
    """What the endpoint answered, for RecordAttempt; None when the merchant's key was destroyed."""
    if key.data_key is None:
        return None
    return key.seal(RESPONSE_BODY, attempt_id(delivery_id, attempt), text)


def open_response_body(key: MerchantKey, delivery_id: UUID, attempt: int, sealed: str | None) -> str | None:
    """What ``seal_response_body`` sealed; None when there is nothing, or the merchant's key was destroyed."""
    return key.open(RESPONSE_BODY, attempt_id(delivery_id, attempt), sealed)


DELIVERY_COLUMNS = (
    "id",
    "merchant_id",
    "endpoint_id",
    "url",
    "order_id",
    "event_id",
    "event_type",
    "sequence",
    "status",
    "attempts",
    "round",
    "workflow_id",
    "last_attempt_at",
    "next_retry_at",
    "delivered_at",
    "last_status_code",
    "last_error",
    "correlation_id",
    "traceparent",
    "created_at",
    "updated_at",
)
ATTEMPT_COLUMNS = (
    "id",
    "delivery_id",
    "number",
    "started_at",
    "duration_ms",
    "status_code",
    "error",
    "response_body",
)

WEBHOOK_DELIVERIES = InlineProjection("webhook_deliveries", "id", DELIVERY_COLUMNS, delivery_rows)
WEBHOOK_ATTEMPTS = InlineProjection("webhook_attempts", "id", ATTEMPT_COLUMNS, attempt_rows)
