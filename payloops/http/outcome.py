"""Executing a request's command, and waiting for what a processor makes of it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import UUID

from payloops.commands.handlers import Aggregate, Companion, Executed
from payloops.commands.idempotency import IdempotencyKey, Response
from payloops.errors import PayloopsError
from payloops.events.base import Event
from payloops.events.order_state import Absent, Existing, OrderState
from payloops.http.headers import expected_version, preferred_wait
from payloops.http.message import Reply, Request, reply_of
from payloops.http.services import Services

FLIGHT_MARGIN_S: Final = 5
"""How long after its wait a request may take to store its last word."""

S = TypeVar("S")
C = TypeVar("C")

_log = logging.getLogger(__name__)


async def execute(
    request: Request,
    services: Services,
    aggregate: Aggregate[S, C],
    stream_id: UUID,
    command: C,
    *,
    respond: Callable[[S, tuple[Event, ...]], Response],
    idempotency: IdempotencyKey | None = None,
    version: int | None = None,
    new: bool = False,
    claim: str | None = None,
    extra_rows: Mapping[str, Sequence[dict[str, Any]]] | None = None,
    also: Sequence[Companion[Any, Any]] = (),
) -> Executed[S]:
    """``handler.execute`` in the name of the request's caller; see there for what it raises."""
    try:
        return await services.handler.execute(
            aggregate,
            stream_id,
            command,
            guard=request.caller.guard,
            respond=respond,
            idempotency=idempotency,
            expected_version=version,
            new=new,
            claim=claim,
            extra_rows=extra_rows,
            also=also,
        )
    except PayloopsError:
        # A refusal has seen the API key hold, as an append would have.
        request.proven = True
        raise


async def execute_and_wait(
    request: Request,
    services: Services,
    order_id: UUID,
    command: Any,
    *,
    respond: Callable[[Existing], Response],
    key: Callable[[int | None], IdempotencyKey | None],
    reached: Callable[[Existing, Existing], bool],
) -> Reply:
    """Execute a command whose outcome a processor decides, and answer when that is known or the wait is over.

    ``reached`` compares a state with the one right after the command. ``key`` gives the idempotency key for a flight of
    so many seconds: until the outcome is stored as its answer, the same key is told that the first request still runs.
    """
    wait_s, applied = preferred_wait(request.headers, services.settings.pay_wait_s)
    idempotency = key(math.ceil(wait_s) + FLIGHT_MARGIN_S if wait_s > 0 else None)
    done = await execute(
        request,
        services,
        services.orders,
        order_id,
        command,
        respond=lambda state, _: respond(existing(state)),
        idempotency=idempotency,
        version=expected_version(request.headers),
    )
    response = done.response
    if wait_s <= 0 or response is None or response.replayed:
        return reply_of(response, applied)
    started = existing(done.state)
    try:
        state = await wait_for_order(services, order_id, lambda state: reached(existing(state), started), wait_s)
        response = respond(existing(state))
    except PayloopsError as problem:
        # The command took effect, so the request succeeded: it is answered with what was known then.
        _log.warning("waiting for the outcome of order %s ended early: %s", order_id, problem.message)
    finally:
        if idempotency is not None and not await _finish(services, idempotency, response):
            # What the key will give from now on is what this request must be answered with.
            response = done.response
    return reply_of(response, applied)


def existing(state: OrderState) -> Existing:
    """The state of an order that a command was executed on."""
    if isinstance(state, Absent):
        raise TypeError("a command on an order leaves an order")
    return state


async def wait_for_order(
    services: Services, order_id: UUID, reached: Callable[[OrderState], bool], timeout_s: float
) -> OrderState:
    """The order's state when ``reached``, when the time is over, or when the service stops."""
    outcome = asyncio.create_task(services.handler.wait_for(services.orders, order_id, reached, timeout_s=timeout_s))
    stopping = asyncio.create_task(services.stopping.wait())
    try:
        await asyncio.wait({outcome, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done():
            return outcome.result()
        return await services.handler.load(services.orders, order_id)
    finally:
        for task in (outcome, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError, PayloopsError):
                await task


async def _finish(services: Services, idempotency: IdempotencyKey, response: Response) -> bool:
    """Store the last word. False when that failed or came too late: the first answer stands."""
    try:
        kept = await services.handler.finish(idempotency, response)
    except PayloopsError as problem:
        _log.warning("an idempotency key keeps its first answer: %s", problem.message)
        return False
    return kept
