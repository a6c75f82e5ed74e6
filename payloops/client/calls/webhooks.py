"""Webhook endpoints and deliveries, by token (``/api/webhook-endpoints``, ``/api/webhooks``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from payloops.client.core.call import Call, Pages, fields, read, write
from payloops.client.models.webhooks import (
    CreatedWebhookEndpoint,
    NumberedDeliveries,
    RetriedDeliveries,
    RotatedSecret,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpoints,
)


def list_endpoints() -> Call[WebhookEndpoints]:
    """All endpoints, newest first, in ``data``."""
    return read("/api/webhook-endpoints", WebhookEndpoints)


def create_endpoint(
    url: str,
    *,
    event_types: Sequence[str] | None = None,
    enabled: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[CreatedWebhookEndpoint]:
    """Add an endpoint; its ``secret`` is shown this once. Event types: names or groups (``payment.*``); none: all."""
    body = fields(url=url, event_types=None if event_types is None else list(event_types), enabled=enabled)
    return write("POST", "/api/webhook-endpoints", CreatedWebhookEndpoint, body=body, idempotency_key=idempotency_key)


def change_endpoint(
    endpoint_id: str,
    *,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    enabled: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[WebhookEndpoint]:
    """Change what is named. Raises NotFound."""
    body = fields(url=url, event_types=None if event_types is None else list(event_types), enabled=enabled)
    return write(
        "PATCH",
        "/api/webhook-endpoints/{id}",
        WebhookEndpoint,
        body=body,
        idempotency_key=idempotency_key,
        id=endpoint_id,
    )


def remove_endpoint(endpoint_id: str, *, idempotency_key: str | None = None) -> Call[None]:
    """Remove an endpoint. Raises NotFound."""
    return write("DELETE", "/api/webhook-endpoints/{id}", None, idempotency_key=idempotency_key, id=endpoint_id)


def rotate_secret(endpoint_id: str, *, idempotency_key: str | None = None) -> Call[RotatedSecret]:
    """Another secret; the one before it signs beside it for 24 hours. Raises NotFound."""
    return write(
        "POST", "/api/webhook-endpoints/{id}/secret", RotatedSecret, idempotency_key=idempotency_key, id=endpoint_id
    )


def rotate_default_secret(*, idempotency_key: str | None = None) -> Call[RotatedSecret]:
    """Another secret for the profile's ``webhook_url``, or its first one."""
    return write("POST", "/api/merchants/me/webhook-secret", RotatedSecret, idempotency_key=idempotency_key)


def send_sample(endpoint_id: str, *, idempotency_key: str | None = None) -> Call[WebhookDelivery]:
    """Send a ``webhook.test`` now. Raises NotFound, InvalidRequest."""
    return write(
        "POST", "/api/webhook-endpoints/{id}/test", WebhookDelivery, idempotency_key=idempotency_key, id=endpoint_id
    )


def list_deliveries(
    *,
    status: str | None = None,
    endpoint_id: str | None = None,
    order_id: str | None = None,
    limit: int | None = None,
    page: int | None = None,
) -> Pages[WebhookDelivery, NumberedDeliveries]:
    """Deliveries, newest first."""
    query = {"status": status, "endpoint_id": endpoint_id, "order_id": order_id, "limit": limit, "page": page}
    return Pages(read("/api/webhooks", NumberedDeliveries, query), lambda page: page.data, _by_number)


def list_attempts(delivery_id: str) -> Call[list[WebhookAttempt]]:
    """Each try to deliver, newest first, with what your server answered. Raises NotFound."""
    return read("/api/webhooks/{id}/attempts", list[WebhookAttempt], id=delivery_id)


def retry_delivery(delivery_id: str, *, idempotency_key: str | None = None) -> Call[WebhookDelivery]:
    """Send a delivery now, whatever its state. Raises NotFound, InvalidRequest (its endpoint is disabled)."""
    return write("POST", "/api/webhooks/{id}/retry", WebhookDelivery, idempotency_key=idempotency_key, id=delivery_id)


def retry_deliveries(
    *,
    from_: datetime,
    to: datetime,
    endpoint_id: str | None = None,
    status: Literal["failed", "delivered"] | None = None,
    idempotency_key: str | None = None,
) -> Call[RetriedDeliveries]:
    """Send anew what was made from ``from_`` to ``to`` and failed, the oldest 100 of it."""
    body = fields(**{"from": from_}, to=to, endpoint_id=endpoint_id, status=status)
    return write("POST", "/api/webhooks/retry", RetriedDeliveries, body=body, idempotency_key=idempotency_key)


def _by_number(page: NumberedDeliveries) -> Mapping[str, str] | None:
    place = page.pagination
    return {"page": str(place.page + 1)} if page.data and place.page < place.total_pages else None
