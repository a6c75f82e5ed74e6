"""Every event class by its topic. A topic once used stays here for ever: the log still holds it."""

from __future__ import annotations

from typing import Final, get_args

from eventsourcing.utils import register_topic

from payloops.events.base import Event
from payloops.events.merchant import MerchantEvent
from payloops.events.order import OrderEvent

EVENT_CLASSES: Final[tuple[type[Event], ...]] = (*get_args(MerchantEvent), *get_args(OrderEvent))

EARLIER_TOPICS: Final[dict[str, type[Event]]] = {}
"""Topics of earlier versions -> the class that reads them with its upcasters."""

CLASS_BY_TOPIC: Final[dict[str, type[Event]]] = {event.TOPIC: event for event in EVENT_CLASSES} | EARLIER_TOPICS


def register_topics() -> None:
    """Make the library's ``resolve_topic`` know our topics, so that its own mapper and recorder read our log too."""
    for topic, event_class in CLASS_BY_TOPIC.items():
        register_topic(topic, event_class)
