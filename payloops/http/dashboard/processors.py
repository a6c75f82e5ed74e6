"""Processor configurations: setting, listing, changing and removing them. A credential comes in and never goes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.merchant import ChangeProcessorFlags, ConfigureProcessor, RemoveProcessor
from payloops.events.base import Event
from payloops.events.merchant_state import MerchantState, ProcessorConfig
from payloops.http.dashboard.accounts import registered
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.outcome import execute
from payloops.http.schemas.base import checked
from payloops.http.schemas.processors import PRIORITY_DEFAULT, ProcessorFlagsBody, body_of
from payloops.http.services import Services
from payloops.projections.personal_data import seal_credentials
from payloops.values import iso, new_id


async def list_processors(request: Request, services: Services) -> Reply:
    """``GET /api/processors``."""
    rows = await services.views.processors(request.caller.merchant_id)
    return Reply(200, orjson.dumps([_wire(**row) for row in rows]))


async def configure_processor(request: Request, services: Services) -> Reply:
    """``POST /api/processors/:processor``."""
    return await _configure(request, services, request.params[0], read_object(request))


async def configure_named_processor(request: Request, services: Services) -> Reply:
    """``POST /api/processors``, with ``processor`` in the body."""
    body = read_object(request)
    return await _configure(request, services, body.get("processor"), body)


async def change_processor(request: Request, services: Services) -> Reply:
    """``PATCH /api/processors/:processor``."""
    processor = request.params[0]
    body = read_object(request)
    asked = checked(ProcessorFlagsBody, body)
    command = ChangeProcessorFlags(
        merchant_id=request.caller.merchant_id,
        now=services.clock.now(),
        meta=request.meta(),
        processor=processor,
        enabled=asked.enabled,
        priority=asked.priority,
        test_mode=asked.test_mode,
    )
    return await _execute(request, services, command, processor, body)


async def remove_processor(request: Request, services: Services) -> Reply:
    """``DELETE /api/processors/:processor``."""
    command = RemoveProcessor(
        request.caller.merchant_id, services.clock.now(), request.meta(), processor=request.params[0]
    )
    done = await execute(
        request,
        services,
        services.merchants,
        request.caller.merchant_id,
        command,
        respond=lambda _state, _events: Response(204, b""),
        idempotency=idempotency_key(request, {}),
    )
    return reply_of(done.response)


async def _configure(request: Request, services: Services, processor: Any, body: Mapping[str, Any]) -> Reply:
    asked = checked(body_of(processor), body)
    credentials = asked.credentials.model_dump(by_alias=True, exclude_none=True)
    merchant_id = request.caller.merchant_id
    command = ConfigureProcessor(
        merchant_id=merchant_id,
        now=services.clock.now(),
        meta=request.meta(),
        config_id=new_id(),
        processor=processor,
        credentials=seal_credentials(services.ring, merchant_id, processor, credentials),
        enabled=True if asked.enabled is None else asked.enabled,
        priority=PRIORITY_DEFAULT if asked.priority is None else asked.priority,
        test_mode=True if asked.test_mode is None else asked.test_mode,
    )
    return await _execute(request, services, command, processor, body)


async def _execute(
    request: Request,
    services: Services,
    command: ConfigureProcessor | ChangeProcessorFlags,
    processor: str,
    body: Mapping[str, Any],
) -> Reply:
    def respond(state: MerchantState, _events: tuple[Event, ...]) -> Response:
        return Response(200, orjson.dumps(_of_state(registered(state).processors[processor])))

    done = await execute(
        request,
        services,
        services.merchants,
        command.merchant_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
    )
    return reply_of(done.response)


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
