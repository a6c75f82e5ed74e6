"""Events of a merchant: the account, its API keys and its processor configurations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from payloops.events.base import Event, Sealed


@dataclass(frozen=True)
class MerchantRegistered(Event):
    """An account was made.

    ``email_digest`` is a keyed hash of the address's normal form: equal addresses have equal digests.
    """

    TOPIC: ClassVar[str] = "merchant.registered.v1"

    name: str
    email: Sealed
    email_digest: str
    password_hash: Sealed


@dataclass(frozen=True)
class ProfileChanged(Event):
    """The profile as it is from now on."""

    TOPIC: ClassVar[str] = "merchant.profile_changed.v1"

    name: str
    webhook_url: str | None


@dataclass(frozen=True)
class ApiKeyCreated(Event):
    """A key was made; its secret is shown once and kept as a hash. No scopes mean all."""

    TOPIC: ClassVar[str] = "merchant.api_key_created.v1"

    key_id: UUID
    public_id: str
    prefix: str
    name: str
    secret_hash: Sealed
    live: bool
    scopes: tuple[str, ...]
    expires_at: datetime | None


@dataclass(frozen=True)
class ApiKeyRevoked(Event):
    """The key is refused from the next request on."""

    TOPIC: ClassVar[str] = "merchant.api_key_revoked.v1"

    key_id: UUID


@dataclass(frozen=True)
class ProcessorConfigured(Event):
    """Credentials and flags of a processor were set, or set anew."""

    TOPIC: ClassVar[str] = "merchant.processor_configured.v1"

    config_id: UUID
    processor: str
    credentials: Sealed
    enabled: bool
    priority: int
    test_mode: bool


@dataclass(frozen=True)
class ProcessorFlagsChanged(Event):
    """The flags as they are from now on; the credentials stay."""

    TOPIC: ClassVar[str] = "merchant.processor_flags_changed.v1"

    processor: str
    enabled: bool
    priority: int
    test_mode: bool


@dataclass(frozen=True)
class ProcessorRemoved(Event):
    """The configuration and its credentials are gone."""

    TOPIC: ClassVar[str] = "merchant.processor_removed.v1"

    processor: str


MerchantEvent = (
    MerchantRegistered
    | ProfileChanged
    | ApiKeyCreated
    | ApiKeyRevoked
    | ProcessorConfigured
    | ProcessorFlagsChanged
    | ProcessorRemoved
)
