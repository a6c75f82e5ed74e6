"""Accounts: registering, signing in, the profile."""

from __future__ import annotations

from typing import Any

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.merchant import ChangeProfile, RegisterMerchant
from payloops.errors import EmailExists, InvalidCredentials, InvalidInput, InvalidToken
from payloops.events.base import Actor, Event, Meta
from payloops.events.merchant_state import Absent, MerchantState, Registered
from payloops.http import email_address
from payloops.http.auth import TOKEN_VERSION
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.outcome import execute
from payloops.http.schemas.accounts import LoginBody, ProfileBody, RegisterBody
from payloops.http.schemas.base import checked, web_url_of_production
from payloops.http.services import Services
from payloops.projections.base import Row
from payloops.projections.order_wire import wire_time
from payloops.projections.personal_data import (
    MERCHANT_EMAIL,
    MerchantKey,
    open_password_hash,
    seal_password_hash,
)
from payloops.telemetry import traceparent
from payloops.values import new_id


async def register(request: Request, services: Services) -> Reply:
    """``POST /api/auth/register``."""
    asked = checked(RegisterBody, read_object(request))
    email_digest = email_address.digest(email_address.normal_form(asked.email))
    # The claim decides; asking first spares a hash for an address that is taken.
    if await services.views.merchant_by_email(email_digest) is not None:
        raise EmailExists("An account with this e-mail address exists.", param="email")
    password_hash = await services.hashing.hash_password(asked.password)
    merchant_id = new_id()
    key, key_row = services.personal.new_key(merchant_id)
    now = services.clock.now()
    command = RegisterMerchant(
        merchant_id=merchant_id,
        now=now,
        meta=Meta(new_id(), Actor("user", str(merchant_id)), request.correlation_id, traceparent=traceparent()),
        name=asked.name,
        email=key.seal(MERCHANT_EMAIL, merchant_id, asked.email.strip()),
        email_digest=email_digest,
        password_hash=seal_password_hash(services.ring, merchant_id, password_hash),
    )
    done = await services.handler.execute(
        services.merchants,
        merchant_id,
        command,
        new=True,
        claim=email_address.claim(email_digest),
        extra_rows={"merchant_keys": [dict(key_row)]},
    )
    token = services.jwt.issue(merchant_id, TOKEN_VERSION, now)
    return Reply(201, orjson.dumps({"token": token, "merchant": _of_state(registered(done.state), key)}))


async def login(request: Request, services: Services) -> Reply:
    """``POST /api/auth/login``: an unknown address takes the time of a wrong password, and gets its answer."""
    asked = checked(LoginBody, read_object(request))
    row = await _account(services, asked.email)
    sealed = None if row is None else open_password_hash(services.ring, row["id"], row["password_hash"])
    matches = await services.hashing.verify_password(asked.password, sealed)
    if row is None or not matches:
        raise InvalidCredentials("The e-mail address or the password is wrong.")
    token = services.jwt.issue(row["id"], TOKEN_VERSION, services.clock.now())
    key = await services.personal.key_for(row["id"])
    return Reply(200, orjson.dumps({"token": token, "merchant": wire_merchant(row, key)}))


async def get_profile(request: Request, services: Services) -> Reply:
    """``GET /api/merchants/me``."""
    row = await services.views.merchant(request.caller.merchant_id)
    if row is None:
        raise InvalidToken("the token is invalid or has expired")
    key = await services.personal.key_for(request.caller.merchant_id)
    return Reply(200, orjson.dumps(wire_merchant(row, key)))


async def put_profile(request: Request, services: Services) -> Reply:
    """``PUT /api/merchants/me``."""
    body = read_object(request)
    asked = checked(ProfileBody, body)
    if asked.webhook_url is not None and services.settings.production:
        web_url_of_production(asked.webhook_url, "webhookUrl")
    merchant_id = request.caller.merchant_id
    key = await services.personal.key_for(merchant_id)
    command = ChangeProfile(
        merchant_id=merchant_id,
        now=services.clock.now(),
        meta=request.meta(),
        name=asked.name,
        webhook_url=asked.webhook_url,
        clear_webhook_url="webhook_url" in asked.model_fields_set and asked.webhook_url is None,
    )

    def respond(state: MerchantState, _events: tuple[Event, ...]) -> Response:
        return Response(200, orjson.dumps(_of_state(registered(state), key)), secret=True)

    done = await execute(
        request,
        services,
        services.merchants,
        merchant_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
    )
    return reply_of(done.response)


def registered(state: MerchantState) -> Registered:
    """The state of a merchant that a command was executed on."""
    if isinstance(state, Absent):
        raise TypeError("a command on a merchant leaves a merchant")
    return state


def wire_merchant(row: Row, key: MerchantKey) -> dict[str, Any]:
    """The profile of the wire contract."""
    return {
        "id": row["id"],
        "name": row["name"],
        "email": key.open(MERCHANT_EMAIL, row["id"], row["email"]),
        "webhookUrl": row["webhook_url"],
        "createdAt": wire_time(row["created_at"]),
        "updatedAt": wire_time(row["updated_at"]),
    }


def _of_state(state: Registered, key: MerchantKey) -> dict[str, Any]:
    row = {
        "id": state.merchant_id,
        "name": state.name,
        "email": state.email,
        "webhook_url": state.webhook_url,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
    }
    return wire_merchant(row, key)


async def _account(services: Services, email: str) -> Row | None:
    """The account with that address; text that is no address belongs to nobody."""
    try:
        normal = email_address.normal_form(email)
    except InvalidInput:
        normal = ""
    return await services.views.merchant_by_email(email_address.digest(normal))
