"""Defaults of the events and commands of webhook endpoints and deliveries, for tests/spec.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from payloops.commands import webhook_delivery as delivery_commands
from payloops.commands import webhook_endpoint as endpoint_commands
from payloops.events import webhook_delivery as d
from payloops.events import webhook_endpoint as p
from payloops.events.base import Event, Sealed

ENDPOINT_ID: Final = UUID("0190a5b0-0000-7000-8000-000000000010")
DELIVERY_ID: Final = UUID("0190a5b0-0000-7000-8000-000000000011")
EVENT_ID: Final = UUID("0190a5b0-0000-7000-8000-000000000012")
URL: Final = "https://shop.example/hook"
ATTEMPTED_AT: Final = datetime(2026, 1, 2, 3, 30, 0, 0, tzinfo=UTC)
NEXT_AT: Final = datetime(2026, 1, 2, 5, 0, 0, 0, tzinfo=UTC)

_ENDPOINT: Final = {
    "url": URL,
    "event_types": (),
    "secret": Sealed("sealed-secret"),
    "is_default": False,
}
_ROTATION: Final = {"secret": Sealed("sealed-newer-secret"), "previous_expires_at": NEXT_AT}
_SENDING: Final = {
    "endpoint_id": ENDPOINT_ID,
    "url": URL,
    "event_id": EVENT_ID,
    "event_type": "payment.captured",
    "sequence": 2,
    "workflow_id": f"webhook-{DELIVERY_ID}",
    "payload": None,
}
_ATTEMPT: Final = {
    "attempt": 1,
    "started_at": ATTEMPTED_AT,
    "duration_ms": 120,
    "status_code": 200,
    "error": None,
    "response_body": Sealed("sealed-answer"),
    "verdict": "delivered",
    "next_attempt_at": None,
}
RETRY_LATER: Final[Mapping[str, Any]] = MappingProxyType(
    {"status_code": 500, "error": "it answered 500", "verdict": "retry", "next_attempt_at": NEXT_AT}
)
NO_MORE: Final[Mapping[str, Any]] = MappingProxyType(
    {"status_code": None, "error": "no answer within 15 s", "response_body": None, "verdict": "failed"}
)


def event_defaults(merchant_id: UUID, order_id: UUID) -> dict[type[Event], Mapping[str, Any]]:
    return {
        p.EndpointCreated: {"merchant_id": merchant_id, "enabled": True, **_ENDPOINT},
        p.EndpointChanged: {"url": URL, "event_types": (), "enabled": True},
        p.EndpointDisabled: {"reason": "gone"},
        p.EndpointSecretRotated: _ROTATION,
        p.EndpointRemoved: {},
        p.EndpointRestored: {"url": URL, "event_types": ()},
        d.DeliveryScheduled: {"merchant_id": merchant_id, "order_id": order_id, **_SENDING},
        d.DeliveryAttempted: _ATTEMPT,
        d.DeliveryGivenUp: {"reason": "the endpoint was removed"},
        d.DeliveryRetried: {"signal": True, "round": 1, "workflow_id": f"webhook-{DELIVERY_ID}"},
    }


def command_defaults() -> dict[type, Mapping[str, Any]]:
    return {
        endpoint_commands.CreateEndpoint: _ENDPOINT,
        endpoint_commands.RotateSecret: _ROTATION,
        endpoint_commands.DisableEndpoint: {"reason": "gone"},
        delivery_commands.ScheduleDelivery: _SENDING,
        delivery_commands.RecordAttempt: _ATTEMPT,
        delivery_commands.GiveUpDelivery: {"reason": "the endpoint was removed"},
    }
