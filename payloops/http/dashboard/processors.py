"""Processor configurations: setting, listing, changing and removing them. A credential comes in and never goes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.merchant import ChangeProcessorFlags, ConfigureProcessor, RemoveProcessor
from payloops.errors import PayloopsError, Unavailable
from payloops.events.base import Event
from payloops.events.merchant_state import MerchantState, ProcessorConfig
from payloops.http.answers.accounts import ConfiguredProcessor, ProcessorSetup
from payloops.http.dashboard.accounts import registered
from payloops.http.dashboard.processor_webhooks import arrange, left_by_removal, tidy
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.openapi.operation import Operation, documented
from payloops.http.outcome import execute
from payloops.http.schemas.base import checked
from payloops.http.schemas.processors import (
    BODIES,
    PRIORITY_DEFAULT,
    NamedProcessorBody,
    ProcessorFlagsBody,
    RazorpayBody,
    StripeBody,
    body_of,
    require_mode,
)
from payloops.http.services import Services
from payloops.projections.personal_data import open_credentials, seal_credentials
from payloops.values import iso, new_id

_PATH: Final = {"processor": {"type": "string", "enum": sorted(BODIES)}}
_STRIPE_EXAMPLE: Final = {"credentials": {"secretKey": "sk_test_123456789"}, "priority": 1}


@documented(Operation(summary="List processors", answers={200: list[ProcessorSetup]}))
async def list_processors(request: Request, services: Services) -> Reply:
    """``GET /api/processors``."""
    rows = await services.views.processors(request.caller.merchant_id)
    return Reply(200, orjson.dumps([_wire(**row) for row in rows]))


@documented(
    stripe=Operation(
        summary="Set up Stripe",
        body=StripeBody,
        example=_STRIPE_EXAMPLE,
        answers={200: ConfiguredProcessor},
        idempotent=True,
        in_turn=True,
    ),
    razorpay=Operation(
        summary="Set up Razorpay",
        body=RazorpayBody,
        example={"credentials": {"keyId": "rzp_test_1", "keySecret": "a-secret-of-razorpay"}},
        answers={200: ConfiguredProcessor},
        idempotent=True,
        in_turn=True,
    ),
)
async def configure_processor(request: Request, services: Services) -> Reply:
    """``POST /api/processors/:processor``."""
    return await _configure(request, services, request.params[0], read_object(request))


@documented(
    Operation(
        summary="Set up the processor that the body names",
        body=NamedProcessorBody,
        example={"processor": "stripe", **_STRIPE_EXAMPLE},
        answers={200: ConfiguredProcessor},
        errors=("invalid_processor",),
        idempotent=True,
        in_turn=True,
    )
)
async def configure_named_processor(request: Request, services: Services) -> Reply:
    """``POST /api/processors``, with ``processor`` in the body."""
    body = read_object(request)
    return await _configure(request, services, body.get("processor"), body)


@documented(
    Operation(
        summary="Change a processor's flags",
        description="What is not sent stays.",
        body=ProcessorFlagsBody,
        example={"enabled": True, "priority": 2},
        answers={200: ProcessorSetup},
        path=_PATH,
        idempotent=True,
    )
)
async def change_processor(request: Request, services: Services) -> Reply:
    """``PATCH /api/processors/:processor``."""
    processor = request.params[0]
    body = read_object(request)
    asked = checked(ProcessorFlagsBody, body)
    merchant_id = request.caller.merchant_id
    if asked.test_mode is not None:
        saved = registered(await services.handler.load(services.merchants, merchant_id)).processors.get(processor)
        if saved is not None and not services.settings.simulated(processor):
            credentials = open_credentials(services.ring, merchant_id, processor, saved.credentials)
            require_mode(processor, credentials, test_mode=asked.test_mode)
    command = ChangeProcessorFlags(
        merchant_id=merchant_id,
        now=services.clock.now(),
        meta=request.meta(),
        processor=processor,
        enabled=asked.enabled,
        priority=asked.priority,
        test_mode=asked.test_mode,
    )
    return reply_of(await _execute(request, services, command, processor, body))


@documented(Operation(summary="Remove a processor", answers={204: None}, path=_PATH, idempotent=True, in_turn=True))
async def remove_processor(request: Request, services: Services) -> Reply:
    """``DELETE /api/processors/:processor``."""
    merchant_id, processor = request.caller.merchant_id, request.params[0]
    command = RemoveProcessor(merchant_id, services.clock.now(), request.meta(), processor=processor)
    async with services.webhook_registrar.turn(merchant_id):
        before = await services.handler.load(services.merchants, merchant_id)
        done = await execute(
            request,
            services,
            services.merchants,
            merchant_id,
            command,
            respond=lambda _state, _events: Response(204, b""),
            idempotency=idempotency_key(request, {}),
        )
        if done.response is not None and not done.response.replayed:
            await tidy(services, left_by_removal(services, registered(before), processor))
    return reply_of(done.response)


async def _configure(request: Request, services: Services, processor: Any, body: Mapping[str, Any]) -> Reply:
    asked = checked(body_of(processor), body)
    credentials = asked.credentials.model_dump(by_alias=True, exclude_none=True)
    merchant_id = request.caller.merchant_id
    test_mode = True if asked.test_mode is None else asked.test_mode
    if not services.settings.simulated(processor):
        require_mode(processor, credentials, test_mode=test_mode)
    async with services.webhook_registrar.turn(merchant_id):
        before = registered(await services.handler.load(services.merchants, merchant_id)).processors.get(processor)
        arranged = await arrange(services, merchant_id, processor, credentials, before)
        command = ConfigureProcessor(
            merchant_id=merchant_id,
            now=services.clock.now(),
            meta=request.meta(),
            config_id=new_id(),
            processor=processor,
            credentials=seal_credentials(services.ring, merchant_id, processor, arranged.credentials),
            enabled=True if asked.enabled is None else asked.enabled,
            priority=PRIORITY_DEFAULT if asked.priority is None else asked.priority,
            test_mode=test_mode,
            webhook_endpoint_id=arranged.endpoint_id,
            keeps_webhook_secret=arranged.keeps_secret,
        )
        try:
            response = await _execute(request, services, command, processor, body, webhook=arranged.told)
        except Unavailable:
            # It may be saved all the same; saving it again finds what is registered.
            raise
        except PayloopsError:
            await tidy(services, arranged.made)
            raise
        # A replay saves nothing: what was registered for it is not in use.
        await tidy(services, arranged.made if response.replayed else arranged.leaves_behind)
    return reply_of(response)


async def _execute(
    request: Request,
    services: Services,
    command: ConfigureProcessor | ChangeProcessorFlags,
    processor: str,
    body: Mapping[str, Any],
    *,
    webhook: Mapping[str, Any] | None = None,
) -> Response:
    def respond(state: MerchantState, _events: tuple[Event, ...]) -> Response:
        shown = _of_state(registered(state).processors[processor])
        return Response(200, orjson.dumps(shown if webhook is None else {**shown, "webhook": webhook}))

    done = await execute(
        request,
        services,
        services.merchants,
        command.merchant_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
    )
    if done.response is None:
        raise TypeError("a command with an answer has one")
    return done.response


def _of_state(config: ProcessorConfig) -> dict[str, Any]:
    return _wire(
        id=config.config_id,
        processor=config.processor,
        enabled=config.enabled,
        priority=config.priority,
        test_mode=config.test_mode,
        created_at=config.created_at,
        updated_at=config.updated_at,
    )


def _wire(
    *,
    id: UUID,  # noqa: A002 - the row's own names
    processor: str,
    enabled: bool,
    priority: int,
    test_mode: bool,
    created_at: datetime,
    updated_at: datetime,
) -> dict[str, Any]:
    return {
        "id": id,
        "processor": processor,
        "enabled": enabled,
        "priority": priority,
        "testMode": test_mode,
        "createdAt": iso(created_at),
        "updatedAt": iso(updated_at),
    }
