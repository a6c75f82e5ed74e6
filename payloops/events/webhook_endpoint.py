"""Events of a webhook endpoint: an address of the merchant's that is told of public events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID, uuid5

from payloops.events.base import Event, Sealed


@dataclass(frozen=True)
class EndpointCreated(Event):
    """From now on public events go to ``url``. No event types mean all.

    ``is_default``: it is the merchant's ``webhookUrl``, whose stream has the id of ``default_endpoint_id``.
    """

    TOPIC: ClassVar[str] = "webhook_endpoint.created.v1"

    merchant_id: UUID
    url: str
    event_types: tuple[str, ...]
    enabled: bool
    secret: Sealed
    is_default: bool


@dataclass(frozen=True)
class EndpointChanged(Event):
    """The settings as they are from now on. An endpoint that is enabled has no reason to be disabled any more."""

    TOPIC: ClassVar[str] = "webhook_endpoint.changed.v1"

    url: str
    event_types: tuple[str, ...]
    enabled: bool


@dataclass(frozen=True)
class EndpointDisabled(Event):
    """The system sends nothing there any more: the receiver said so (``gone``) or has failed for long (``failing``)."""

    TOPIC: ClassVar[str] = "webhook_endpoint.disabled.v1"

    reason: str


@dataclass(frozen=True)
class EndpointSecretRotated(Event):
    """A new secret signs; the one before it signs beside it until ``previous_expires_at``."""

    TOPIC: ClassVar[str] = "webhook_endpoint.secret_rotated.v1"

    secret: Sealed
    previous_expires_at: datetime


@dataclass(frozen=True)
class EndpointRemoved(Event):
    """Nothing goes there any more, and for its merchant it does not exist."""

    TOPIC: ClassVar[str] = "webhook_endpoint.removed.v1"


@dataclass(frozen=True)
class EndpointRestored(Event):
    """The default endpoint is back, enabled, at ``url`` and with the secret that it had."""

    TOPIC: ClassVar[str] = "webhook_endpoint.restored.v1"

    url: str
    event_types: tuple[str, ...]


WebhookEndpointEvent = (
    EndpointCreated | EndpointChanged | EndpointDisabled | EndpointSecretRotated | EndpointRemoved | EndpointRestored
)


def default_endpoint_id(merchant_id: UUID) -> UUID:
    """The endpoint that is the merchant's ``webhookUrl``: the same for ever."""
    return uuid5(merchant_id, "default-endpoint")
