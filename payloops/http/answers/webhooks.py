"""Outbound webhooks (endpoints, deliveries, attempts) and the inbox of the processors' events."""

from __future__ import annotations

from typing import Any, Literal

from payloops.http.answers.base import Answer, CursorPage, Id, Numbered, Time
from payloops.http.answers.orders import Processor


class Circuit(Answer):
    """Whether an endpoint that keeps failing is left alone for a while."""

    state: Literal["closed", "open"]
    open_until: Time | None


class WebhookEndpoint(Answer):
    """Where a merchant is told of its events."""

    id: Id
    url: str
    event_types: list[str]
    """Empty means all."""
    enabled: bool
    disabled_reason: str | None
    is_default: bool
    """Whether it is the profile's ``webhookUrl``."""
    circuit: Circuit
    created_at: Time
    updated_at: Time


class CreatedWebhookEndpoint(WebhookEndpoint):
    """A new endpoint; ``secret`` is shown this once."""

    secret: str
    """What deliveries are signed with (``whsec_…``)."""


class WebhookEndpoints(Answer):
    """All endpoints, newest first."""

    data: list[WebhookEndpoint]


class RotatedSecret(Answer):
    """A new signing secret, shown this once; the one of before signs beside it for a while."""

    secret: str
    previous_expires_at: Time


class WebhookDelivery(Answer):
    """One event on its way to one endpoint."""

    id: Id
    endpoint_id: Id
    url: str
    order_id: Id | None
    event_type: str
    status: Literal["pending", "retrying", "delivered", "failed"]
    attempts: int
    last_attempt_at: Time | None
    next_retry_at: Time | None
    delivered_at: Time | None
    created_at: Time


class NumberedDeliveries(Answer):
    """A numbered page of deliveries, newest first."""

    data: list[WebhookDelivery]
    pagination: Numbered


class WebhookAttempt(Answer):
    """One try to deliver."""

    number: int
    started_at: Time
    duration_ms: int
    status_code: int | None
    error: str | None
    response_body: str | None
    """The beginning of what the endpoint answered."""


class RetriedDeliveries(Answer):
    """How many deliveries are sent anew."""

    retried: int
    has_more: bool
    """Send the same ``to`` again for the others."""


class Received(Answer):
    """The processor's event is stored."""

    received: Literal[True]


class ProcessorEvent(Answer):
    """An event that a processor sent."""

    id: Id
    processor: Processor
    processor_event_id: str
    type: str
    order_id: Id | None
    status: Literal["received", "processed", "ignored", "quarantined", "failed"]
    reason: str | None
    received_at: Time
    processed_at: Time | None


class ProcessorEventWithBody(ProcessorEvent):
    """An event with what was sent; secrets and personal data in it are masked."""

    payload: Any


class ProcessorEventPage(CursorPage):
    """A page of the inbox, newest first."""

    data: list[ProcessorEvent]
