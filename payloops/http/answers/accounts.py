"""Accounts, API keys, processor configurations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from payloops.http.answers.base import Answer, Id, Time
from payloops.http.answers.orders import Processor
from payloops.http.schemas.api_keys import Scope


class Merchant(Answer):
    """A merchant's profile."""

    id: Id
    name: str
    email: str | None
    """Null after the personal data of the account was erased."""
    webhook_url: str | None
    """The URL of the default webhook endpoint."""
    created_at: Time
    updated_at: Time


class SignedIn(Answer):
    """A token for the dashboard's calls, and whose it is."""

    token: str
    merchant: Merchant


class NewToken(Answer):
    """A token for the dashboard's calls."""

    token: str


class MadeApiKey(Answer):
    """An API key, without the key itself."""

    id: Id
    name: str
    prefix: str
    """The beginning of the key, by which people know it."""
    scopes: list[Scope]
    """What it may do; empty means all."""
    expires_at: Time | None
    created_at: Time


class ListedApiKey(MadeApiKey):
    """An API key as it is listed."""

    last_used_at: Time | None
    revoked_at: Time | None


class CreatedApiKey(Answer):
    """A new API key; ``secret`` is shown this once."""

    api_key: MadeApiKey
    secret: str
    """The key itself, for the X-API-Key header."""


class ProcessorSetup(Answer):
    """How a processor is set up, without its credentials."""

    id: Id
    processor: Processor
    enabled: bool
    priority: int
    test_mode: bool
    created_at: Time
    updated_at: Time


class ProcessorWebhook(Answer):
    """How the processor's events find their way here."""

    status: Literal["registered", "configured", "manual", "failed"]
    url: str
    message: str
    """What was done, or what is left to be done by hand."""
    events: list[str] = Field(default=[])
    """What to choose in the processor's dashboard."""


class ConfiguredProcessor(ProcessorSetup):
    """How a processor is set up now, and how its events find their way here."""

    webhook: ProcessorWebhook
