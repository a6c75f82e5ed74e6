"""The intent to process an event of the inbox: an outbox row, written in the event's own transaction. Pure."""

from __future__ import annotations

from typing import assert_never

from payloops.events import processor_event as e
from payloops.events.processor_event_state import Absent, ProcessorEventState
from payloops.projections.base import InlineProjection, Row
from payloops.workflows_bridge.contracts import Kind
from payloops.workflows_bridge.outbox import COLUMNS, effect_id


def intents(_before: ProcessorEventState, event: e.ProcessorEventEvent, after: ProcessorEventState) -> list[Row]:
    """One row each time that the event is to be processed.

    Its key is the event's own: one that waits for what another of the same order will tell must not hold that up.
    """
    match event:
        case e.ProcessorEventReceived() | e.ProcessorEventReprocessRequested():
            if isinstance(after, Absent):
                return []
            facts = after.facts
            return [
                {
                    "id": effect_id(event.originator_id, event.originator_version, Kind.PROCESS),
                    "key": f"inbox-{facts.event_id}",
                    "lane": f"inbox:{facts.merchant_id}",
                    "kind": Kind.PROCESS.value,
                    "payload": {"eventId": facts.event_id, "merchantId": facts.merchant_id, "orderId": facts.order_id},
                    "correlation_id": event.meta.correlation_id,
                    "traceparent": event.meta.traceparent,
                }
            ]
        case e.ProcessorEventJudged():
            return []
        case _:
            assert_never(event)


INBOX_OUTBOX = InlineProjection("outbox", "id", COLUMNS, intents, silent=(e.ProcessorEventJudged,))
"""Give it to the aggregate of processor events beside its read table. A replay fires nothing again."""
