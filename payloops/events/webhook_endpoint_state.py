"""What a webhook endpoint is, folded from its events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from payloops.events import webhook_endpoint as e
from payloops.events.base import Sealed


@dataclass(frozen=True, slots=True)
class Absent:
    """No such endpoint yet."""


@dataclass(frozen=True, slots=True)
class Active:
    """An endpoint that its merchant has. ``disabled_reason`` is the system's; the merchant gives none."""

    endpoint_id: UUID
    merchant_id: UUID
    version: int
    url: str
    event_types: tuple[str, ...]
    enabled: bool
    disabled_reason: str | None
    is_default: bool
    secret: Sealed
    previous_secret: Sealed | None
    previous_expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Removed:
    """``last`` is what it was; its version goes on counting."""

    last: Active
    removed_at: datetime


WebhookEndpointState = Absent | Active | Removed

INITIAL = Absent()


class ImpossibleHistory(Exception):
    """The log holds an event that its state can't take: a fault of ours or of the log, never of a caller."""


def version(state: WebhookEndpointState) -> int:
    """The version of the stream's last event; 0 before the first."""
    match state:
        case Absent():
            return 0
        case Active():
            return state.version
        case Removed():
            return state.last.version
        case _:
            assert_never(state)


def owner(state: WebhookEndpointState) -> UUID | None:
    """The merchant that it belongs, or belonged, to."""
    match state:
        case Absent():
            return None
        case Active():
            return state.merchant_id
        case Removed():
            return state.last.merchant_id
        case _:
            assert_never(state)


def evolve(state: WebhookEndpointState, event: e.WebhookEndpointEvent) -> WebhookEndpointState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if event.originator_version != version(state) + 1:
        raise ImpossibleHistory(f"version {event.originator_version} follows version {version(state)}")
    match state:
        case Absent():
            if not isinstance(event, e.EndpointCreated):
                raise ImpossibleHistory(f"{event.TOPIC} begins a stream")
            return _created(event)
        case Active():
            return _evolve_active(state, event)
        case Removed():
            if not isinstance(event, e.EndpointRestored):
                raise ImpossibleHistory(f"{event.TOPIC} of a removed endpoint")
            return _restored(state.last, event)
        case _:
            assert_never(state)


def _created(event: e.EndpointCreated) -> Active:
    return Active(
        endpoint_id=event.originator_id,
        merchant_id=event.merchant_id,
        version=event.originator_version,
        url=event.url,
        event_types=event.event_types,
        enabled=event.enabled,
        disabled_reason=None,
        is_default=event.is_default,
        secret=event.secret,
        previous_secret=None,
        previous_expires_at=None,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def _evolve_active(before: Active, event: e.WebhookEndpointEvent) -> Active | Removed:
    state = replace(before, version=event.originator_version, updated_at=event.timestamp)
    match event:
        case e.EndpointChanged():
            return replace(
                state,
                url=event.url,
                event_types=event.event_types,
                enabled=event.enabled,
                disabled_reason=None if event.enabled else state.disabled_reason,
            )
        case e.EndpointDisabled():
            return replace(state, enabled=False, disabled_reason=event.reason)
        case e.EndpointSecretRotated():
            return replace(
                state,
                secret=event.secret,
                previous_secret=state.secret,
                previous_expires_at=event.previous_expires_at,
            )
        case e.EndpointRemoved():
            return Removed(state, event.timestamp)
        case e.EndpointCreated() | e.EndpointRestored():
            raise ImpossibleHistory(f"{event.TOPIC} of what is there already")
        case _:
            assert_never(event)


def _restored(last: Active, event: e.EndpointRestored) -> Active:
    return replace(
        last,
        version=event.originator_version,
        url=event.url,
        event_types=event.event_types,
        enabled=True,
        disabled_reason=None,
        updated_at=event.timestamp,
    )
