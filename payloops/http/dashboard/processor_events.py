"""The inbox as the dashboard shows it: what processors sent, what became of it, and the wish to try it again."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.processor_event import ReprocessProcessorEvent
from payloops.errors import InvalidInput, NotFound
from payloops.events.base import Event
from payloops.events.processor_event_state import Absent, ProcessorEventState
from payloops.http.answers.webhooks import ProcessorEvent, ProcessorEventPage, ProcessorEventWithBody
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.openapi.operation import CURSOR, LIMIT, NoOptions, Operation, choice, documented, identifier, text
from payloops.http.outcome import execute
from payloops.http.query import Query, order_cursor_of
from payloops.http.services import Services
from payloops.http.webhooks.masking import masked_body
from payloops.http.webhooks.receive import SIGNATURE_HEADERS
from payloops.projections import processor_events
from payloops.projections.base import Row
from payloops.projections.processor_event_views import STATUSES, InboxFilter
from payloops.projections.views import as_uuid
from payloops.values import iso

_PROCESSORS: Final = tuple(SIGNATURE_HEADERS)


@documented(
    Operation(
        summary="List what processors sent",
        answers={200: ProcessorEventPage},
        query=(
            *(LIMIT, CURSOR),
            choice("status", STATUSES, "Only events in this status."),
            choice("processor", _PROCESSORS, "Only events of this processor."),
            text("type", "Only events of this type, as the processor calls it."),
            identifier("orderId", "Only events of this order."),
        ),
    )
)
async def list_events(request: Request, services: Services) -> Reply:
    """``GET /api/processor-events``."""
    query = Query(request)
    wanted = InboxFilter(
        status=_one_of(query, "status", STATUSES),
        processor=_one_of(query, "processor", _PROCESSORS),
        type=query.text("type"),
        order_id=_order_id(query),
    )
    after, limit = query.order_cursor(), query.limit()
    rows, next_place = await services.inbox.page(request.caller.merchant_id, wanted, after, limit)
    page = {
        "data": [_wire(row) for row in rows],
        "hasMore": next_place is not None,
        "nextCursor": None if next_place is None else order_cursor_of(next_place),
    }
    return Reply(200, orjson.dumps(page))


@documented(Operation(summary="Read what a processor sent", answers={200: ProcessorEventWithBody}))
async def get_event(request: Request, services: Services) -> Reply:
    """``GET /api/processor-events/:id``, with the raw body; secrets and personal data in it are masked."""
    found = await services.inbox.event(request.caller.merchant_id, _event_id(request))
    return Reply(200, orjson.dumps({**_wire(found.row), "payload": masked_body(found.body)}))


@documented(
    Operation(
        summary="Process an event again",
        description="Any but one that had its effect.",
        body=NoOptions,
        example={},
        answers={202: ProcessorEvent},
        errors=("invalid_status",),
        idempotent=True,
    )
)
async def reprocess(request: Request, services: Services) -> Reply:
    """``POST /api/processor-events/:id/reprocess``: of any event but one that had its effect."""
    body = read_object(request)
    event_id = _event_id(request)

    def respond(state: ProcessorEventState, _events: tuple[Event, ...]) -> Response:
        return Response(202, orjson.dumps(_of_state(state)))

    done = await execute(
        request,
        services,
        services.processor_events,
        event_id,
        ReprocessProcessorEvent(event_id, services.clock.now(), request.meta()),
        respond=respond,
        idempotency=idempotency_key(request, body),
    )
    return reply_of(done.response)


def _of_state(state: ProcessorEventState) -> dict[str, Any]:
    if isinstance(state, Absent):
        raise TypeError("a command on a processor event leaves a processor event")
    return _wire(processor_events.row(state))


def _wire(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "processor": row["processor"],
        "processorEventId": row["processor_event_id"],
        "type": row["type"],
        "orderId": row["order_id"],
        "status": row["status"],
        "reason": row["reason"],
        "receivedAt": iso(row["received_at"]),
        "processedAt": None if row["processed_at"] is None else iso(row["processed_at"]),
    }


def _event_id(request: Request) -> UUID:
    """Raises NotFound, as for one that does not exist, for text that is no id."""
    found = as_uuid(request.params[0])
    if found is None:
        raise NotFound("No such processor event.")
    return found


def _one_of(query: Query, name: str, allowed: tuple[str, ...]) -> str | None:
    value = query.text(name)
    if value is not None and value not in allowed:
        raise InvalidInput.of((name, f"must be one of {', '.join(allowed)}"))
    return value


def _order_id(query: Query) -> UUID | None:
    value = query.text("orderId")
    found = None if value is None else as_uuid(value)
    if value is not None and found is None:
        raise InvalidInput.of(("orderId", "must be an order's id"))
    return found
