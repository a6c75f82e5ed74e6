"""Events of a merchant: the account, its tokens, its API keys and its processor configurations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
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
class PasswordChanged(Event):
    """Another password from now on. Every token of an earlier ``token_version`` holds no longer."""

    TOPIC: ClassVar[str] = "merchant.password_changed.v1"

    password_hash: Sealed
    token_version: int


@dataclass(frozen=True)
class TokensRevoked(Event):
    """The user signed out everywhere: every token of an earlier ``token_version`` holds no longer."""

    TOPIC: ClassVar[str] = "merchant.tokens_revoked.v1"

    token_version: int


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
class ApiKeyRolled(Event):
    """The key was replaced by another, ``successor_id``. ``expires_at`` is its end; None: it is refused at once."""

    TOPIC: ClassVar[str] = "merchant.api_key_rolled.v1"

    key_id: UUID
    successor_id: UUID
    expires_at: datetime | None


@dataclass(frozen=True)
class ProcessorConfigured(Event):
    """Credentials and flags of a processor were set, or set anew."""

    TOPIC: ClassVar[str] = "merchant.processor_configured.v2"
    class_version: ClassVar[int] = 2

    config_id: UUID
    processor: str
    credentials: Sealed
    enabled: bool
    priority: int
    test_mode: bool
    webhook_endpoint_id: str | None
    """The webhook endpoint that this service registered in the merchant's account."""
    retired_credentials: tuple[Sealed, ...]
    """Earlier ones, the newest first, whose webhook secret still holds."""
    retired_until: tuple[datetime, ...]
    """Until when that of each holds."""

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Before, an earlier webhook secret held no longer, and nothing was registered."""
        state |= {"webhook_endpoint_id": None, "retired_credentials": [], "retired_until": []}


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
    | PasswordChanged
    | TokensRevoked
    | ApiKeyCreated
    | ApiKeyRevoked
    | ApiKeyRolled
    | ProcessorConfigured
    | ProcessorFlagsChanged
    | ProcessorRemoved
)
