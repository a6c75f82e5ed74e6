"""Read table ``webhook_endpoints``: one row an endpoint. A removed one keeps no secret and is not enabled."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from payloops.events.webhook_endpoint import WebhookEndpointEvent
from payloops.events.webhook_endpoint_state import Absent, Active, Removed, WebhookEndpointState
from payloops.projections.base import InlineProjection, Row


def rows(_before: WebhookEndpointState, _event: WebhookEndpointEvent, after: WebhookEndpointState) -> list[Row]:
    """The endpoint's row after the event."""
    match after:
        case Active():
            return [_row(after, removed_at=None)]
        case Removed():
            row = _row(after.last, removed_at=after.removed_at)
            return [row | {"enabled": False, "secret": None, "previous_secret": None, "previous_expires_at": None}]
        case Absent():
            return []
        case _:
            assert_never(after)


def _row(endpoint: Active, *, removed_at: datetime | None) -> Row:
    return {
        "id": endpoint.endpoint_id,
        "merchant_id": endpoint.merchant_id,
        "version": endpoint.version,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "is_default": endpoint.is_default,
        "secret": endpoint.secret,
        "previous_secret": endpoint.previous_secret,
        "previous_expires_at": endpoint.previous_expires_at,
        "removed_at": removed_at,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


COLUMNS = (
    "id",
    "merchant_id",
    "version",
    "url",
    "event_types",
    "enabled",
    "disabled_reason",
    "is_default",
    "secret",
    "previous_secret",
    "previous_expires_at",
    "removed_at",
    "created_at",
    "updated_at",
)

WEBHOOK_ENDPOINTS = InlineProjection("webhook_endpoints", "id", COLUMNS, rows)
