"""Events of the inbox: what a processor told, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

from payloops.events.base import Event, Sealed

Verdict = Literal["processed", "ignored", "quarantined", "failed"]


@dataclass(frozen=True)
class ProcessorEventReceived(Event):
    """A processor's event with a signature that holds was stored, as it came."""

    TOPIC: ClassVar[str] = "processor_event.received.v1"

    merchant_id: UUID
    """Whose secret signed it."""
    processor: str
    processor_event_id: str
    type: str
    order_id: UUID | None
    """The order that it names; that it is the merchant's is not said."""
    body: Sealed | None
    """The raw body; None when the merchant's personal data was erased, so that none can be kept."""


@dataclass(frozen=True)
class ProcessorEventJudged(Event):
    """What became of it. ``order_id`` is the order that it was about, unless that is not the merchant's."""

    TOPIC: ClassVar[str] = "processor_event.judged.v1"

    verdict: Verdict
    reason: str | None
    """One sentence for people; None when the event had its effect."""
    order_id: UUID | None


@dataclass(frozen=True)
class ProcessorEventReprocessRequested(Event):
    """Somebody wants it processed again."""

    TOPIC: ClassVar[str] = "processor_event.reprocess_requested.v1"


ProcessorEventEvent = ProcessorEventReceived | ProcessorEventJudged | ProcessorEventReprocessRequested
