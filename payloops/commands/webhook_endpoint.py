"""What can be asked of a webhook endpoint. Each ``decide`` is pure; secrets arrive sealed, it never sees one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, assert_never
from uuid import UUID

from payloops.errors import InvalidStatus, NotFound, RuleViolation
from payloops.events import webhook_endpoint as e
from payloops.events.base import Meta, Sealed
from payloops.events.webhook_endpoint_state import Absent, Active, Removed, WebhookEndpointState

ENDPOINTS_MAX: Final = 20
"""Of one merchant, at a time."""


@dataclass(frozen=True, slots=True)
class WebhookEndpointCommand:
    """What all commands to an endpoint say."""

    endpoint_id: UUID
    merchant_id: UUID
    now: datetime
    meta: Meta


@dataclass(frozen=True, slots=True)
class CreateEndpoint(WebhookEndpointCommand):
    """Have events sent to ``url``; no types mean all.

    ``is_default`` is for the merchant's ``webhookUrl``, of which there is one: where it exists already it goes to
    ``url`` from now on, keeping its types and secret; where it was removed it comes back with the secret that it had.
    """

    url: str
    event_types: tuple[str, ...]
    secret: Sealed
    enabled: bool = True
    is_default: bool = False
    endpoint_count: int = 0
    """How many endpoints the merchant has; the default one is never one too many."""


@dataclass(frozen=True, slots=True)
class ChangeEndpoint(WebhookEndpointCommand):
    """What is None stays. Enabling takes the reason away for which the system disabled it."""

    url: str | None = None
    event_types: tuple[str, ...] | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoveEndpoint(WebhookEndpointCommand):
    """Send nothing there any more. ``if_there``: one that is not there is as good as removed, and no error."""

    if_there: bool = False


@dataclass(frozen=True, slots=True)
class RotateSecret(WebhookEndpointCommand):
    """Sign with ``secret``, and until ``previous_expires_at`` with the one before it too."""

    secret: Sealed
    previous_expires_at: datetime


@dataclass(frozen=True, slots=True)
class DisableEndpoint(WebhookEndpointCommand):
    """By the system: the receiver answered 410, or has failed for long."""

    reason: Literal["gone", "failing"]


WebhookEndpointRequest = CreateEndpoint | ChangeEndpoint | RemoveEndpoint | RotateSecret | DisableEndpoint


def decide(command: WebhookEndpointRequest, state: WebhookEndpointState) -> tuple[e.WebhookEndpointEvent, ...]:
    """The events that the command causes; none when it is already so. Raises NotFound, RuleViolation."""
    match command:
        case CreateEndpoint():
            return create(command, state)
        case ChangeEndpoint():
            return change(command, existing(state))
        case RemoveEndpoint():
            return remove(command, state)
        case RotateSecret():
            return rotate_secret(command, existing(state))
        case DisableEndpoint():
            return disable(command, state)
        case _:
            assert_never(command)


def existing(state: WebhookEndpointState) -> Active:
    """The endpoint. Raises NotFound for one that is not there, or no more."""
    match state:
        case Active():
            return state
        case Absent() | Removed():
            raise NotFound("No such webhook endpoint.")
        case _:
            assert_never(state)


def create(command: CreateEndpoint, state: WebhookEndpointState) -> tuple[e.WebhookEndpointEvent, ...]:
    """A new endpoint; the default one is changed or restored where there was one."""
    match state:
        case Absent():
            return (_created(command),)
        case Active():
            return _redirect(command, state) if state.is_default and command.is_default else _again(command, state)
        case Removed(last=last):
            if not (last.is_default and command.is_default):
                raise InvalidStatus("This webhook endpoint was removed; make a new one.")
            return (
                e.EndpointRestored(**_head(command, last.version), url=command.url, event_types=command.event_types),
            )
        case _:
            assert_never(state)


def _created(command: CreateEndpoint) -> e.EndpointCreated:
    if command.endpoint_count >= ENDPOINTS_MAX and not command.is_default:
        raise RuleViolation(f"This account has {ENDPOINTS_MAX} webhook endpoints, which is the most; remove one first.")
    return e.EndpointCreated(
        **_head(command, 0),
        merchant_id=command.merchant_id,
        url=command.url,
        event_types=command.event_types,
        enabled=command.enabled,
        secret=command.secret,
        is_default=command.is_default,
    )


def _again(command: CreateEndpoint, state: Active) -> tuple[e.WebhookEndpointEvent, ...]:
    """The very same endpoint exists, as when an append is sent again. Raises InvalidStatus for another."""
    if command.secret != state.secret:
        raise InvalidStatus("A webhook endpoint with this id exists already.")
    return ()


def _redirect(command: CreateEndpoint, state: Active) -> tuple[e.WebhookEndpointEvent, ...]:
    """Another address: what the system found wrong with the one before it does not hold for it."""
    if command.url == state.url:
        return ()
    enabled = state.enabled or state.disabled_reason is not None
    return (
        e.EndpointChanged(
            **_head(command, state.version), url=command.url, event_types=state.event_types, enabled=enabled
        ),
    )


def change(command: ChangeEndpoint, state: Active) -> tuple[e.WebhookEndpointEvent, ...]:
    """The settings as they are from now on; nothing when they are so already."""
    url = state.url if command.url is None else command.url
    event_types = state.event_types if command.event_types is None else command.event_types
    enabled = state.enabled if command.enabled is None else command.enabled
    if (url, event_types, enabled) == (state.url, state.event_types, state.enabled):
        return ()
    return (e.EndpointChanged(**_head(command, state.version), url=url, event_types=event_types, enabled=enabled),)


def remove(command: RemoveEndpoint, state: WebhookEndpointState) -> tuple[e.WebhookEndpointEvent, ...]:
    """An endpoint that is there is gone from now on."""
    if command.if_there and not isinstance(state, Active):
        return ()
    return (e.EndpointRemoved(**_head(command, existing(state).version)),)


def rotate_secret(command: RotateSecret, state: Active) -> tuple[e.WebhookEndpointEvent, ...]:
    """Another secret. Of those before it only the last one goes on signing."""
    if command.secret == state.secret:
        return ()
    return (
        e.EndpointSecretRotated(
            **_head(command, state.version), secret=command.secret, previous_expires_at=command.previous_expires_at
        ),
    )


def disable(command: DisableEndpoint, state: WebhookEndpointState) -> tuple[e.WebhookEndpointEvent, ...]:
    """An enabled endpoint is disabled; what was removed or disabled meanwhile stays so."""
    match state:
        case Active(enabled=True):
            return (e.EndpointDisabled(**_head(command, state.version), reason=command.reason),)
        case Active() | Removed():
            return ()
        case Absent():
            raise NotFound("No such webhook endpoint.")
        case _:
            assert_never(state)


def _head(command: WebhookEndpointCommand, version: int) -> dict[str, Any]:
    return {
        "originator_id": command.endpoint_id,
        "originator_version": version + 1,
        "timestamp": command.now,
        "meta": command.meta,
    }
