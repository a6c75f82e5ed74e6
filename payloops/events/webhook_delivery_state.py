"""What a webhook delivery is, folded from its events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from payloops.events import webhook_delivery as e

DeliveryStatus = Literal["pending", "retrying", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """What is known of a delivery in every state."""

    delivery_id: UUID
    version: int
    merchant_id: UUID
    endpoint_id: UUID
    url: str
    order_id: UUID | None
    event_id: UUID
    event_type: str
    sequence: int
    payload: dict[str, Any] | None
    correlation_id: str
    """Of the request that caused the event; ``traceparent`` likewise."""
    traceparent: str | None
    workflow_id: str
    """Of the round that it is in."""
    round: int
    attempts: int
    """How many requests were made, in all rounds."""
    attempts_before: int
    """How many of them in earlier rounds: the schedule begins anew with each."""
    round_began_at: datetime
    last_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """No such delivery yet."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Nothing was sent in this round: it is about to be, or waits for its turn."""

    facts: DeliveryFacts


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt failed; the next is due at ``next_retry_at``."""

    facts: DeliveryFacts
    next_retry_at: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    """The endpoint took it."""

    facts: DeliveryFacts
    delivered_at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no further attempt unless the merchant asks for one."""

    facts: DeliveryFacts


Existing = Pending | Retrying | Delivered | Failed
WebhookDeliveryState = Absent | Existing

INITIAL = Absent()


class ImpossibleHistory(Exception):
    """The log holds an event that its state can't take: a fault of ours or of the log, never of a caller."""


def status(state: Existing) -> DeliveryStatus:
    """The status that clients see."""
    match state:
        case Pending():
            return "pending"
        case Retrying():
            return "retrying"
        case Delivered():
            return "delivered"
        case Failed():
            return "failed"
        case _:
            assert_never(state)


def has_ended(state: Existing) -> bool:
    """Whether nothing is under way: the next delivery of its order to its endpoint may go."""
    return isinstance(state, Delivered | Failed)


def version(state: WebhookDeliveryState) -> int:
    """The version of the stream's last event; 0 before the first."""
    return 0 if isinstance(state, Absent) else state.facts.version


def evolve(state: WebhookDeliveryState, event: e.WebhookDeliveryEvent) -> WebhookDeliveryState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if event.originator_version != version(state) + 1:
        raise ImpossibleHistory(f"version {event.originator_version} follows version {version(state)}")
    if isinstance(state, Absent):
        if not isinstance(event, e.DeliveryScheduled):
            raise ImpossibleHistory(f"{event.TOPIC} begins a stream")
        return Pending(_scheduled(event))
    facts = replace(state.facts, version=event.originator_version, updated_at=event.timestamp)
    match event:
        case e.DeliveryAttempted():
            return _attempted(state, facts, event)
        case e.DeliveryGivenUp():
            return Failed(replace(facts, last_error=event.reason))
        case e.DeliveryRetried():
            return _retried(state, facts, event)
        case e.DeliveryScheduled():
            raise ImpossibleHistory(f"{event.TOPIC} of what is there already")
        case _:
            assert_never(event)


def _scheduled(event: e.DeliveryScheduled) -> DeliveryFacts:
    return DeliveryFacts(
        delivery_id=event.originator_id,
        version=event.originator_version,
        merchant_id=event.merchant_id,
        endpoint_id=event.endpoint_id,
        url=event.url,
        order_id=event.order_id,
        event_id=event.event_id,
        event_type=event.event_type,
        sequence=event.sequence,
        payload=event.payload,
        correlation_id=event.meta.correlation_id,
        traceparent=event.meta.traceparent,
        workflow_id=event.workflow_id,
        round=1,
        attempts=0,
        attempts_before=0,
        round_began_at=event.timestamp,
        last_attempt_at=None,
        last_status_code=None,
        last_error=None,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def _attempted(state: Existing, facts: DeliveryFacts, event: e.DeliveryAttempted) -> Existing:
    """An attempt that ends after its delivery did adds its success, and its failure changes nothing."""
    if event.attempt != facts.attempts + 1:
        raise ImpossibleHistory(f"attempt {event.attempt} follows attempt {facts.attempts}")
    facts = replace(
        facts,
        attempts=event.attempt,
        last_attempt_at=event.started_at,
        last_status_code=event.status_code,
        last_error=event.error,
    )
    match state:
        case Delivered():
            return replace(state, facts=facts)
        case Pending() | Retrying() | Failed():
            if event.verdict == e.DELIVERED:
                return Delivered(facts, event.timestamp)
            if event.verdict == e.FAILED or isinstance(state, Failed):
                return Failed(facts)
            if event.next_attempt_at is None:
                raise ImpossibleHistory("an attempt that is to be followed by another does not say when")
            return Retrying(facts, event.next_attempt_at)
        case _:
            assert_never(state)


def _retried(state: Existing, facts: DeliveryFacts, event: e.DeliveryRetried) -> Existing:
    if event.signal == has_ended(state):
        raise ImpossibleHistory("a signal to a delivery that has ended, or a new round of one that has not")
    facts = replace(facts, round=event.round, workflow_id=event.workflow_id)
    if isinstance(state, Retrying):
        return replace(state, facts=facts, next_retry_at=event.timestamp)
    if has_ended(state):
        facts = replace(facts, attempts_before=facts.attempts, round_began_at=event.timestamp)
    return Pending(facts)
