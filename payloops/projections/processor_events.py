"""Read table ``processor_events``: the inbox, one row an event that a processor sent."""

from __future__ import annotations

from typing import Final, assert_never

from payloops.events import processor_event as e
from payloops.events.processor_event_state import Absent, Judged, ProcessorEventState, Received
from payloops.projections.base import InlineProjection, Row

BODY: Final = "processor_events.body"
"""What the raw body is sealed for (personal_data.MerchantKey)."""


def rows(_before: ProcessorEventState, _event: e.ProcessorEventEvent, after: ProcessorEventState) -> list[Row]:
    """The event's row."""
    match after:
        case Absent():
            return []
        case Received() | Judged():
            return [row(after)]
        case _:
            assert_never(after)


def row(state: Received | Judged) -> Row:
    """The event's row in this state."""
    if isinstance(state, Received):
        return _row(state, "received")
    return _row(state, state.verdict) | {"reason": state.reason, "processed_at": state.judged_at}


def _row(state: Received | Judged, status: str) -> Row:
    facts = state.facts
    return {
        "id": facts.event_id,
        "merchant_id": facts.merchant_id,
        "version": facts.version,
        "processor": facts.processor,
        "processor_event_id": facts.processor_event_id,
        "type": facts.type,
        "order_id": facts.order_id,
        "status": status,
        "reason": None,
        "received_at": facts.received_at,
        "since": facts.since,
        "processed_at": None,
    }


COLUMNS: Final = (
    "id",
    "merchant_id",
    "version",
    "processor",
    "processor_event_id",
    "type",
    "order_id",
    "status",
    "reason",
    "received_at",
    "since",
    "processed_at",
)

PROCESSOR_EVENTS: Final = InlineProjection("processor_events", "id", COLUMNS, rows)
