"""Bodies of the calls on accounts: registering, signing in, the profile."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from payloops.crypto.hashing import PASSWORD_LENGTH_MAX
from payloops.http.schemas.base import Body, WebUrl, refused

PASSWORD_LENGTH_MIN = 8
NAME_LENGTH_MIN = 2


def _name(text: str) -> str:
    text = text.strip()
    if len(text) < NAME_LENGTH_MIN:
        raise refused(f"must have at least {NAME_LENGTH_MIN} characters")
    return text


Name = Annotated[str, Field(max_length=255), AfterValidator(_name)]


class RegisterBody(Body):
    """``POST /api/auth/register``."""

    name: Name
    email: str
    """Any text: what is an address and what is not, ``email_address`` decides."""
    password: Annotated[str, Field(min_length=PASSWORD_LENGTH_MIN, max_length=PASSWORD_LENGTH_MAX)]


class LoginBody(Body):
    """``POST /api/auth/login``: anything that is text is tried, so that a refusal tells nothing."""

    email: str
    password: str


class ProfileBody(Body):
    """``PUT /api/merchants/me``: what is not sent stays; a null ``webhookUrl`` takes the address away."""

    name: Name | None = None
    webhook_url: WebUrl | None = None
