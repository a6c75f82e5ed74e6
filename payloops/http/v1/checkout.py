"""Checkout sessions: creating, reading and expiring them. The pages that they lead to are in http/checkout."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.checkout_session import EXPIRES_IN_MIN, CreateSession, ExpireSession, announcement, no_session
from payloops.commands.handlers import Companion
from payloops.commands.idempotency import IdempotencyKey, Response
from payloops.commands.order_reports import PublishEvent
from payloops.errors import InvalidStatus, VersionConflict
from payloops.events.base import Event
from payloops.events.checkout_session_state import Absent, CheckoutSessionState, Existing, order_id_of
from payloops.http.answers.checkout import CheckoutSession, CreatedSession
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.openapi.operation import NoOptions, Operation, documented
from payloops.http.outcome import execute
from payloops.http.schemas.base import checked, web_url_of_production
from payloops.http.schemas.checkout import CreateSessionBody
from payloops.http.services import Services
from payloops.http.v1.orders import CURRENCY_DEFAULT
from payloops.projections.checkout_sessions import SESSION_EMAIL, row, told_session, wire_session
from payloops.projections.personal_data import MerchantKey
from payloops.projections.views import as_uuid
from payloops.values import iso

RACES_MAX: Final = 3
"""Tries against customers who press at that very moment."""
_RANDOM_BITS: Final = 74
_VARIANT_BITS: Final = 62
_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << _VARIANT_BITS


def new_session_id(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562) that can't be guessed: whoever has it may pay, so it is the page's only key.

    All 74 bits beside the time are the operating system's randomness. Other ids of this service may share most of
    theirs with another id of the same millisecond.
    """
    random = secrets.randbits(_RANDOM_BITS)
    high, low = random >> _VARIANT_BITS, random & ((1 << _VARIANT_BITS) - 1)
    moment_ms = int(now.timestamp() * 1000)
    return UUID(int=moment_ms << 80 | _VERSION_7 | high << 64 | _VARIANT | low)


@documented(
    Operation(
        summary="Create a checkout session",
        description="Send your customer to `url`. `{SESSION_ID}` in `successUrl` is filled in.",
        body=CreateSessionBody,
        example={
            "amount": 2599,
            "successUrl": "https://shop.example/thanks?session={SESSION_ID}",
            "cancelUrl": "https://shop.example/cart",
            "lineItems": [{"name": "A teapot", "amount": 2599, "quantity": 1}],
        },
        answers={201: CreatedSession},
        idempotent=True,
        creates=True,
    )
)
async def create_session(request: Request, services: Services) -> Reply:
    """``POST /v1/checkout/sessions``."""
    body = read_object(request)
    asked = checked(CreateSessionBody, body)
    if services.settings.production:
        web_url_of_production(asked.success_url, "successUrl")
        web_url_of_production(asked.cancel_url, "cancelUrl")
    caller, now = request.caller, services.clock.now()
    key = await services.personal.key_for(caller.merchant_id)
    session_id = new_session_id(now)
    email = asked.customer_email
    command = CreateSession(
        session_id=session_id,
        now=now,
        meta=request.meta(),
        merchant_id=caller.merchant_id,
        test_mode=not caller.live,
        amount=asked.amount,
        currency=asked.currency or CURRENCY_DEFAULT,
        url=f"{services.settings.checkout_base_url}/checkout/{session_id}",
        success_url=asked.success_url,
        cancel_url=asked.cancel_url,
        customer_id=asked.customer_id,
        customer_email=None if email is None else key.seal(SESSION_EMAIL, session_id, email),
        metadata=asked.metadata,
        line_items=tuple(
            {"name": item.name, "amount": item.amount, "quantity": item.quantity or 1}
            for item in asked.line_items or ()
        ),
        expires_in_minutes=asked.expires_in_minutes or EXPIRES_IN_MIN,
    )
    done = await execute(
        request,
        services,
        services.checkout_sessions,
        session_id,
        command,
        respond=_created,
        idempotency=idempotency_key(request, body),
        new=True,
    )
    return reply_of(done.response)


@documented(Operation(summary="Read a checkout session", answers={200: CheckoutSession}))
async def get_session(request: Request, services: Services) -> Reply:
    """``GET /v1/checkout/sessions/:id``."""
    caller, session_id = request.caller, _session_id(request)
    request.proven = True
    found = await services.checkout_views.session(
        caller.reader, session_id, test_mode=not caller.live, now=services.clock.now()
    )
    key = await services.personal.key_for(caller.merchant_id)
    return Reply(200, orjson.dumps(wire_session(found, key)))


@documented(
    Operation(
        summary="Expire a checkout session",
        body=NoOptions,
        example={},
        answers={200: CheckoutSession},
        errors=("invalid_status",),
        idempotent=True,
    )
)
async def expire_session(request: Request, services: Services) -> Reply:
    """``POST /v1/checkout/sessions/:id/expire``: what is open of its order is called off at once."""
    session_id = _session_id(request)
    idempotency = idempotency_key(request, read_object(request))
    for _ in range(RACES_MAX):
        with suppress(VersionConflict):
            return await _expire(request, services, session_id, idempotency)
    return await _expire(request, services, session_id, idempotency)


async def _expire(request: Request, services: Services, session_id: UUID, idempotency: IdempotencyKey | None) -> Reply:
    """Raises VersionConflict when the session went on meanwhile: its customer pressed, and now an order is to tell."""
    session = await _own(request, services, session_id)
    if session.facts.order_id is not None:
        # It may have been paid a moment ago: then it is complete, not to be expired.
        await services.settle_checkout(session_id, request.meta())
        session = await _own(request, services, session_id)
    key = await services.personal.key_for(request.caller.merchant_id)
    command = ExpireSession(session_id, services.clock.now(), request.meta(), "requested")

    def respond(state: CheckoutSessionState, _events: tuple[Event, ...]) -> Response:
        return _response(state, key)

    done = await execute(
        request,
        services,
        services.checkout_sessions,
        session_id,
        command,
        respond=respond,
        idempotency=idempotency,
        version=session.facts.version,
        also=_told_by_order(services, command, session),
    )
    return reply_of(done.response)


async def _own(request: Request, services: Services, session_id: UUID) -> Existing:
    """The caller's session. Raises NotFound, also for one of another mode."""
    session = await services.handler.load(services.checkout_sessions, session_id)
    if isinstance(session, Absent) or not request.caller.guard.may_reach(services.checkout_sessions, session):
        raise no_session()
    return session


def _told_by_order(services: Services, command: ExpireSession, session: Existing) -> list[Companion[Any, Any]]:
    """What the session's order publishes with the command; nothing where the command will be refused or replayed."""
    try:
        told = announcement(command, session, lambda after: told_session(row(after)))
    except InvalidStatus:
        return []
    if told is None:
        return []
    order_id = order_id_of(command.session_id)
    return [Companion(services.orders, order_id, PublishEvent(order_id, command.now, command.meta, *told))]


def _session_id(request: Request) -> UUID:
    """The id in the path. Raises NotFound, as for one that does not exist, for text that is none."""
    found = as_uuid(request.params[0])
    if found is None:
        raise no_session()
    return found


def _created(state: CheckoutSessionState, _events: tuple[Event, ...]) -> Response:
    facts = _existing(state).facts
    body = {"id": facts.session_id, "url": facts.url, "expiresAt": iso(facts.expires_at)}
    return Response(201, orjson.dumps(body))


def _response(state: CheckoutSessionState, key: MerchantKey) -> Response:
    return Response(200, orjson.dumps(wire_session(row(_existing(state)), key)), secret=True)


def _existing(state: CheckoutSessionState) -> Existing:
    if isinstance(state, Absent):
        raise TypeError("a command on a session leaves a session")
    return state
