"""Processor configurations and what processors sent, by token (``/api/processors``, ``/api/processor-events``)."""

from __future__ import annotations

from payloops.client.calls import by_cursor
from payloops.client.core.call import Call, Pages, fields, read, write
from payloops.client.models.accounts import ConfiguredProcessor, ProcessorSetup
from payloops.client.models.orders import Processor
from payloops.client.models.webhooks import ProcessorEvent, ProcessorEventPage, ProcessorEventWithBody


def list_processors() -> Call[list[ProcessorSetup]]:
    """All configurations, without their credentials."""
    return read("/api/processors", list[ProcessorSetup])


def configure_stripe(
    *,
    secret_key: str,
    publishable_key: str | None = None,
    webhook_secret: str | None = None,
    enabled: bool | None = None,
    priority: int | None = None,
    test_mode: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[ConfiguredProcessor]:
    """Set Stripe up, or anew. Without a ``webhook_secret`` its webhooks are registered by themselves."""
    credentials = fields(secret_key=secret_key, publishable_key=publishable_key, webhook_secret=webhook_secret)
    body = fields(credentials=credentials, enabled=enabled, priority=priority, test_mode=test_mode)
    return write("POST", "/api/processors/stripe", ConfiguredProcessor, body=body, idempotency_key=idempotency_key)


def configure_razorpay(
    *,
    key_id: str,
    key_secret: str,
    webhook_secret: str | None = None,
    enabled: bool | None = None,
    priority: int | None = None,
    test_mode: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[ConfiguredProcessor]:
    """Set Razorpay up, or anew; ``webhook.message`` of the answer says what is left to be done by hand."""
    credentials = fields(key_id=key_id, key_secret=key_secret, webhook_secret=webhook_secret)
    body = fields(credentials=credentials, enabled=enabled, priority=priority, test_mode=test_mode)
    return write("POST", "/api/processors/razorpay", ConfiguredProcessor, body=body, idempotency_key=idempotency_key)


def change_processor(
    processor: Processor,
    *,
    enabled: bool | None = None,
    priority: int | None = None,
    test_mode: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[ProcessorSetup]:
    """Change what is named. Raises NotFound for one that is not configured."""
    body = fields(enabled=enabled, priority=priority, test_mode=test_mode)
    return write(
        "PATCH",
        "/api/processors/{processor}",
        ProcessorSetup,
        body=body,
        idempotency_key=idempotency_key,
        processor=processor,
    )


def remove_processor(processor: Processor, *, idempotency_key: str | None = None) -> Call[None]:
    """Remove a configuration and its credentials. Raises NotFound."""
    return write("DELETE", "/api/processors/{processor}", None, idempotency_key=idempotency_key, processor=processor)


def list_events(
    *,
    status: str | None = None,
    processor: Processor | None = None,
    type: str | None = None,  # noqa: A002 - the field's name
    order_id: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Pages[ProcessorEvent, ProcessorEventPage]:
    """What processors sent, newest first."""
    query = {
        "status": status,
        "processor": processor,
        "type": type,
        "order_id": order_id,
        "limit": limit,
        "cursor": cursor,
    }
    return Pages(read("/api/processor-events", ProcessorEventPage, query), lambda page: page.data, by_cursor)


def get_event(event_id: str) -> Call[ProcessorEventWithBody]:
    """One event with what was sent; secrets and personal data in it are masked. Raises NotFound."""
    return read("/api/processor-events/{id}", ProcessorEventWithBody, id=event_id)


def reprocess_event(event_id: str, *, idempotency_key: str | None = None) -> Call[ProcessorEvent]:
    """Process an event again that had no effect yet. Raises InvalidRequest (``invalid_status``)."""
    return write(
        "POST", "/api/processor-events/{id}/reprocess", ProcessorEvent, idempotency_key=idempotency_key, id=event_id
    )
