"""Webhook endpoints: where a merchant is told of public events. A secret is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.handlers import Companion
from payloops.commands.idempotency import Response
from payloops.commands.merchant import ChangeProfile
from payloops.commands.webhook_delivery import ScheduleDelivery
from payloops.commands.webhook_endpoint import (
    ChangeEndpoint,
    CreateEndpoint,
    RemoveEndpoint,
    RotateSecret,
    WebhookEndpointRequest,
)
from payloops.crypto.webhook_secrets import generate_webhook_secret
from payloops.errors import NotFound, RuleViolation
from payloops.events.base import Event, Meta
from payloops.events.webhook_delivery import delivery_id as delivery_id_of
from payloops.events.webhook_delivery import delivery_workflow_id
from payloops.events.webhook_delivery_state import WebhookDeliveryState
from payloops.events.webhook_endpoint import default_endpoint_id
from payloops.events.webhook_endpoint_state import Active, WebhookEndpointState
from payloops.events.webhook_event_types import SAMPLE_TYPE
from payloops.http.answers.webhooks import (
    CreatedWebhookEndpoint,
    RotatedSecret,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpoints,
)
from payloops.http.dashboard.webhooks import wire_delivery
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.openapi.operation import NoOptions, Operation, documented
from payloops.http.outcome import execute
from payloops.http.schemas.base import checked
from payloops.http.schemas.webhooks import ChangeEndpointBody, CreateEndpointBody, event_types_of, require_webhook_url
from payloops.http.services import Services
from payloops.projections.personal_data import seal_webhook_secret
from payloops.projections.views import as_uuid
from payloops.projections.webhook_samples import sample_body
from payloops.projections.webhook_views import no_endpoint
from payloops.values import iso, new_id

SECRET_OVERLAP: Final = timedelta(hours=24)
"""How long the secret before a rotation goes on signing (the wire contract)."""


@documented(Operation(summary="List webhook endpoints", answers={200: WebhookEndpoints}))
async def list_endpoints(request: Request, services: Services) -> Reply:
    """``GET /api/webhook-endpoints``."""
    rows = await services.webhooks.endpoints(request.caller.merchant_id)
    return Reply(200, orjson.dumps({"data": [_wire(**row) for row in rows]}))


@documented(
    Operation(
        summary="Create a webhook endpoint",
        description="The signing secret is shown this once.",
        body=CreateEndpointBody,
        example={"url": "https://shop.example/hook", "eventTypes": ["payment.*", "refund.processed"]},
        answers={201: CreatedWebhookEndpoint},
        idempotent=True,
        creates=True,
        in_turn=True,
    )
)
async def create_endpoint(request: Request, services: Services) -> Reply:
    """``POST /api/webhook-endpoints``: the one time, but for rotations, that a secret of the endpoint is shown.

    A merchant's calls take turns, so that its endpoints are counted exactly.
    """
    body = read_object(request)
    asked = checked(CreateEndpointBody, body)
    require_webhook_url(asked.url, "url", services.settings)
    merchant_id, endpoint_id = request.caller.merchant_id, new_id()
    secret = generate_webhook_secret()

    def respond(state: WebhookEndpointState, _events: tuple[Event, ...]) -> Response:
        made = {**_of_state(state), "secret": secret}
        return Response(201, orjson.dumps(made), secret=True)

    async with services.webhooks.turns.turn(merchant_id) as count:
        command = CreateEndpoint(
            endpoint_id=endpoint_id,
            merchant_id=merchant_id,
            now=services.clock.now(),
            meta=request.meta(),
            url=asked.url,
            event_types=event_types_of(asked.event_types) or (),
            secret=seal_webhook_secret(services.ring, merchant_id, endpoint_id, secret),
            enabled=True if asked.enabled is None else asked.enabled,
            endpoint_count=count,
        )
        done = await execute(
            request,
            services,
            services.webhook_endpoints,
            endpoint_id,
            command,
            respond=respond,
            idempotency=idempotency_key(request, body),
            new=True,
        )
    return reply_of(done.response)


@documented(
    Operation(
        summary="Change a webhook endpoint",
        description="What is not sent stays.",
        body=ChangeEndpointBody,
        example={"enabled": True, "eventTypes": []},
        answers={200: WebhookEndpoint},
        idempotent=True,
    )
)
async def change_endpoint(request: Request, services: Services) -> Reply:
    """``PATCH /api/webhook-endpoints/:id``. The default endpoint's URL is the profile's: both change together."""
    endpoint_id = _path_id(request)
    body = read_object(request)
    asked = checked(ChangeEndpointBody, body)
    if asked.url is not None:
        require_webhook_url(asked.url, "url", services.settings)
    merchant_id, now, meta = request.caller.merchant_id, services.clock.now(), request.meta()
    command = ChangeEndpoint(
        endpoint_id=endpoint_id,
        merchant_id=merchant_id,
        now=now,
        meta=meta,
        url=asked.url,
        event_types=event_types_of(asked.event_types),
        enabled=asked.enabled,
    )
    also: tuple[Companion[Any, Any], ...] = ()
    if asked.url is not None and endpoint_id == default_endpoint_id(merchant_id):
        profile = ChangeProfile(merchant_id=merchant_id, now=now, meta=meta, webhook_url=asked.url)
        also = (Companion(services.merchants, merchant_id, profile),)
    open_until = await services.webhooks.open_until(merchant_id, endpoint_id)

    def respond(state: WebhookEndpointState, events: tuple[Event, ...]) -> Response:
        # What an endpoint was found to be holds for it as it was.
        return Response(200, orjson.dumps(_of_state(state, open_until=None if events else open_until)))

    return await _execute(request, services, command, body, respond, also=also)


@documented(Operation(summary="Remove a webhook endpoint", answers={204: None}, idempotent=True))
async def remove_endpoint(request: Request, services: Services) -> Reply:
    """``DELETE /api/webhook-endpoints/:id``. With the default endpoint the profile's ``webhookUrl`` goes."""
    endpoint_id, merchant_id = _path_id(request), request.caller.merchant_id
    now, meta = services.clock.now(), request.meta()
    command = RemoveEndpoint(endpoint_id=endpoint_id, merchant_id=merchant_id, now=now, meta=meta)
    also: tuple[Companion[Any, Any], ...] = ()
    if endpoint_id == default_endpoint_id(merchant_id):
        profile = ChangeProfile(merchant_id=merchant_id, now=now, meta=meta, clear_webhook_url=True)
        also = (Companion(services.merchants, merchant_id, profile),)
    return await _execute(request, services, command, {}, lambda _state, _events: Response(204, b""), also=also)


@documented(
    Operation(
        summary="Rotate an endpoint's secret",
        body=NoOptions,
        example={},
        answers={201: RotatedSecret},
        idempotent=True,
    )
)
async def rotate_secret(request: Request, services: Services) -> Reply:
    """``POST /api/webhook-endpoints/:id/secret``."""
    return await _rotate(request, services, _path_id(request))


@documented(
    Operation(
        summary="Rotate the secret of the profile's webhookUrl",
        body=NoOptions,
        example={},
        answers={201: RotatedSecret},
        idempotent=True,
    )
)
async def rotate_default_secret(request: Request, services: Services) -> Reply:
    """``POST /api/merchants/me/webhook-secret``: of the endpoint that is the profile's ``webhookUrl``."""
    try:
        return await _rotate(request, services, default_endpoint_id(request.caller.merchant_id))
    except NotFound:
        raise RuleViolation("This account has no webhookUrl, so there is no secret for it; set one first.") from None


@documented(
    Operation(
        summary="Send a sample",
        description="A delivery as any other, of an event that did not happen.",
        body=NoOptions,
        example={},
        answers={202: WebhookDelivery},
        errors=("invalid_status",),
        idempotent=True,
        creates=True,
    )
)
async def send_sample(request: Request, services: Services) -> Reply:
    """``POST /api/webhook-endpoints/:id/test``: a delivery as any other, of an event that did not happen."""
    endpoint_id, merchant_id = _path_id(request), request.caller.merchant_id
    body = read_object(request)
    state = await services.handler.load(services.webhook_endpoints, endpoint_id)
    if not isinstance(state, Active) or state.merchant_id != merchant_id:
        raise no_endpoint()
    now, event_id = services.clock.now(), new_id()
    delivery_id = delivery_id_of(event_id, endpoint_id)
    payload = sample_body(event_id, endpoint_id, now)
    command = ScheduleDelivery(
        delivery_id=delivery_id,
        merchant_id=merchant_id,
        now=now,
        meta=request.meta(),
        endpoint_id=endpoint_id,
        url=state.url,
        order_id=None,
        event_id=event_id,
        event_type=SAMPLE_TYPE,
        sequence=payload["sequence"],
        workflow_id=delivery_workflow_id(delivery_id),
        payload=payload,
        target="enabled" if state.enabled else "disabled",
    )

    def respond(made: WebhookDeliveryState, _events: tuple[Event, ...]) -> Response:
        return Response(202, orjson.dumps(wire_delivery(made)))

    done = await execute(
        request,
        services,
        services.webhook_deliveries,
        delivery_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
        new=True,
    )
    return reply_of(done.response)


def default_endpoint_change(
    services: Services, merchant_id: UUID, now: datetime, meta: Meta, webhook_url: str | None
) -> Companion[Any, Any]:
    """What goes with a profile whose ``webhookUrl`` becomes this one: its endpoint is made, changed or removed."""
    endpoint_id = default_endpoint_id(merchant_id)
    command: WebhookEndpointRequest
    if webhook_url is None:
        command = RemoveEndpoint(endpoint_id=endpoint_id, merchant_id=merchant_id, now=now, meta=meta, if_there=True)
    else:
        command = CreateEndpoint(
            endpoint_id=endpoint_id,
            merchant_id=merchant_id,
            now=now,
            meta=meta,
            url=webhook_url,
            event_types=(),
            secret=seal_webhook_secret(services.ring, merchant_id, endpoint_id, generate_webhook_secret()),
            is_default=True,
        )
    return Companion(services.webhook_endpoints, endpoint_id, command)


async def _rotate(request: Request, services: Services, endpoint_id: UUID) -> Reply:
    body = read_object(request)
    merchant_id, now = request.caller.merchant_id, services.clock.now()
    secret, until = generate_webhook_secret(), now + SECRET_OVERLAP
    command = RotateSecret(
        endpoint_id=endpoint_id,
        merchant_id=merchant_id,
        now=now,
        meta=request.meta(),
        secret=seal_webhook_secret(services.ring, merchant_id, endpoint_id, secret),
        previous_expires_at=until,
    )

    def respond(_state: WebhookEndpointState, _events: tuple[Event, ...]) -> Response:
        made = {"secret": secret, "previousExpiresAt": iso(until)}
        return Response(201, orjson.dumps(made), secret=True)

    return await _execute(request, services, command, body, respond)


async def _execute(
    request: Request,
    services: Services,
    command: WebhookEndpointRequest,
    body: Mapping[str, Any],
    respond: Callable[[WebhookEndpointState, tuple[Event, ...]], Response],
    *,
    also: Sequence[Companion[Any, Any]] = (),
) -> Reply:
    done = await execute(
        request,
        services,
        services.webhook_endpoints,
        command.endpoint_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
        also=also,
    )
    return reply_of(done.response)


def _path_id(request: Request) -> UUID:
    found = as_uuid(request.params[0])
    if found is None:
        raise no_endpoint()
    return found


def _of_state(state: WebhookEndpointState, *, open_until: datetime | None = None) -> dict[str, Any]:
    if not isinstance(state, Active):
        raise TypeError("what was made or changed is there")
    return _wire(
        id=state.endpoint_id,
        url=state.url,
        event_types=state.event_types,
        enabled=state.enabled,
        disabled_reason=state.disabled_reason,
        is_default=state.is_default,
        created_at=state.created_at,
        updated_at=state.updated_at,
        open_until=open_until,
    )


def _wire(
    *,
    id: UUID,  # noqa: A002 - the row's own names
    url: str,
    event_types: Sequence[str],
    enabled: bool,
    disabled_reason: str | None,
    is_default: bool,
    created_at: datetime,
    updated_at: datetime,
    open_until: datetime | None,
) -> dict[str, Any]:
    """The endpoint of the wire contract; ``circuit`` says whether it is spared for a while because it keeps failing."""
    return {
        "id": id,
        "url": url,
        "eventTypes": list(event_types),
        "enabled": enabled,
        "disabledReason": disabled_reason,
        "isDefault": is_default,
        "circuit": {
            "state": "closed" if open_until is None else "open",
            "openUntil": None if open_until is None else iso(open_until),
        },
        "createdAt": iso(created_at),
        "updatedAt": iso(updated_at),
    }
