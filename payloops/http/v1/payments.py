"""What moves an order's money: pay, capture, cancel, refund. Each waits a moment for the processor's outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from payloops.commands.idempotency import IdempotencyKey, Response
from payloops.commands.order import CancelOrder, CapturePayment, ProcessorOption, RefundPayment, StartPayment
from payloops.events.order_state import Authorized, Captured, Existing, Pending, Processing, RequiresAction, status
from payloops.http.answers.orders import Order, Payment, Refund
from payloops.http.headers import idempotency_key
from payloops.http.json_body import read_object
from payloops.http.message import Reply, Request
from payloops.http.openapi.operation import Operation, documented
from payloops.http.outcome import execute_and_wait
from payloops.http.query import path_id
from payloops.http.schemas.base import checked
from payloops.http.schemas.orders import CancelBody, CaptureBody, PayBody, RefundBody, refuse_raw_card
from payloops.http.services import Services
from payloops.http.v1.orders import order_response
from payloops.projections.personal_data import CLIENT_SECRET, REDIRECT_URL, MerchantKey
from payloops.values import new_id


class _Key:
    """The request's idempotency key, once it is known how long the request may wait."""

    def __init__(self, request: Request, body: Mapping[str, Any]) -> None:
        self._request = request
        self._body = body

    def __call__(self, flight_s: int | None) -> IdempotencyKey | None:
        return idempotency_key(self._request, self._body, flight_s=flight_s)


@documented(
    Operation(
        summary="Pay an order",
        description="Of a `failed` order a new attempt, with another `paymentMethod.token`.",
        body=PayBody,
        example={"processor": "stripe", "paymentMethod": {"type": "card", "token": "pm_card_visa"}},
        answers={200: Payment},
        errors=("invalid_status", "no_processor", "invalid_processor"),
        idempotent=True,
        conditional=True,
        waits=True,
        tagged=True,
    )
)
async def pay(request: Request, services: Services) -> Reply:
    """``POST /v1/orders/:id/pay``: answers when the payment left the processor's hands, or its outcome is unknown."""
    order_id = path_id(request)
    body = read_object(request)
    refuse_raw_card(body)
    asked = checked(PayBody, body)
    caller, method = request.caller, asked.payment_method
    rows = await services.views.processor_options(caller.reader)
    key = await services.personal.key_for(caller.merchant_id)
    command = StartPayment(
        order_id=order_id,
        now=services.clock.now(),
        meta=request.meta(),
        options=tuple(ProcessorOption(**row) for row in rows),
        processor=asked.processor,
        payment_method_type=None if method is None else method.type,
        payment_method_token=None if method is None else method.token,
    )
    return await execute_and_wait(
        request,
        services,
        order_id,
        command,
        respond=lambda state: _payment_response(state, key),
        key=_Key(request, body),
        reached=_payment_known,
    )


@documented(
    Operation(
        summary="Capture an authorized payment",
        description="Once for each order; what is not captured is released.",
        body=CaptureBody,
        example={},
        answers={200: Order},
        errors=("invalid_status",),
        idempotent=True,
        conditional=True,
        waits=True,
        tagged=True,
    )
)
async def capture(request: Request, services: Services) -> Reply:
    """``POST /v1/orders/:id/capture``."""
    order_id = path_id(request)
    body = read_object(request)
    asked = checked(CaptureBody, body)
    key = await services.personal.key_for(request.caller.merchant_id)
    command = CapturePayment(order_id, services.clock.now(), request.meta(), asked.amount)
    return await execute_and_wait(
        request,
        services,
        order_id,
        command,
        respond=lambda state: order_response(state, key),
        key=_Key(request, body),
        reached=lambda state, _: not isinstance(state, Authorized) or state.capture is None or state.outcome_unknown,
    )


@documented(
    Operation(
        summary="Cancel an order",
        description="An authorized payment is voided.",
        body=CancelBody,
        example={"reason": "The customer changed her mind."},
        answers={200: Order},
        errors=("invalid_status",),
        idempotent=True,
        conditional=True,
        waits=True,
        tagged=True,
    )
)
async def cancel(request: Request, services: Services) -> Reply:
    """``POST /v1/orders/:id/cancel``."""
    order_id = path_id(request)
    body = read_object(request)
    asked = checked(CancelBody, body)
    key = await services.personal.key_for(request.caller.merchant_id)
    command = CancelOrder(order_id, services.clock.now(), request.meta(), asked.reason)
    return await execute_and_wait(
        request,
        services,
        order_id,
        command,
        respond=lambda state: order_response(state, key),
        key=_Key(request, body),
        reached=lambda state, _: (
            not isinstance(state, Authorized | RequiresAction) or state.cancel is None or state.outcome_unknown
        ),
    )


@documented(
    Operation(
        summary="Refund an order",
        description="Without an amount, all that is left.",
        body=RefundBody,
        example={"amount": 100, "reason": "One of them was broken."},
        answers={201: Refund},
        errors=("invalid_status", "refund_exceeds_captured"),
        idempotent=True,
        conditional=True,
        waits=True,
        tagged=True,
    )
)
async def refund(request: Request, services: Services) -> Reply:
    """``POST /v1/orders/:id/refund``."""
    order_id = path_id(request)
    body = read_object(request)
    asked = checked(RefundBody, body)
    refund_id = new_id()
    command = RefundPayment(order_id, services.clock.now(), request.meta(), refund_id, asked.amount, asked.reason)
    return await execute_and_wait(
        request,
        services,
        order_id,
        command,
        respond=lambda state: _refund_response(state, refund_id),
        key=_Key(request, body),
        reached=lambda state, _: _refund_known(state, refund_id),
    )


def _payment_known(state: Existing, started: Existing) -> bool:
    """Whether this attempt's outcome is there, be it that nobody knows it."""
    if not isinstance(state, Processing) or not isinstance(started, Processing):
        return True
    return state.outcome_unknown or state.attempt.number != started.attempt.number


def _payment_response(state: Existing, key: MerchantKey) -> Response:
    attempt = None if isinstance(state, Pending) else state.attempt
    body: dict[str, Any] = {
        "orderId": state.facts.order_id,
        "status": status(state),
        "processor": None if attempt is None else attempt.processor,
        "workflowId": None if attempt is None else attempt.workflow_id,
    }
    if isinstance(state, RequiresAction):
        action = state.next_action
        optional = {
            "redirectUrl": key.open(REDIRECT_URL, state.facts.order_id, action.redirect_url),
            "clientSecret": key.open(CLIENT_SECRET, state.facts.order_id, action.client_secret),
            "processorData": action.processor_data,
        }
        body.update({name: value for name, value in optional.items() if value is not None})
    # First and last answer of one request are kept alike, and the last one may hold a client secret.
    return Response(200, orjson.dumps(body), secret=True, version=state.facts.version)


def _refund_known(state: Existing, refund_id: UUID) -> bool:
    if not isinstance(state, Captured):
        return True
    refund = state.refunds[refund_id]
    return refund.status != "pending" or refund.outcome_unknown


def _refund_response(state: Existing, refund_id: UUID) -> Response:
    if not isinstance(state, Captured):
        raise TypeError("only a captured order has refunds")
    refund = state.refunds[refund_id]
    body = {
        "refundId": refund_id,
        "orderId": state.facts.order_id,
        "amount": refund.amount,
        "status": refund.status,
    }
    return Response(201, orjson.dumps(body), version=state.facts.version)
