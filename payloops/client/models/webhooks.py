"""Public events, webhook endpoints and deliveries, and the inbox of the processors' events."""

# ruff: noqa: PYI051 - the words of today are named for people and editors; a newer service may have others

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import Field

from payloops.client.models.base import CursorPage, Json, Model, Numbered
from payloops.client.models.orders import Order, OrderStatus, Processor

EventType: TypeAlias = (
    Literal[
        "payment.processing",
        "payment.requires_action",
        "payment.authorized",
        "payment.captured",
        "payment.failed",
        "payment.cancelled",
        "refund.pending",
        "refund.processed",
        "refund.failed",
        "checkout.completed",
        "checkout.expired",
        "dispute.opened",
        "dispute.won",
        "dispute.lost",
        "webhook.test",
    ]
    | str
)


class Event(Model):
    """Something that happened, as webhooks and the feed tell of it: the state at that event, not that of today."""

    id: str
    """The same in every delivery of this event: what has been seen need not be done again."""
    type: EventType
    created_at: datetime
    sequence: int
    """Counts the public events of an order from 1 without gaps."""
    order_id: str | None
    """None of a checkout that nobody paid."""
    external_id: str | None
    amount: int | None
    currency: str | None
    status: OrderStatus | None
    """The order's."""
    processor: Processor | None
    payload: Any = Field(repr=False)
    """The order, with ``refund``, ``dispute`` or ``session`` beside it where the type is about one."""

    @property
    def order(self) -> Order | None:
        """The order as it was at this event; None where there was none. Raises ValueError for what is no order."""
        return None if self.order_id is None or self.type == "webhook.test" else Order.model_validate(self.payload)

    @property
    def refund(self) -> Json | None:
        """Of ``refund.*``: the refund, in its wire form."""
        return self._beside("refund")

    @property
    def dispute(self) -> Json | None:
        """Of ``dispute.*``: the dispute, in its wire form."""
        return self._beside("dispute")

    @property
    def session(self) -> Json | None:
        """Of ``checkout.*``: the checkout session, in its wire form."""
        return self._beside("session")

    def _beside(self, name: str) -> Json | None:
        found = self.payload.get(name) if isinstance(self.payload, dict) else None
        return found if isinstance(found, dict) else None


class FeedEvent(Event):
    """A public event and its place in the feed."""

    position: int
    """Send the last one that you know as ``after``."""


class EventFeed(Model):
    """A page of the feed, oldest first."""

    data: list[FeedEvent]
    has_more: bool
    next_after: int


class Circuit(Model):
    """Whether an endpoint that keeps failing is left alone for a while."""

    state: Literal["closed", "open"] | str
    open_until: datetime | None


class WebhookEndpoint(Model):
    """Where you are told of your events."""

    id: str
    url: str
    event_types: list[str]
    """Empty means all."""
    enabled: bool
    disabled_reason: str | None
    is_default: bool
    """Whether it is the profile's ``webhook_url``."""
    circuit: Circuit
    created_at: datetime
    updated_at: datetime


class CreatedWebhookEndpoint(WebhookEndpoint):
    """A new endpoint; ``secret`` is shown this once."""

    secret: str = Field(repr=False)
    """What ``webhooks.verify`` takes (``whsec_…``)."""


class WebhookEndpoints(Model):
    """All endpoints, newest first."""

    data: list[WebhookEndpoint]


class RotatedSecret(Model):
    """A new signing secret, shown this once; the one of before signs beside it for a while."""

    secret: str = Field(repr=False)
    previous_expires_at: datetime


class WebhookDelivery(Model):
    """One event on its way to one endpoint."""

    id: str
    endpoint_id: str
    url: str
    order_id: str | None
    event_type: EventType
    status: Literal["pending", "retrying", "delivered", "failed"] | str
    attempts: int
    last_attempt_at: datetime | None
    next_retry_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime


class NumberedDeliveries(Model):
    """A numbered page of deliveries, newest first."""

    data: list[WebhookDelivery]
    pagination: Numbered


class WebhookAttempt(Model):
    """One try to deliver."""

    number: int
    started_at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    response_body: str | None
    """The beginning of what your server answered."""


class RetriedDeliveries(Model):
    """How many deliveries are sent anew."""

    retried: int
    has_more: bool
    """Send the same ``to`` again for the others."""


class ProcessorEvent(Model):
    """An event that a processor sent."""

    id: str
    processor: Processor
    processor_event_id: str
    type: str
    order_id: str | None
    status: Literal["received", "processed", "ignored", "quarantined", "failed"] | str
    reason: str | None
    received_at: datetime
    processed_at: datetime | None


class ProcessorEventWithBody(ProcessorEvent):
    """An event with what was sent; secrets and personal data in it are masked."""

    payload: Any = Field(repr=False)


class ProcessorEventPage(CursorPage):
    """A page of the inbox, newest first."""

    data: list[ProcessorEvent]
