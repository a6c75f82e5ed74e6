"""Webhook deliveries: what was sent, what came back, and sending it again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.commands.handlers import Companion
from payloops.commands.idempotency import Response
from payloops.commands.merchant import ChangeProfile
from payloops.commands.webhook_delivery import RetryDelivery, Target
from payloops.errors import InvalidInput, InvalidStatus
from payloops.events.base import Event
from payloops.events.merchant_state import MerchantState
from payloops.events.webhook_delivery_state import Absent, WebhookDeliveryState
from payloops.events.webhook_endpoint_state import Active
from payloops.http.answers.webhooks import NumberedDeliveries, RetriedDeliveries, WebhookAttempt, WebhookDelivery
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, reply_of
from payloops.http.openapi.operation import LIMIT, PAGE, NoOptions, Operation, choice, documented, identifier
from payloops.http.outcome import execute
from payloops.http.query import PAGE_MAX, Query
from payloops.http.schemas.base import checked
from payloops.http.schemas.webhooks import RetryDeliveriesBody
from payloops.http.services import Services
from payloops.projections.base import Row
from payloops.projections.views import as_uuid
from payloops.projections.webhook_deliveries import delivery_row, open_response_body
from payloops.projections.webhook_views import DELIVERY_STATUSES, DeliveryFilter, no_delivery, no_endpoint
from payloops.values import iso

RETRIES_MAX: Final = 100
"""Deliveries that one call of ``POST /api/webhooks/retry`` sends anew."""


@documented(
    Operation(
        summary="List webhook deliveries",
        answers={200: NumberedDeliveries},
        query=(
            *(PAGE, LIMIT),
            choice("status", DELIVERY_STATUSES, "Only deliveries in this status."),
            identifier("endpointId", "Only deliveries to this endpoint."),
            identifier("orderId", "Only deliveries of this order's events."),
        ),
    )
)
async def list_deliveries(request: Request, services: Services) -> Reply:
    """``GET /api/webhooks``."""
    query = Query(request)
    page, limit = query.whole("page", 1, PAGE_MAX, 1), query.limit()
    wanted = DeliveryFilter(
        status=query.choice("status", DELIVERY_STATUSES),
        endpoint_id=query.identifier("endpointId"),
        order_id=query.identifier("orderId"),
    )
    rows, total = await services.webhooks.deliveries_numbered(
        request.caller.merchant_id, wanted, page=page, limit=limit
    )
    body = {
        "data": [_wire(row) for row in rows],
        "pagination": {"page": page, "limit": limit, "total": total, "totalPages": -(-total // limit)},
    }
    return Reply(200, orjson.dumps(body))


@documented(Operation(summary="List a delivery's attempts", answers={200: list[WebhookAttempt]}))
async def list_attempts(request: Request, services: Services) -> Reply:
    """``GET /api/webhooks/:id/attempts``, newest first."""
    delivery_id, merchant_id = _path_id(request), request.caller.merchant_id
    rows = await services.webhooks.attempts(merchant_id, delivery_id)
    key = await services.personal.key_for(merchant_id)
    attempts = [
        {
            "number": row["number"],
            "startedAt": iso(row["started_at"]),
            "durationMs": row["duration_ms"],
            "statusCode": row["status_code"],
            "error": row["error"],
            "responseBody": open_response_body(key, delivery_id, row["number"], row["response_body"]),
        }
        for row in rows
    ]
    return Reply(200, orjson.dumps(attempts))


@documented(
    Operation(
        summary="Send a delivery now",
        body=NoOptions,
        example={},
        answers={202: WebhookDelivery},
        errors=("invalid_status",),
        idempotent=True,
    )
)
async def retry_delivery(request: Request, services: Services) -> Reply:
    """``POST /api/webhooks/:id/retry``: it is sent now, whatever its state."""
    delivery_id, merchant_id = _path_id(request), request.caller.merchant_id
    body = read_object(request)
    enabled, removed = await services.webhooks.delivery_target(merchant_id, delivery_id)
    target: Target = "enabled" if enabled else "removed" if removed else "disabled"
    command = RetryDelivery(delivery_id, merchant_id, services.clock.now(), request.meta(), target)

    def respond(state: WebhookDeliveryState, _events: tuple[Event, ...]) -> Response:
        return Response(202, orjson.dumps(wire_delivery(state)))

    done = await execute(
        request,
        services,
        services.webhook_deliveries,
        delivery_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
    )
    return reply_of(done.response)


@documented(
    Operation(
        summary="Send deliveries anew",
        description="The oldest that match; while `hasMore` is true, send the same `to` again for the others.",
        body=RetryDeliveriesBody,
        example={"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "status": "failed"},
        answers={202: RetriedDeliveries},
        errors=("invalid_status", "not_found"),
        idempotent=True,
    )
)
async def retry_deliveries(request: Request, services: Services) -> Reply:
    """``POST /api/webhooks/retry``: the oldest RETRIES_MAX that match, all or none.

    ``hasMore`` says that there are more. Who sends the same ``to`` again goes on with them: what has changed since
    ``to``, as the retried have, is left out.
    """
    body = read_object(request)
    asked = checked(RetryDeliveriesBody, body)
    merchant_id, now, meta = request.caller.merchant_id, services.clock.now(), request.meta()
    if asked.from_ >= asked.to:
        raise InvalidInput.of(("from", "must be before to"))
    endpoint_id = await _wanted_endpoint(asked.endpoint_id, merchant_id, services)
    found = await services.webhooks.retryable(
        merchant_id,
        endpoint_id=endpoint_id,
        status=asked.status or "failed",
        created_from=asked.from_,
        created_to=min(asked.to, now),
        limit=RETRIES_MAX + 1,
    )
    chosen, has_more = found[:RETRIES_MAX], len(found) > RETRIES_MAX
    also = [
        Companion(services.webhook_deliveries, each, RetryDelivery(each, merchant_id, now, meta)) for each in chosen
    ]

    def respond(_state: MerchantState, _events: tuple[Event, ...]) -> Response:
        return Response(202, orjson.dumps({"retried": len(chosen), "hasMore": has_more}))

    # The account itself stays as it is: it stands for the call, so that the deliveries and the answer commit together.
    done = await execute(
        request,
        services,
        services.merchants,
        merchant_id,
        ChangeProfile(merchant_id=merchant_id, now=now, meta=meta),
        respond=respond,
        idempotency=idempotency_key(request, body),
        also=also,
    )
    return reply_of(done.response)


async def _wanted_endpoint(text: str | None, merchant_id: UUID, services: Services) -> UUID | None:
    """The endpoint that the caller names. Raises NotFound, InvalidStatus (it takes nothing)."""
    if text is None:
        return None
    endpoint_id = as_uuid(text)
    if endpoint_id is None:
        raise no_endpoint()
    state = await services.handler.load(services.webhook_endpoints, endpoint_id)
    if not isinstance(state, Active) or state.merchant_id != merchant_id:
        raise no_endpoint()
    if not state.enabled:
        raise InvalidStatus("The webhook endpoint is disabled; enable it first.")
    return endpoint_id


def wire_delivery(state: WebhookDeliveryState) -> dict[str, Any]:
    """The delivery of the wire contract in this state."""
    if isinstance(state, Absent):
        raise TypeError("a command on a delivery leaves a delivery")
    return _wire(delivery_row(state))


def _wire(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "endpointId": row["endpoint_id"],
        "url": row["url"],
        "orderId": row["order_id"],
        "eventType": row["event_type"],
        "status": row["status"],
        "attempts": row["attempts"],
        "lastAttemptAt": _time(row["last_attempt_at"]),
        "nextRetryAt": _time(row["next_retry_at"]),
        "deliveredAt": _time(row["delivered_at"]),
        "createdAt": iso(row["created_at"]),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _path_id(request: Request) -> UUID:
    found = as_uuid(request.params[0])
    if found is None:
        raise no_delivery()
    return found
