"""Read table ``orders``: one row an order, its state as clients see it."""

from __future__ import annotations

from typing import Any, assert_never

from payloops.events.base import Event
from payloops.events.order_state import (
    Authorized,
    Cancelled,
    Captured,
    Existing,
    Failed,
    NextAction,
    Pending,
    Processing,
    RequiresAction,
    status,
)
from payloops.projections.base import InlineProjection, Row


def row(state: Existing) -> Row:
    """The order's row in this state."""
    facts = state.facts
    attempt = None if isinstance(state, Pending) else state.attempt
    captured, refunded = _money(state)
    return {
        "id": facts.order_id,
        "merchant_id": facts.merchant_id,
        "version": facts.version,
        "test_mode": facts.test_mode,
        "external_id": facts.external_id,
        "amount": facts.amount,
        "currency": facts.currency,
        "status": status(state),
        "amount_captured": captured,
        "amount_refunded": refunded,
        "processor": None if attempt is None else attempt.processor,
        "processor_order_id": None if attempt is None else attempt.processor_order_id,
        "processor_transaction_id": None if attempt is None else attempt.processor_transaction_id,
        "workflow_id": None if attempt is None else attempt.workflow_id,
        "customer_id": facts.customer_id,
        "customer_email": facts.customer_email,
        "description": facts.description,
        "metadata": facts.metadata,
        "return_url": facts.return_url,
        "cancel_url": facts.cancel_url,
        "capture_method": facts.capture_method,
        "next_action": _next_action(state.next_action) if isinstance(state, RequiresAction) else None,
        "failure": _failure(state) if isinstance(state, Failed) else None,
        "outcome_unknown": _outcome_unknown(state),
        "dispute_status": state.dispute_status if isinstance(state, Captured) else None,
        "created_at": facts.created_at,
        "updated_at": facts.updated_at,
    }


def _money(state: Existing) -> tuple[int, int]:
    if isinstance(state, Captured):
        return state.captured, state.refunded
    return 0, 0


def _outcome_unknown(state: Existing) -> bool:
    match state:
        case Processing() | RequiresAction() | Authorized():
            return state.outcome_unknown
        case Captured():
            return any(refund.outcome_unknown for refund in state.refunds.values())
        case Pending() | Failed() | Cancelled():
            return False
        case _:
            assert_never(state)


def _next_action(action: NextAction) -> dict[str, Any]:
    return {
        "redirectUrl": action.redirect_url,
        "clientSecret": action.client_secret,
        "processorData": action.processor_data,
    }


def _failure(state: Failed) -> dict[str, Any]:
    failure = state.failure
    return {
        "code": failure.code,
        "declineCode": failure.decline_code,
        "message": failure.message,
        "processor": failure.processor,
    }


def rows(_before: Any, _event: Event, after: Existing) -> list[Row]:
    """The order's row after the event."""
    return [row(after)]


COLUMNS = (
    "id",
    "merchant_id",
    "version",
    "test_mode",
    "external_id",
    "amount",
    "currency",
    "status",
    "amount_captured",
    "amount_refunded",
    "processor",
    "processor_order_id",
    "processor_transaction_id",
    "workflow_id",
    "customer_id",
    "customer_email",
    "description",
    "metadata",
    "return_url",
    "cancel_url",
    "capture_method",
    "next_action",
    "failure",
    "outcome_unknown",
    "dispute_status",
    "created_at",
    "updated_at",
)

ORDERS = InlineProjection("orders", "id", COLUMNS, rows)
