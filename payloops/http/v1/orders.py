"""Orders: creating and reading them."""

from __future__ import annotations

import secrets
from uuid import UUID

import orjson

from payloops.commands.idempotency import Response
from payloops.commands.order import CreateOrder
from payloops.events.base import Event
from payloops.events.order_state import Existing, OrderState
from payloops.http.answers.orders import AuditPage, ListedRefund, Order, OrderPage, Transaction
from payloops.http.customer_email import email_rows
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request, etag, reply_of
from payloops.http.openapi.operation import CURSOR, LIMIT, ORDER_STATUS, TIME, Operation, Parameter, documented, text
from payloops.http.outcome import execute, existing
from payloops.http.query import Query, number_cursor_of, order_cursor_of, path_id, path_id_text
from payloops.http.schemas.base import checked
from payloops.http.schemas.orders import CreateOrderBody
from payloops.http.services import Services
from payloops.projections import orders
from payloops.projections.audit import wire_entry
from payloops.projections.order_wire import wire_order
from payloops.projections.personal_data import CUSTOMER_EMAIL, MerchantKey
from payloops.projections.views import OrderFilter
from payloops.values import new_id

CURRENCY_DEFAULT = "USD"
_EXTERNAL_ID_BYTES = 9


@documented(
    Operation(
        summary="Create an order",
        body=CreateOrderBody,
        example={"amount": 2599, "currency": "USD", "externalId": "cart-17", "metadata": {"cart": "17"}},
        answers={201: Order},
        idempotent=True,
        creates=True,
        tagged=True,
    )
)
async def create_order(request: Request, services: Services) -> Reply:
    """``POST /v1/orders``."""
    body = read_object(request)
    asked = checked(CreateOrderBody, body)
    caller = request.caller
    key = await services.personal.key_for(caller.merchant_id)
    order_id = new_id()
    email = asked.customer_email
    command = CreateOrder(
        order_id=order_id,
        now=services.clock.now(),
        meta=request.meta(),
        merchant_id=caller.merchant_id,
        test_mode=not caller.live,
        amount=asked.amount,
        currency=asked.currency or CURRENCY_DEFAULT,
        external_id=asked.external_id or f"ord_{secrets.token_urlsafe(_EXTERNAL_ID_BYTES)}",
        customer_id=asked.customer_id,
        customer_email=None if email is None else key.seal(CUSTOMER_EMAIL, order_id, email),
        description=asked.description,
        metadata=asked.metadata,
        return_url=asked.return_url,
        cancel_url=asked.cancel_url,
        capture_method=asked.capture_method or "automatic",
    )

    def respond(state: OrderState, _events: tuple[Event, ...]) -> Response:
        return order_response(existing(state), key, status=201, secret=email is not None)

    done = await execute(
        request,
        services,
        services.orders,
        order_id,
        command,
        respond=respond,
        idempotency=idempotency_key(request, body),
        new=True,
        extra_rows=email_rows(key, order_id, email),
    )
    return reply_of(done.response)


@documented(Operation(summary="Read an order", answers={200: Order}, tagged=True))
async def get_order(request: Request, services: Services) -> Reply:
    """``GET /v1/orders/:id``."""
    caller = request.caller
    order_id = path_id_text(request)
    request.proven = True
    row = await services.views.order(caller.reader, order_id)
    key = await services.personal.key_for(caller.merchant_id)
    return Reply(200, orjson.dumps(wire_order(row, key)), etag(row["version"]))


@documented(
    Operation(
        summary="List orders",
        answers={200: OrderPage},
        query=(
            *(LIMIT, CURSOR, ORDER_STATUS),
            text("externalId", "Only orders with this id of yours."),
            text("customerId", "Only orders of this customer of yours."),
            Parameter("createdFrom", TIME, "Made at this time or later."),
            Parameter("createdTo", TIME, "Made before this time."),
        ),
    )
)
async def list_orders(request: Request, services: Services) -> Reply:
    """``GET /v1/orders``."""
    query = Query(request)
    wanted = OrderFilter(
        status=query.status(),
        external_id=query.text("externalId"),
        customer_id=query.text("customerId"),
        created_from=query.moment("createdFrom"),
        created_to=query.moment("createdTo"),
    )
    after, limit = query.order_cursor(), query.limit()
    request.proven = True
    rows, next_place = await services.views.orders(request.caller.reader, wanted, after, limit)
    key = await services.personal.key_for(request.caller.merchant_id)
    page = {
        "data": [wire_order(row, key) for row in rows],
        "hasMore": next_place is not None,
        "nextCursor": None if next_place is None else order_cursor_of(next_place),
    }
    return Reply(200, orjson.dumps(page))


@documented(Operation(summary="List an order's refunds", answers={200: list[ListedRefund]}))
async def list_refunds(request: Request, services: Services) -> Reply:
    """``GET /v1/orders/:id/refunds``."""
    order_id = path_id(request)
    request.proven = True
    rows = await services.views.refunds(request.caller.reader, order_id)
    refunds = [
        {
            "refundId": row["id"],
            "orderId": order_id,
            "amount": row["amount"],
            "status": row["status"],
            "reason": row["reason"],
            "createdAt": row["created_at"],
        }
        for row in rows
    ]
    return Reply(200, orjson.dumps(refunds))


@documented(Operation(summary="List what moved an order's money", answers={200: list[Transaction]}))
async def list_transactions(request: Request, services: Services) -> Reply:
    """``GET /v1/orders/:id/transactions``."""
    order_id = path_id(request)
    request.proven = True
    rows = await services.views.transactions(request.caller.reader, order_id)
    transactions = [
        {
            "id": row["id"],
            "orderId": order_id,
            "type": row["type"],
            "amount": row["amount"],
            "status": row["status"],
            "processorTransactionId": row["processor_transaction_id"],
            "errorCode": row["error_code"],
            "errorMessage": row["error_message"],
            "createdAt": row["created_at"],
        }
        for row in rows
    ]
    return Reply(200, orjson.dumps(transactions))


@documented(Operation(summary="Read an order's audit trail", answers={200: AuditPage}, query=(LIMIT, CURSOR)))
async def list_events(request: Request, services: Services) -> Reply:
    """``GET /v1/orders/:id/events`` and ``GET /api/orders/:id/events``: the order's audit trail, newest first."""
    query = Query(request)
    order_id: UUID = path_id(request)
    before, limit = query.number_cursor(), query.limit()
    request.proven = True
    entries, more = await services.views.order_events(request.caller.reader, order_id, before, limit)
    page = {
        "data": [wire_entry(entry) for entry in entries],
        "hasMore": more,
        "nextCursor": number_cursor_of(entries[-1].event.originator_version) if more else None,
    }
    return Reply(200, orjson.dumps(page))


def order_response(state: Existing, key: MerchantKey, *, status: int = 200, secret: bool = True) -> Response:
    """The order as it is in this state. ``secret``: it may show personal data or a client secret."""
    row = orders.row(state)
    return Response(status, orjson.dumps(wire_order(row, key)), secret=secret, version=state.facts.version)
