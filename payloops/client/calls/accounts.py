"""Accounts and API keys, by token (``/api/auth``, ``/api/me``, ``/api/api-keys``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from payloops.client.core.call import UNSET, Call, Unset, fields, nullable, read, write
from payloops.client.models.accounts import CreatedApiKey, ListedApiKey, Merchant, NewToken, Scope, SignedIn


def register(*, name: str, email: str, password: str) -> Call[SignedIn]:
    """Make an account. Takes no idempotency key. Raises InvalidRequest (``email_exists``), RateLimited."""
    body = fields(name=name, email=email, password=password)
    return _auth("register", SignedIn, body, public=True)


def login(*, email: str, password: str) -> Call[SignedIn]:
    """Sign in. Raises AuthenticationFailed (``invalid_credentials``), RateLimited."""
    # It changes nothing, so it may be repeated as a read may.
    return Call(
        method="POST",
        route="/api/auth/login",
        answer=SignedIn,
        body=fields(email=email, password=password),
        public=True,
    )


def logout(*, everywhere: bool | None = None) -> Call[None]:
    """Revoke this token, or ``everywhere`` all of the account's."""
    return _auth("logout", None, fields(everywhere=everywhere))


def change_password(*, current_password: str, new_password: str) -> Call[NewToken]:
    """Change the password: a new token, and every other is revoked. Raises AuthenticationFailed, RateLimited."""
    return _auth("password", NewToken, fields(current_password=current_password, new_password=new_password))


def _auth(name: str, answer: Any, body: dict[str, Any], *, public: bool = False) -> Call[Any]:
    return Call(method="POST", route=f"/api/auth/{name}", answer=answer, body=body, safety="unkeyed", public=public)


def get_profile() -> Call[Merchant]:
    """The merchant's profile."""
    return read("/api/me", Merchant)


def update_profile(
    *, name: str | Unset = UNSET, webhook_url: str | Unset | None = UNSET, idempotency_key: str | None = None
) -> Call[Merchant]:
    """Change the profile; what is not named stays, ``webhook_url=None`` takes the address away."""
    body = nullable(name=name, webhook_url=webhook_url)
    return write("PUT", "/api/me", Merchant, body=body, idempotency_key=idempotency_key)


def list_api_keys() -> Call[list[ListedApiKey]]:
    """All API keys, newest first."""
    return read("/api/api-keys", list[ListedApiKey])


def create_api_key(
    name: str,
    *,
    scopes: Sequence[Scope] | None = None,
    mode: Literal["test", "live"] | None = None,
    expires_at: datetime | None = None,
    idempotency_key: str | None = None,
) -> Call[CreatedApiKey]:
    """Make an API key; its ``secret`` is shown this once. No scopes mean all; a test key unless ``mode="live"``."""
    body = fields(name=name, scopes=None if scopes is None else list(scopes), mode=mode, expires_at=expires_at)
    return write("POST", "/api/api-keys", CreatedApiKey, body=body, idempotency_key=idempotency_key)


def roll_api_key(
    key_id: str, *, overlap_seconds: int | None = None, idempotency_key: str | None = None
) -> Call[CreatedApiKey]:
    """Replace a key by a new one; the old one ends at once, or after the overlap (at most a week)."""
    body = fields(overlap_seconds=overlap_seconds)
    return write(
        "POST", "/api/api-keys/{id}/roll", CreatedApiKey, body=body, idempotency_key=idempotency_key, id=key_id
    )


def revoke_api_key(key_id: str, *, idempotency_key: str | None = None) -> Call[None]:
    """End a key: from the next request on it is refused everywhere."""
    return write("DELETE", "/api/api-keys/{id}", None, idempotency_key=idempotency_key, id=key_id)
