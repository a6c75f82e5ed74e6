"""What can be asked of the inbox: to keep a processor's event, to say what became of it, to process it again.

Each ``decide`` is pure. The body arrives sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.errors import InvalidStatus, NotFound
from payloops.events import processor_event as e
from payloops.events.base import Meta, Sealed
from payloops.events.processor_event_state import Absent, Judged, ProcessorEventState, Received
from payloops.values import named_id, value

REPROCESSED_MAX: Final = 100


@value(frozen=True, slots=True)
class ReceiveProcessorEvent:
    """Keep an event whose signature holds; the same one again changes nothing."""

    event_id: UUID
    now: datetime
    meta: Meta
    merchant_id: UUID
    processor: str
    processor_event_id: str
    type: str
    order_id: UUID | None
    body: Sealed | None


@value(frozen=True, slots=True)
class JudgeProcessorEvent:
    """What became of it."""

    event_id: UUID
    now: datetime
    meta: Meta
    verdict: e.Verdict
    reason: str | None
    order_id: UUID | None


@value(frozen=True, slots=True)
class ReprocessProcessorEvent:
    """Process it again, whatever became of it; one that had its effect is refused."""

    event_id: UUID
    now: datetime
    meta: Meta


ProcessorEventRequest = ReceiveProcessorEvent | JudgeProcessorEvent | ReprocessProcessorEvent


def processor_event_id(merchant_id: UUID, processor: str, their_id: str) -> UUID:
    """The stream of a processor's event: the same however often it is sent."""
    return named_id(merchant_id, f"{processor}:{their_id}")


def decide(command: ProcessorEventRequest, state: ProcessorEventState) -> tuple[e.ProcessorEventEvent, ...]:
    """The events that the command causes; none when it is already so. Raises NotFound, InvalidStatus."""
    if isinstance(command, ReceiveProcessorEvent):
        return _receive(command, state)
    if isinstance(state, Absent):
        raise NotFound("No such processor event.")
    match command:
        case JudgeProcessorEvent():
            return _judge(command, state)
        case ReprocessProcessorEvent():
            return _reprocess(command, state)
        case _:
            assert_never(command)


def _receive(command: ReceiveProcessorEvent, state: ProcessorEventState) -> tuple[e.ProcessorEventEvent, ...]:
    if not isinstance(state, Absent):
        return ()
    return (
        e.ProcessorEventReceived(
            originator_id=command.event_id,
            originator_version=1,
            timestamp=command.now,
            meta=command.meta,
            merchant_id=command.merchant_id,
            processor=command.processor,
            processor_event_id=command.processor_event_id,
            type=command.type,
            order_id=command.order_id,
            body=command.body,
        ),
    )


def _judge(command: JudgeProcessorEvent, state: Received | Judged) -> tuple[e.ProcessorEventEvent, ...]:
    """The first verdict stands until somebody wants another: a second try of the same processing says nothing new."""
    if isinstance(state, Judged):
        return ()
    head = _head(command, state)
    return (e.ProcessorEventJudged(**head, verdict=command.verdict, reason=command.reason, order_id=command.order_id),)


def _reprocess(command: ReprocessProcessorEvent, state: Received | Judged) -> tuple[e.ProcessorEventEvent, ...]:
    if isinstance(state, Judged) and state.verdict == "processed":
        raise InvalidStatus("This event has had its effect.")
    if state.facts.reprocessed >= REPROCESSED_MAX:
        raise InvalidStatus(f"This event was processed again {REPROCESSED_MAX} times, which is the most.")
    return (e.ProcessorEventReprocessRequested(**_head(command, state)),)


def _head(command: JudgeProcessorEvent | ReprocessProcessorEvent, state: Received | Judged) -> dict[str, Any]:
    return {
        "originator_id": state.facts.event_id,
        "originator_version": state.facts.version + 1,
        "timestamp": command.now,
        "meta": command.meta,
    }
