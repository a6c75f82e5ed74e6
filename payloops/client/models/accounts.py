"""Accounts, API keys, processor configurations. What is secret is in no repr."""

# ruff: noqa: PYI051 - the words of today are named for people and editors; a newer service may have others

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field

from payloops.client.models.base import Model
from payloops.client.models.orders import Processor

Scope: TypeAlias = Literal["orders:read", "orders:write", "refunds:write", "checkout:read", "checkout:write"] | str


class Merchant(Model):
    """A merchant's profile."""

    id: str
    name: str
    email: str | None
    """None after the personal data of the account was erased."""
    webhook_url: str | None
    """The URL of the default webhook endpoint."""
    created_at: datetime
    updated_at: datetime


class SignedIn(Model):
    """A token for the dashboard's calls, and whose it is."""

    token: str = Field(repr=False)
    merchant: Merchant


class NewToken(Model):
    """A token for the dashboard's calls."""

    token: str = Field(repr=False)


class MadeApiKey(Model):
    """An API key, without the key itself."""

    id: str
    name: str
    prefix: str
    """The beginning of the key, by which people know it."""
    scopes: list[Scope]
    """What it may do; empty means all."""
    expires_at: datetime | None
    created_at: datetime


class ListedApiKey(MadeApiKey):
    """An API key as it is listed."""

    last_used_at: datetime | None
    revoked_at: datetime | None


class CreatedApiKey(Model):
    """A new API key; ``secret`` is shown this once."""

    api_key: MadeApiKey
    secret: str = Field(repr=False)
    """The key itself: what ``PayLoops(api_key=…)`` takes."""


class ProcessorSetup(Model):
    """How a processor is set up, without its credentials."""

    id: str
    processor: Processor
    enabled: bool
    priority: int
    test_mode: bool
    created_at: datetime
    updated_at: datetime


class ProcessorWebhook(Model):
    """How the processor's events find their way to the service."""

    status: Literal["registered", "configured", "manual", "failed"] | str
    url: str
    message: str
    """What was done, or what is left to be done by hand."""
    events: list[str] = Field(default=[])
    """What to choose in the processor's dashboard."""


class ConfiguredProcessor(ProcessorSetup):
    """How a processor is set up now, and how its events find their way to the service."""

    webhook: ProcessorWebhook
