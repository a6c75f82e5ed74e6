"""What an event of the inbox is, folded from its own events. The body stays in the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from payloops.events import processor_event as e
from payloops.values import value


@value(frozen=True, slots=True)
class Facts:
    """What is known of it, judged or not. ``since`` is when it was received, or last asked to be processed again."""

    event_id: UUID
    version: int
    merchant_id: UUID
    processor: str
    processor_event_id: str
    type: str
    order_id: UUID | None
    received_at: datetime
    since: datetime
    reprocessed: int = 0


@value(frozen=True, slots=True)
class Absent:
    """Not received yet."""


@value(frozen=True, slots=True)
class Received:
    """Stored, and to be processed."""

    facts: Facts


@value(frozen=True, slots=True)
class Judged:
    """Processed, with or without an effect."""

    facts: Facts
    verdict: e.Verdict
    reason: str | None
    judged_at: datetime


ProcessorEventState = Absent | Received | Judged

INITIAL = Absent()


class ImpossibleHistory(Exception):
    """The log holds an event that its state can't take: a fault of ours or of the log, never of a caller."""


def evolve(state: ProcessorEventState, event: e.ProcessorEventEvent) -> ProcessorEventState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if isinstance(state, Absent):
        if not isinstance(event, e.ProcessorEventReceived) or event.originator_version != 1:
            raise ImpossibleHistory(f"{event.TOPIC} begins a stream at version {event.originator_version}")
        return Received(_received(event))
    facts = state.facts
    if event.originator_version != facts.version + 1:
        raise ImpossibleHistory(f"version {event.originator_version} follows version {facts.version}")
    match event:
        case e.ProcessorEventJudged() if isinstance(state, Received):
            after = replace(facts, version=event.originator_version, order_id=event.order_id)
            return Judged(after, event.verdict, event.reason, event.timestamp)
        case e.ProcessorEventReprocessRequested():
            return Received(
                replace(
                    facts,
                    version=event.originator_version,
                    since=event.timestamp,
                    reprocessed=facts.reprocessed + 1,
                )
            )
        case e.ProcessorEventReceived() | e.ProcessorEventJudged():
            raise ImpossibleHistory(f"{event.TOPIC} when {type(state).__name__}")
        case _:
            assert_never(event)


def _received(event: e.ProcessorEventReceived) -> Facts:
    return Facts(
        event_id=event.originator_id,
        version=event.originator_version,
        merchant_id=event.merchant_id,
        processor=event.processor,
        processor_event_id=event.processor_event_id,
        type=event.type,
        order_id=event.order_id,
        received_at=event.timestamp,
        since=event.timestamp,
    )
