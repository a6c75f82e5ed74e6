"""Read tables of a merchant: ``merchants``, ``api_keys`` and ``processor_configs``."""

from __future__ import annotations

from typing import assert_never

from payloops.events import merchant as e
from payloops.events.merchant_state import ApiKey, MerchantState, ProcessorConfig, Registered
from payloops.projections.base import InlineProjection, Row
from payloops.values import iso


def merchant_rows(_before: MerchantState, event: e.MerchantEvent, after: Registered) -> list[Row]:
    """The account's row, when the event is about the account itself."""
    if not isinstance(event, e.MerchantRegistered | e.ProfileChanged | e.PasswordChanged | e.TokensRevoked):
        return []
    return [
        {
            "id": after.merchant_id,
            "version": after.profile_version,
            "name": after.name,
            "email": after.email,
            "email_digest": after.email_digest,
            "password_hash": after.password_hash,
            "webhook_url": after.webhook_url,
            "token_version": after.token_version,
            "created_at": after.created_at,
            "updated_at": after.updated_at,
        }
    ]


def api_key_rows(_before: MerchantState, event: e.MerchantEvent, after: Registered) -> list[Row]:
    """The row of the key that the event is about."""
    if not isinstance(event, e.ApiKeyCreated | e.ApiKeyRevoked | e.ApiKeyRolled):
        return []
    return [_api_key(after, after.api_keys[event.key_id])]


def _api_key(merchant: Registered, key: ApiKey) -> Row:
    return {
        "id": key.key_id,
        "merchant_id": merchant.merchant_id,
        "public_id": key.public_id,
        "prefix": key.prefix,
        "name": key.name,
        "secret_hash": key.secret_hash,
        "live": key.live,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def processor_config_rows(before: MerchantState, event: e.MerchantEvent, after: Registered) -> list[Row]:
    """The row of the configuration that the event is about; a removed one keeps no credentials."""
    match event:
        case e.ProcessorConfigured() | e.ProcessorFlagsChanged():
            return [_processor_config(after, after.processors[event.processor])]
        case e.ProcessorRemoved():
            if not isinstance(before, Registered):
                return []
            row = _processor_config(after, before.processors[event.processor])
            gone: Row = {"credentials": None, "retired": [], "webhook_endpoint_id": None}
            return [{**row, **gone, "updated_at": event.timestamp, "removed_at": event.timestamp}]
        case e.MerchantRegistered() | e.ProfileChanged() | e.PasswordChanged() | e.TokensRevoked():
            return []
        case e.ApiKeyCreated() | e.ApiKeyRevoked() | e.ApiKeyRolled():
            return []
        case _:
            assert_never(event)


def _processor_config(merchant: Registered, config: ProcessorConfig) -> Row:
    return {
        "id": config.config_id,
        "merchant_id": merchant.merchant_id,
        "processor": config.processor,
        "credentials": config.credentials,
        "enabled": config.enabled,
        "priority": config.priority,
        "test_mode": config.test_mode,
        "created_at": config.created_at,
        "updated_at": config.updated_at,
        "removed_at": None,
        "webhook_endpoint_id": config.webhook_endpoint_id,
        "retired": [{"credentials": one.credentials, "expiresAt": iso(one.expires_at)} for one in config.retired],
    }


MERCHANTS = InlineProjection(
    "merchants",
    "id",
    (
        "id",
        "version",
        "name",
        "email",
        "email_digest",
        "password_hash",
        "webhook_url",
        "token_version",
        "created_at",
        "updated_at",
    ),
    merchant_rows,
)
API_KEYS = InlineProjection(
    "api_keys",
    "id",
    (
        "id",
        "merchant_id",
        "public_id",
        "prefix",
        "name",
        "secret_hash",
        "live",
        "scopes",
        "created_at",
        "expires_at",
        "revoked_at",
    ),
    api_key_rows,
)
PROCESSOR_CONFIGS = InlineProjection(
    "processor_configs",
    "id",
    (
        "id",
        "merchant_id",
        "processor",
        "credentials",
        "enabled",
        "priority",
        "test_mode",
        "created_at",
        "updated_at",
        "removed_at",
        "webhook_endpoint_id",
        "retired",
    ),
    processor_config_rows,
)
