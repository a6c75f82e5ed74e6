"""Telling merchants what follows from no event of the order itself: a checkout's end, or an external worker's word."""

from __future__ import annotations

from payloops.commands.order_reports import PublishEvent, event_head
from payloops.errors import InvalidInput
from payloops.events import order as e
from payloops.events.order_state import Existing
from payloops.events.webhook_event_types import EVENT_TYPES


def publish_event(command: PublishEvent, state: Existing) -> tuple[e.OrderEvent, ...]:
    """What the order's own events, or an earlier request, have told already is not told twice.

    The last public event of that type is found by ``state.facts.published_version``. Raises InvalidInput.
    """
    if command.event_type not in EVENT_TYPES:
        raise InvalidInput("eventType is none that merchants are told of.", param="eventType")
    if state.facts.published_version(command.event_type) is not None:
        return ()
    return (
        e.ExternalEventPublished(
            **event_head(command, state),
            event_type=command.event_type,
            payload=command.payload,
            sealed_payload=command.sealed_payload,
        ),
    )
