"""Bodies of the calls on accounts: registering, signing in and out, the password, the profile."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from payloops.crypto.hashing import PASSWORD_LENGTH_MAX
from payloops.errors import InvalidInput
from payloops.http.email_address import normal_form
from payloops.http.schemas.base import Body, WebUrl, refused

PASSWORD_LENGTH_MIN = 8
NAME_LENGTH_MIN = 2


def _name(text: str) -> str:
    text = text.strip()
    if len(text) < NAME_LENGTH_MIN:
        raise refused(f"must have at least {NAME_LENGTH_MIN} characters")
    return text


Name = Annotated[
    str,
    Field(max_length=255),
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "minLength": NAME_LENGTH_MIN, "maxLength": 255}),
]


NewPassword = Annotated[str, Field(min_length=PASSWORD_LENGTH_MIN, max_length=PASSWORD_LENGTH_MAX)]


def _address(text: str) -> str:
    """Here already, so that a refusal names it beside the other fields."""
    try:
        normal_form(text)
    except InvalidInput as problem:
        ((_, why),) = problem.details
        raise refused(why) from None
    return text


class RegisterBody(Body):
    """``POST /api/auth/register``."""

    name: Name
    email: Annotated[str, AfterValidator(_address)]
    """As it was typed: what is an address and what is not, ``email_address`` decides."""
    password: NewPassword


class LoginBody(Body):
    """``POST /api/auth/login``: anything that is text is tried, so that a refusal tells nothing."""

    email: str
    password: str


class LogoutBody(Body):
    """``POST /api/auth/logout``: this token, or ``everywhere`` all of the account's."""

    everywhere: bool | None = None


class PasswordBody(Body):
    """``POST /api/auth/password``: the present password is tried, whatever text it is."""

    current_password: str
    new_password: NewPassword


class ProfileBody(Body):
    """``PUT /api/merchants/me``: what is not sent stays; a null ``webhookUrl`` takes the address away."""

    name: Name | None = None
    webhook_url: WebUrl | None = None
