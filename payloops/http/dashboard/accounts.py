"""Accounts: registering, signing in and out, the password, the profile."""

from __future__ import annotations

from typing import Any

import orjson

from payloops.commands.handlers import Companion
from payloops.commands.idempotency import Response
from payloops.commands.merchant import ChangePassword, ChangeProfile, RegisterMerchant, RevokeTokens
from payloops.errors import EmailExists, InvalidCredentials, InvalidToken
from payloops.events.base import Actor, Event, Meta
from payloops.events.merchant_state import Absent, MerchantState, Registered
from payloops.http import email_address
from payloops.http.answers.accounts import Merchant, NewToken, SignedIn
from payloops.http.dashboard.webhook_endpoints import default_endpoint_change
from payloops.http.headers import expected_version, idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, etag, reply_of
from payloops.http.openapi.operation import Operation, documented
from payloops.http.outcome import execute
from payloops.http.schemas.accounts import LoginBody, LogoutBody, PasswordBody, ProfileBody, RegisterBody
from payloops.http.schemas.base import checked
from payloops.http.schemas.webhooks import require_webhook_url
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


@documented(
    Operation(
        summary="Register a merchant",
        body=RegisterBody,
        example={"name": "A shop", "email": "owner@shop.example", "password": "correct horse battery"},
        answers={201: SignedIn},
        errors=("email_exists",),
    )
)
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
    state = registered(done.state)
    token = services.jwt.issue(merchant_id, state.token_version, now)
    return Reply(201, orjson.dumps({"token": token, "merchant": _of_state(state, key)}))


@documented(
    Operation(
        summary="Sign in",
        body=LoginBody,
        example={"email": "owner@shop.example", "password": "correct horse battery"},
        answers={200: SignedIn},
        errors=("invalid_credentials",),
    )
)
async def login(request: Request, services: Services) -> Reply:
    """``POST /api/auth/login``: an unknown address takes the time of a wrong password, and gets its answer."""
    asked = checked(LoginBody, read_object(request))
    email_digest = email_address.digest_of_typed(asked.email)
    await services.rate_limits.admit_login(email_digest)
    row = await services.views.merchant_by_email(email_digest)
    sealed = None if row is None else open_password_hash(services.ring, row["id"], row["password_hash"])
    matches = await services.hashing.verify_password(asked.password, sealed)
    if row is None or not matches:
        raise InvalidCredentials("The e-mail address or the password is wrong.")
    token = services.jwt.issue(row["id"], row["token_version"], services.clock.now())
    key = await services.personal.key_for(row["id"])
    return Reply(200, orjson.dumps({"token": token, "merchant": wire_merchant(row, key)}))


@documented(
    Operation(
        summary="Sign out",
        description="Revokes this token, or `everywhere` all of the account's.",
        body=LogoutBody,
        example={"everywhere": False},
        answers={204: None},
    )
)
async def logout(request: Request, services: Services) -> Reply:
    """``POST /api/auth/logout``: from now on every process refuses this token, or all of the account's."""
    asked = checked(LogoutBody, read_object(request))
    caller = request.caller
    if asked.everywhere:
        command = RevokeTokens(caller.merchant_id, services.clock.now(), request.meta(), caller.token.token_version)
        await services.handler.execute(services.merchants, caller.merchant_id, command, guard=caller.guard)
    else:
        await services.tokens.revoke(caller.token)
    return Reply(204)


@documented(
    Operation(
        summary="Change the password",
        description="Gives a new token; every other one is revoked.",
        body=PasswordBody,
        example={"currentPassword": "correct horse battery", "newPassword": "another horse battery"},
        answers={200: NewToken},
        errors=("invalid_credentials",),
    )
)
async def change_password(request: Request, services: Services) -> Reply:
    """``POST /api/auth/password``: a new token; every other one is revoked.

    Takes no idempotency key: what is kept with one, a quick hash of the body, would be a quick hash of two passwords.
    """
    asked = checked(PasswordBody, read_object(request))
    caller = request.caller
    row = await _account(request, services)
    # Whoever got hold of a token must not try passwords with it as often as they like.
    await services.rate_limits.admit_login(row["email_digest"])
    sealed = open_password_hash(services.ring, row["id"], row["password_hash"])
    if not await services.hashing.verify_password(asked.current_password, sealed):
        raise InvalidCredentials("The current password is wrong.")
    password_hash = await services.hashing.hash_password(asked.new_password)
    now = services.clock.now()
    command = ChangePassword(
        merchant_id=caller.merchant_id,
        now=now,
        meta=request.meta(),
        password_hash=seal_password_hash(services.ring, caller.merchant_id, password_hash),
        token_version=caller.token.token_version,
    )
    done = await services.handler.execute(services.merchants, caller.merchant_id, command, guard=caller.guard)
    token = services.jwt.issue(caller.merchant_id, registered(done.state).token_version, now)
    return Reply(200, orjson.dumps({"token": token}))


@documented(Operation(summary="Read the profile", answers={200: Merchant}, tagged=True))
async def get_profile(request: Request, services: Services) -> Reply:
    """``GET /api/merchants/me``."""
    row = await _account(request, services)
    key = await services.personal.key_for(request.caller.merchant_id)
    return Reply(200, orjson.dumps(wire_merchant(row, key)), etag(row["version"]))


@documented(
    Operation(
        summary="Change the profile",
        description="What is not sent stays; a null `webhookUrl` removes the default webhook endpoint.",
        body=ProfileBody,
        example={"name": "A better shop", "webhookUrl": "https://shop.example/hook"},
        answers={200: Merchant},
        idempotent=True,
        conditional=True,
        tagged=True,
    )
)
async def put_profile(request: Request, services: Services) -> Reply:
    """``PUT /api/merchants/me``."""
    body = read_object(request)
    asked = checked(ProfileBody, body)
    if asked.webhook_url is not None:
        require_webhook_url(asked.webhook_url, "webhookUrl", services.settings)
    merchant_id, now, meta = request.caller.merchant_id, services.clock.now(), request.meta()
    key = await services.personal.key_for(merchant_id)
    also: tuple[Companion[Any, Any], ...] = ()
    if "webhook_url" in asked.model_fields_set:
        also = (default_endpoint_change(services, merchant_id, now, meta, asked.webhook_url),)
    command = ChangeProfile(
        merchant_id=merchant_id,
        now=now,
        meta=meta,
        name=asked.name,
        webhook_url=asked.webhook_url,
        clear_webhook_url="webhook_url" in asked.model_fields_set and asked.webhook_url is None,
        expected_version=expected_version(request.headers),
    )

    def respond(state: MerchantState, _events: tuple[Event, ...]) -> Response:
        profile = registered(state)
        return Response(200, orjson.dumps(_of_state(profile, key)), secret=True, version=profile.profile_version)

    done = await execute(
        request,
        services,
        services.merchants,
        merchant_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
        also=also,
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


async def _account(request: Request, services: Services) -> Row:
    """The caller's account."""
    row = await services.views.merchant(request.caller.merchant_id)
    if row is None:
        raise InvalidToken("This token is not valid: it is malformed, expired or revoked; sign in again.")
    return row
