"""``POST /api/orders/:id/sync``: the processor is asked now, and the order is answered as it is then."""

from __future__ import annotations

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.order_sync import RequestSync
from payloops.events.order_state import Existing
from payloops.http.answers.orders import SyncedOrder
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import NoOptions, Operation, documented
from payloops.http.outcome import execute_and_wait
from payloops.http.query import path_id
from payloops.http.services import Services
from payloops.projections import orders
from payloops.projections.order_wire import wire_order
from payloops.projections.personal_data import MerchantKey


@documented(
    Operation(
        summary="Ask the processor about an order now",
        description=(
            "Its payments, their refunds and disputes; what the processor tells is recorded as its webhooks are. "
            "Requests that come while it is asked, or within a second, share one answer."
        ),
        body=NoOptions,
        example={},
        answers={200: SyncedOrder},
        errors=("invalid_status",),
        idempotent=True,
        conditional=True,
        waits=True,
        tagged=True,
    )
)
async def sync(request: Request, services: Services) -> Reply:
    """``POST /api/orders/:id/sync``: the relay asks, in no transaction of ours; this waits for it, a bounded time."""
    order_id = path_id(request)
    body = read_object(request)
    key = await services.personal.key_for(request.caller.merchant_id)
    return await execute_and_wait(
        request,
        services,
        order_id,
        RequestSync(order_id, services.clock.now(), request.meta()),
        respond=lambda state: _response(state, key),
        key=lambda flight_s: idempotency_key(request, body, flight_s=flight_s),
        reached=_finished,
    )


def _finished(state: Existing, requested: Existing) -> bool:
    """Whether the question is answered, or was given up for a later one."""
    now, then = state.facts.sync, requested.facts.sync
    return now is None or then is None or now.answers is not None or now.number != then.number


def _response(state: Existing, key: MerchantKey) -> Response:
    last = state.facts.sync
    answers = None if last is None else last.answers
    body = {
        "order": wire_order(orders.row(state), key),
        "asked": answers or (),
        "changed": last is not None and last.changed,
        "finished": answers is not None,
    }
    # The order may show personal data, or a client secret.
    return Response(200, orjson.dumps(body), secret=True, version=state.facts.version)
