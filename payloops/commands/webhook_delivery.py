"""What can be asked of, and told to, a webhook delivery. Each ``decide`` is pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from payloops.errors import InvalidStatus, NotFound
from payloops.events import webhook_delivery as e
from payloops.events.base import Meta, Sealed
from payloops.events.webhook_delivery_state import Absent, Existing, WebhookDeliveryState, has_ended

Verdict = Literal["delivered", "retry", "failed"]
Target = Literal["enabled", "disabled", "removed"]
"""What has become of the endpoint, as who asks has seen it. One that is gone by then ends the delivery as failed."""


@dataclass(frozen=True, slots=True)
class WebhookDeliveryCommand:
    """What all commands to a delivery say."""

    delivery_id: UUID
    merchant_id: UUID
    now: datetime
    meta: Meta


@dataclass(frozen=True, slots=True)
class ScheduleDelivery(WebhookDeliveryCommand):
    """Have a workflow send the event to the endpoint. ``payload`` is a sample's, whose event is in no table."""

    endpoint_id: UUID
    url: str
    order_id: UUID | None
    event_id: UUID
    event_type: str
    sequence: int
    workflow_id: str
    payload: dict[str, Any] | None = None
    target: Target = "enabled"


@dataclass(frozen=True, slots=True)
class RecordAttempt(WebhookDeliveryCommand):
    """One request was made. ``next_attempt_at`` stands with the verdict ``retry``, and only with it."""

    attempt: int
    started_at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    response_body: Sealed | None
    verdict: Verdict
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GiveUpDelivery(WebhookDeliveryCommand):
    """End it without a further attempt: its endpoint is gone or disabled."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryDelivery(WebhookDeliveryCommand):
    """Send it now: at once if it is under way, in a new round if it has ended."""

    target: Target = "enabled"


WebhookDeliveryRequest = ScheduleDelivery | RecordAttempt | GiveUpDelivery | RetryDelivery


def decide(command: WebhookDeliveryRequest, state: WebhookDeliveryState) -> tuple[e.WebhookDeliveryEvent, ...]:
    """The events that the command causes; none when it is already so. Raises NotFound, InvalidStatus."""
    if isinstance(command, ScheduleDelivery):
        return schedule(command, state)
    if isinstance(state, Absent):
        raise NotFound("No such webhook delivery.")
    match command:
        case RecordAttempt():
            return record_attempt(command, state)
        case GiveUpDelivery():
            return give_up(command, state)
        case RetryDelivery():
            return retry(command, state)
        case _:
            assert_never(command)


def schedule(command: ScheduleDelivery, state: WebhookDeliveryState) -> tuple[e.WebhookDeliveryEvent, ...]:
    """A delivery; nothing when it exists: its id is made of event and endpoint, so it is the same one."""
    if not isinstance(state, Absent):
        return ()
    _require_enabled(command.target)
    return (
        e.DeliveryScheduled(
            **_head(command, 0),
            merchant_id=command.merchant_id,
            endpoint_id=command.endpoint_id,
            url=command.url,
            order_id=command.order_id,
            event_id=command.event_id,
            event_type=command.event_type,
            sequence=command.sequence,
            workflow_id=command.workflow_id,
            payload=command.payload,
        ),
    )


def record_attempt(command: RecordAttempt, state: Existing) -> tuple[e.WebhookDeliveryEvent, ...]:
    """The attempt; nothing when one of its number is known. Raises InvalidStatus for one that skips a number."""
    attempts = state.facts.attempts
    if command.attempt <= attempts:
        return ()
    if command.attempt != attempts + 1:
        raise InvalidStatus(f"Attempt {command.attempt} can't follow attempt {attempts}.")
    if (command.verdict == e.RETRY) != (command.next_attempt_at is not None):
        raise InvalidStatus("An attempt names the time of the next one when there is to be one, and only then.")
    return (
        e.DeliveryAttempted(
            **_head(command, state.facts.version),
            attempt=command.attempt,
            started_at=command.started_at,
            duration_ms=command.duration_ms,
            status_code=command.status_code,
            error=command.error,
            response_body=command.response_body,
            verdict=command.verdict,
            next_attempt_at=command.next_attempt_at,
        ),
    )


def give_up(command: GiveUpDelivery, state: Existing) -> tuple[e.WebhookDeliveryEvent, ...]:
    """A delivery that is under way ends as failed."""
    if has_ended(state):
        return ()
    return (e.DeliveryGivenUp(**_head(command, state.facts.version), reason=command.reason),)


def retry(command: RetryDelivery, state: Existing) -> tuple[e.WebhookDeliveryEvent, ...]:
    """Its workflow is told to go on now, or another one begins."""
    _require_enabled(command.target)
    facts = state.facts
    ended = has_ended(state)
    number = facts.round + 1 if ended else facts.round
    return (
        e.DeliveryRetried(
            **_head(command, facts.version),
            signal=not ended,
            round=number,
            workflow_id=e.delivery_workflow_id(facts.delivery_id, number) if ended else facts.workflow_id,
        ),
    )


def _require_enabled(target: Target) -> None:
    match target:
        case "enabled":
            return
        case "disabled":
            raise InvalidStatus("The webhook endpoint is disabled; enable it first.")
        case "removed":
            raise InvalidStatus("The webhook endpoint was removed; there is nowhere to send this to.")
        case _:
            assert_never(target)


def _head(command: WebhookDeliveryCommand, version: int) -> dict[str, Any]:
    return {
        "originator_id": command.delivery_id,
        "originator_version": version + 1,
        "timestamp": command.now,
        "meta": command.meta,
    }
