"""What a merchant is, folded from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

from payloops.events import merchant as e
from payloops.events.base import Sealed

ENDED_KEYS_KEPT: Final = 1000
"""API keys that hold no longer and are still known, the newest ones: an account that rolls its keys for years must not
grow with each. Older ones are in the log; of a key that is forgotten nothing can happen any more."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was made, revoked or not."""

    key_id: UUID
    public_id: str
    prefix: str
    name: str
    secret_hash: Sealed
    live: bool
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    successor_id: UUID | None = None
    """The key that replaced it."""

    def holds(self, at: datetime) -> bool:
        """Whether it is neither revoked nor expired at that time."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


@dataclass(frozen=True, slots=True)
class RetiredCredentials:
    """Earlier credentials: of them the webhook secret still holds, for retries of older events are signed by it."""

    credentials: Sealed
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ProcessorConfig:
    """How this merchant's payments reach a processor. A smaller ``priority`` goes first."""

    config_id: UUID
    processor: str
    credentials: Sealed
    enabled: bool
    priority: int
    test_mode: bool
    created_at: datetime
    updated_at: datetime
    webhook_endpoint_id: str | None = None
    """The webhook endpoint that this service registered in the merchant's account."""
    retired: tuple[RetiredCredentials, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """No account yet."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An account, with its API keys, the processors that it has now, and the last ENDED_KEYS_KEPT keys that ended."""

    merchant_id: UUID
    version: int
    name: str
    email: Sealed
    email_digest: str
    password_hash: Sealed
    created_at: datetime
    updated_at: datetime
    webhook_url: str | None = None
    profile_version: int = 1
    """Of the last event that changed the profile: its entity tag. Keys and processors come and go without it."""
    token_version: int = 0
    """Tokens say with which one they were issued; only those of the present one hold."""
    api_keys: Mapping[UUID, ApiKey] = field(default_factory=dict)
    processors: Mapping[str, ProcessorConfig] = field(default_factory=dict)


MerchantState = Absent | Registered

INITIAL = Absent()


class ImpossibleHistory(Exception):
    """The log holds an event that its state can't take: a fault of ours or of the log, never of a caller."""


def evolve(state: MerchantState, event: e.MerchantEvent) -> MerchantState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if isinstance(state, Absent):
        if not isinstance(event, e.MerchantRegistered) or event.originator_version != 1:
            raise ImpossibleHistory(f"{event.TOPIC} begins a stream at version {event.originator_version}")
        return _registered(event)
    if event.originator_version != state.version + 1:
        raise ImpossibleHistory(f"version {event.originator_version} follows version {state.version}")
    return _evolve_registered(replace(state, version=event.originator_version), event)


def _evolve_registered(state: Registered, event: e.MerchantEvent) -> Registered:
    match event:
        case e.ProfileChanged():
            return replace(
                state,
                name=event.name,
                webhook_url=event.webhook_url,
                profile_version=event.originator_version,
                updated_at=event.timestamp,
            )
        case e.PasswordChanged():
            return replace(state, password_hash=event.password_hash, token_version=event.token_version)
        case e.TokensRevoked():
            return replace(state, token_version=event.token_version)
        case e.ApiKeyCreated() | e.ApiKeyRevoked() | e.ApiKeyRolled():
            return _evolve_keys(state, event)
        case e.ProcessorConfigured() | e.ProcessorFlagsChanged() | e.ProcessorRemoved():
            return _evolve_processors(state, event)
        case e.MerchantRegistered():
            raise _impossible(event)
        case _:
            assert_never(event)


def _evolve_keys(state: Registered, event: e.ApiKeyCreated | e.ApiKeyRevoked | e.ApiKeyRolled) -> Registered:
    match event:
        case e.ApiKeyCreated() if event.key_id not in state.api_keys:
            key = _key(event)
        case e.ApiKeyRevoked() if event.key_id in state.api_keys:
            key = replace(state.api_keys[event.key_id], revoked_at=event.timestamp)
        case e.ApiKeyRolled() if event.key_id in state.api_keys:
            before = state.api_keys[event.key_id]
            key = replace(before, successor_id=event.successor_id)
            if event.expires_at is None:
                key = replace(key, revoked_at=event.timestamp)
            else:
                key = replace(key, expires_at=event.expires_at)
        case e.ApiKeyCreated() | e.ApiKeyRevoked() | e.ApiKeyRolled():
            raise _impossible(event)
        case _:
            assert_never(event)
    return replace(state, api_keys=_known({**state.api_keys, key.key_id: key}, event.timestamp))


def _known(keys: dict[UUID, ApiKey], now: datetime) -> dict[UUID, ApiKey]:
    """Without the oldest of those that ended, once they are too many."""
    if len(keys) <= ENDED_KEYS_KEPT:
        return keys
    ended = sorted((key for key in keys.values() if not key.holds(now)), key=lambda key: key.created_at)
    forgotten = {key.key_id for key in ended[:-ENDED_KEYS_KEPT]}
    return {key_id: key for key_id, key in keys.items() if key_id not in forgotten}


def _evolve_processors(
    state: Registered, event: e.ProcessorConfigured | e.ProcessorFlagsChanged | e.ProcessorRemoved
) -> Registered:
    match event:
        case e.ProcessorConfigured():
            return _with(state, _config(state.processors.get(event.processor), event))
        case e.ProcessorFlagsChanged() if event.processor in state.processors:
            config = replace(
                state.processors[event.processor],
                enabled=event.enabled,
                priority=event.priority,
                test_mode=event.test_mode,
                updated_at=event.timestamp,
            )
            return _with(state, config)
        case e.ProcessorRemoved() if event.processor in state.processors:
            return replace(state, processors={k: v for k, v in state.processors.items() if k != event.processor})
        case e.ProcessorFlagsChanged() | e.ProcessorRemoved():
            raise _impossible(event)
        case _:
            assert_never(event)


def _impossible(event: e.MerchantEvent) -> ImpossibleHistory:
    return ImpossibleHistory(f"{event.TOPIC} of what is there already, or not at all")


def _with(state: Registered, config: ProcessorConfig) -> Registered:
    return replace(state, processors={**state.processors, config.processor: config})


def _registered(event: e.MerchantRegistered) -> Registered:
    return Registered(
        merchant_id=event.originator_id,
        version=event.originator_version,
        name=event.name,
        email=event.email,
        email_digest=event.email_digest,
        password_hash=event.password_hash,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def _key(event: e.ApiKeyCreated) -> ApiKey:
    return ApiKey(
        key_id=event.key_id,
        public_id=event.public_id,
        prefix=event.prefix,
        name=event.name,
        secret_hash=event.secret_hash,
        live=event.live,
        scopes=event.scopes,
        created_at=event.timestamp,
        expires_at=event.expires_at,
    )


def _config(before: ProcessorConfig | None, event: e.ProcessorConfigured) -> ProcessorConfig:
    return ProcessorConfig(
        config_id=event.config_id,
        processor=event.processor,
        credentials=event.credentials,
        enabled=event.enabled,
        priority=event.priority,
        test_mode=event.test_mode,
        created_at=event.timestamp if before is None else before.created_at,
        updated_at=event.timestamp,
        webhook_endpoint_id=event.webhook_endpoint_id,
        retired=tuple(map(RetiredCredentials, event.retired_credentials, event.retired_until)),
    )
