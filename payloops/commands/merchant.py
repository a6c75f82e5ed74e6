"""What can be asked of a merchant's account, keys and processor configurations. Each ``decide`` is pure.

Secrets arrive sealed: this module never sees one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.errors import EmailExists, InvalidStatus, NotFound
from payloops.events import merchant as e
from payloops.events.base import Meta, Sealed
from payloops.events.merchant_state import Absent, MerchantState, Registered

API_KEYS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class MerchantCommand:
    """What all commands to a merchant say."""

    merchant_id: UUID
    now: datetime
    meta: Meta


@dataclass(frozen=True, slots=True)
class RegisterMerchant(MerchantCommand):
    """Open an account."""

    name: str
    email: Sealed
    email_digest: str
    password_hash: Sealed


@dataclass(frozen=True, slots=True)
class ChangeProfile(MerchantCommand):
    """What is None stays; ``clear_webhook_url`` takes the address away."""

    name: str | None = None
    webhook_url: str | None = None
    clear_webhook_url: bool = False


@dataclass(frozen=True, slots=True)
class CreateApiKey(MerchantCommand):
    """Add a key. No scopes mean all; ``live`` is the key's own mode."""

    key_id: UUID
    public_id: str
    prefix: str
    name: str
    secret_hash: Sealed
    live: bool
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RevokeApiKey(MerchantCommand):
    """Refuse a key from now on."""

    key_id: UUID


@dataclass(frozen=True, slots=True)
class ConfigureProcessor(MerchantCommand):
    """``config_id`` is for a first configuration; a later one keeps its id."""

    config_id: UUID
    processor: str
    credentials: Sealed
    enabled: bool
    priority: int
    test_mode: bool


@dataclass(frozen=True, slots=True)
class ChangeProcessorFlags(MerchantCommand):
    """What is None stays."""

    processor: str
    enabled: bool | None = None
    priority: int | None = None
    test_mode: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoveProcessor(MerchantCommand):
    """Forget a processor and its credentials."""

    processor: str


MerchantRequest = (
    RegisterMerchant
    | ChangeProfile
    | CreateApiKey
    | RevokeApiKey
    | ConfigureProcessor
    | ChangeProcessorFlags
    | RemoveProcessor
)


def decide(command: MerchantRequest, state: MerchantState) -> tuple[e.MerchantEvent, ...]:
    """The events that the command causes; none when it is already so. Raises NotFound, EmailExists, InvalidStatus."""
    if isinstance(command, RegisterMerchant):
        return register(command, state)
    if isinstance(state, Absent):
        raise NotFound("No such merchant.")
    match command:
        case ChangeProfile():
            return change_profile(command, state)
        case CreateApiKey():
            return create_api_key(command, state)
        case RevokeApiKey():
            return revoke_api_key(command, state)
        case ConfigureProcessor():
            return configure_processor(command, state)
        case ChangeProcessorFlags():
            return change_processor_flags(command, state)
        case RemoveProcessor():
            return remove_processor(command, state)
        case _:
            assert_never(command)


def register(command: RegisterMerchant, state: MerchantState) -> tuple[e.MerchantEvent, ...]:
    """That the address is new is for the append to find out: it claims ``email_digest``."""
    if not isinstance(state, Absent):
        raise EmailExists("An account with this id exists already.")
    return (
        e.MerchantRegistered(
            originator_id=command.merchant_id,
            originator_version=1,
            timestamp=command.now,
            meta=command.meta,
            name=command.name,
            email=command.email,
            email_digest=command.email_digest,
            password_hash=command.password_hash,
        ),
    )


def change_profile(command: ChangeProfile, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """The profile as it is from now on; nothing when it is so already."""
    name = state.name if command.name is None else command.name
    url = state.webhook_url if command.webhook_url is None else command.webhook_url
    if command.clear_webhook_url:
        url = None
    if (name, url) == (state.name, state.webhook_url):
        return ()
    return (e.ProfileChanged(**_head(command, state), name=name, webhook_url=url),)


def create_api_key(command: CreateApiKey, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """A new key; nothing when this very key exists, as when an append is sent again."""
    if command.key_id in state.api_keys:
        return ()
    if len(state.api_keys) >= API_KEYS_MAX:
        raise InvalidStatus(f"This account has had {API_KEYS_MAX} API keys, which is the most.")
    return (
        e.ApiKeyCreated(
            **_head(command, state),
            key_id=command.key_id,
            public_id=command.public_id,
            prefix=command.prefix,
            name=command.name,
            secret_hash=command.secret_hash,
            live=command.live,
            scopes=command.scopes,
            expires_at=command.expires_at,
        ),
    )


def revoke_api_key(command: RevokeApiKey, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """A key that the merchant has is refused from now on; twice is once."""
    key = state.api_keys.get(command.key_id)
    if key is None:
        raise NotFound("No such API key.")
    if key.revoked_at is not None:
        return ()
    return (e.ApiKeyRevoked(**_head(command, state), key_id=command.key_id),)


def configure_processor(command: ConfigureProcessor, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """Credentials and flags, new or in place of earlier ones."""
    before = state.processors.get(command.processor)
    return (
        e.ProcessorConfigured(
            **_head(command, state),
            config_id=command.config_id if before is None else before.config_id,
            processor=command.processor,
            credentials=command.credentials,
            enabled=command.enabled,
            priority=command.priority,
            test_mode=command.test_mode,
        ),
    )


def change_processor_flags(command: ChangeProcessorFlags, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """The flags as they are from now on; nothing when they are so already."""
    before = state.processors.get(command.processor)
    if before is None:
        raise NotFound("This processor is not configured.")
    enabled = before.enabled if command.enabled is None else command.enabled
    priority = before.priority if command.priority is None else command.priority
    test_mode = before.test_mode if command.test_mode is None else command.test_mode
    if (enabled, priority, test_mode) == (before.enabled, before.priority, before.test_mode):
        return ()
    return (
        e.ProcessorFlagsChanged(
            **_head(command, state),
            processor=command.processor,
            enabled=enabled,
            priority=priority,
            test_mode=test_mode,
        ),
    )


def remove_processor(command: RemoveProcessor, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """A processor that is configured is forgotten."""
    if command.processor not in state.processors:
        raise NotFound("This processor is not configured.")
    return (e.ProcessorRemoved(**_head(command, state), processor=command.processor),)


def _head(command: MerchantCommand, state: Registered) -> dict[str, Any]:
    return {
        "originator_id": state.merchant_id,
        "originator_version": state.version + 1,
        "timestamp": command.now,
        "meta": command.meta,
    }
