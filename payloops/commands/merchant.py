"""What can be asked of a merchant's account, tokens, keys and processor configurations. Each ``decide`` is pure.

Secrets arrive sealed: this module never sees one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.errors import EmailExists, InvalidStatus, InvalidToken, NotFound, VersionConflict
from payloops.events import merchant as e
from payloops.events.base import Meta, Sealed
from payloops.events.merchant_state import Absent, MerchantState, ProcessorConfig, Registered, RetiredCredentials

API_KEYS_MAX: Final = 1000
"""API keys of one account that hold at the same time."""
API_KEYS_MADE_MAX: Final = 1000
API_KEYS_MADE_WITHIN: Final = timedelta(days=30)
"""So many in any such time, whatever became of them: the log keeps each for ever."""
WEBHOOK_SECRET_KEPT_MIN: Final = timedelta(hours=24)
WEBHOOK_SECRET_KEPT: Final = {"stripe": WEBHOOK_SECRET_KEPT_MIN, "razorpay": timedelta(hours=72)}
"""How long a processor may go on signing with a secret that was replaced (the wire contract, "Inbound webhooks")."""
RETIRED_MAX: Final = 4


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
    """What is None stays; ``clear_webhook_url`` takes the address away.

    ``expected_version`` is the profile's version that the change stands on, None: any.
    """

    name: str | None = None
    webhook_url: str | None = None
    clear_webhook_url: bool = False
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ChangePassword(MerchantCommand):
    """Take another password; ``token_version`` is that of the token with which it is asked."""

    password_hash: Sealed
    token_version: int


@dataclass(frozen=True, slots=True)
class RevokeTokens(MerchantCommand):
    """Let no token hold any more; ``token_version`` is that of the token with which it is asked."""

    token_version: int


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
class RollApiKey(MerchantCommand):
    """Replace a key by a new one of the same name, scopes, mode and lifetime; the old one ends in ``overlap_s``."""

    key_id: UUID
    new_key_id: UUID
    public_id: str
    prefix: str
    secret_hash: Sealed
    overlap_s: int = 0


@dataclass(frozen=True, slots=True)
class ConfigureProcessor(MerchantCommand):
    """``config_id`` is for a first configuration; a later one keeps its id.

    ``webhook_endpoint_id`` is what we registered at the processor. ``keeps_webhook_secret``: the secret is the one that
    the configuration had before, or there was none, so that none retires.
    """

    config_id: UUID
    processor: str
    credentials: Sealed
    enabled: bool
    priority: int
    test_mode: bool
    webhook_endpoint_id: str | None = None
    keeps_webhook_secret: bool = False


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
    | ChangePassword
    | RevokeTokens
    | CreateApiKey
    | RevokeApiKey
    | RollApiKey
    | ConfigureProcessor
    | ChangeProcessorFlags
    | RemoveProcessor
)


def decide(command: MerchantRequest, state: MerchantState) -> tuple[e.MerchantEvent, ...]:
    """The events that the command causes; none when it is already so.

    Raises NotFound, EmailExists, InvalidStatus, InvalidToken, VersionConflict.
    """
    if isinstance(command, RegisterMerchant):
        return register(command, state)
    if isinstance(state, Absent):
        raise NotFound("No such merchant.")
    match command:
        case ChangeProfile():
            return change_profile(command, state)
        case ChangePassword():
            return change_password(command, state)
        case RevokeTokens():
            return revoke_tokens(command, state)
        case CreateApiKey() | RevokeApiKey() | RollApiKey():
            return _decide_on_key(command, state)
        case ConfigureProcessor() | ChangeProcessorFlags() | RemoveProcessor():
            return _decide_on_processor(command, state)
        case _:
            assert_never(command)


def _decide_on_key(command: CreateApiKey | RevokeApiKey | RollApiKey, state: Registered) -> tuple[e.MerchantEvent, ...]:
    match command:
        case CreateApiKey():
            return create_api_key(command, state)
        case RevokeApiKey():
            return revoke_api_key(command, state)
        case RollApiKey():
            return roll_api_key(command, state)
        case _:
            assert_never(command)


def _decide_on_processor(
    command: ConfigureProcessor | ChangeProcessorFlags | RemoveProcessor, state: Registered
) -> tuple[e.MerchantEvent, ...]:
    match command:
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
    if command.expected_version is not None and command.expected_version != state.profile_version:
        raise VersionConflict(
            f"The profile is at version {state.profile_version}, not at the one that If-Match names; "
            "read it again and send its ETag unchanged."
        )
    name = state.name if command.name is None else command.name
    url = state.webhook_url if command.webhook_url is None else command.webhook_url
    if command.clear_webhook_url:
        url = None
    if (name, url) == (state.name, state.webhook_url):
        return ()
    return (e.ProfileChanged(**_head(command, state), name=name, webhook_url=url),)


def change_password(command: ChangePassword, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """Another password, and every token issued before is revoked."""
    _require_current_token(command.token_version, state)
    return (
        e.PasswordChanged(
            **_head(command, state), password_hash=command.password_hash, token_version=state.token_version + 1
        ),
    )


def revoke_tokens(command: RevokeTokens, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """Every token issued before is revoked."""
    _require_current_token(command.token_version, state)
    return (e.TokensRevoked(**_head(command, state), token_version=state.token_version + 1),)


def _require_current_token(token_version: int, state: Registered) -> None:
    """The token held when the request came; another one may have revoked it since."""
    if token_version != state.token_version:
        raise InvalidToken("This token is not valid: it is malformed, expired or revoked; sign in again.")


def create_api_key(command: CreateApiKey, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """A new key; nothing when this very key exists, as when an append is sent again."""
    if command.key_id in state.api_keys:
        return ()
    _require_room_for_a_key(command, state)
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


def _require_room_for_a_key(command: CreateApiKey | RollApiKey, state: Registered) -> None:
    """Keys that hold are counted, not those that ended: who rolls keys for years is never full.

    A roll without an overlap ends a key by itself.
    """
    keys = state.api_keys.values()
    ends = isinstance(command, RollApiKey) and not command.overlap_s
    if sum(key.holds(command.now) for key in keys) - ends >= API_KEYS_MAX:
        raise InvalidStatus(f"This account has {API_KEYS_MAX} API keys, which is the most; revoke some first.")
    # The state forgets keys that ended, the oldest first and never below this number, so that none is missed here.
    since = command.now - API_KEYS_MADE_WITHIN
    if sum(key.created_at > since for key in keys) >= API_KEYS_MADE_MAX:
        days = API_KEYS_MADE_WITHIN.days
        raise InvalidStatus(f"This account made {API_KEYS_MADE_MAX} API keys in {days} days, which is the most.")


def roll_api_key(command: RollApiKey, state: Registered) -> tuple[e.MerchantEvent, ...]:
    """A new key in place of one that holds; nothing when this very key exists, as when an append is sent again."""
    key = state.api_keys.get(command.key_id)
    if key is None:
        raise NotFound("No such API key.")
    if command.new_key_id in state.api_keys:
        return ()
    if not key.holds(command.now):
        raise InvalidStatus("This API key holds no longer, so it can't be rolled; create a new one.")
    if key.successor_id is not None:
        raise InvalidStatus("This API key was rolled already; roll the one that replaced it.")
    _require_room_for_a_key(command, state)
    lifetime = None if key.expires_at is None else key.expires_at - key.created_at
    last_moment = command.now + timedelta(seconds=command.overlap_s)
    if key.expires_at is not None:
        last_moment = min(last_moment, key.expires_at)
    head = _head(command, state)
    return (
        e.ApiKeyCreated(
            **head,
            key_id=command.new_key_id,
            public_id=command.public_id,
            prefix=command.prefix,
            name=key.name,
            secret_hash=command.secret_hash,
            live=key.live,
            scopes=key.scopes,
            expires_at=None if lifetime is None else command.now + lifetime,
        ),
        e.ApiKeyRolled(
            **(head | {"originator_version": state.version + 2}),
            key_id=key.key_id,
            successor_id=command.new_key_id,
            expires_at=last_moment if command.overlap_s else None,
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
    """Credentials and flags, new or in place of earlier ones, whose webhook secret holds on for a while."""
    before = state.processors.get(command.processor)
    retired = _retired(command, before)
    return (
        e.ProcessorConfigured(
            **_head(command, state),
            config_id=command.config_id if before is None else before.config_id,
            processor=command.processor,
            credentials=command.credentials,
            enabled=command.enabled,
            priority=command.priority,
            test_mode=command.test_mode,
            webhook_endpoint_id=command.webhook_endpoint_id,
            retired_credentials=tuple(one.credentials for one in retired),
            retired_until=tuple(one.expires_at for one in retired),
        ),
    )


def _retired(command: ConfigureProcessor, before: ProcessorConfig | None) -> tuple[RetiredCredentials, ...]:
    if before is None:
        return ()
    kept = tuple(one for one in before.retired if one.expires_at > command.now)
    if not command.keeps_webhook_secret:
        until = command.now + WEBHOOK_SECRET_KEPT.get(command.processor, WEBHOOK_SECRET_KEPT_MIN)
        kept = (RetiredCredentials(before.credentials, until), *kept)
    return kept[:RETIRED_MAX]


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
