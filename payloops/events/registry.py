"""Every event class by its topic. A topic once used stays here for ever: the log still holds it."""

from __future__ import annotations

from typing import Final, get_args

from eventsourcing.utils import register_topic

from payloops.events.base import Event
from payloops.events.checkout_session import CheckoutSessionEvent
from payloops.events.merchant import MerchantEvent, ProcessorConfigured
from payloops.events.order import OrderCreated, OrderEvent, RefundDiscovered
from payloops.events.processor_event import ProcessorEventEvent
from payloops.events.webhook_delivery import WebhookDeliveryEvent
from payloops.events.webhook_endpoint import WebhookEndpointEvent

EVENT_CLASSES: Final[tuple[type[Event], ...]] = (
    *get_args(MerchantEvent),
    *get_args(OrderEvent),
    *get_args(CheckoutSessionEvent),
    *get_args(ProcessorEventEvent),
    *get_args(WebhookEndpointEvent),
    *get_args(WebhookDeliveryEvent),
)

EARLIER_TOPICS: Final[dict[str, type[Event]]] = {
    "merchant.processor_configured.v1": ProcessorConfigured,
    "order.created.v1": OrderCreated,
    "order.refund_discovered.v1": RefundDiscovered,
}
"""Topics of earlier versions -> the class that reads them with its upcasters."""

CLASS_BY_TOPIC: Final[dict[str, type[Event]]] = {event.TOPIC: event for event in EVENT_CLASSES} | EARLIER_TOPICS


def register_topics() -> None:
    """Make the library's ``resolve_topic`` know our topics, so that its own mapper and recorder read our log too."""
    for topic, event_class in CLASS_BY_TOPIC.items():
        register_topic(topic, event_class)
