"""Read table ``refunds``: one row a refund of an order."""

from __future__ import annotations

from payloops.events import order as e
from payloops.events.order_state import Captured, Existing, OrderState
from payloops.projections.base import InlineProjection, Row


def rows(_before: OrderState, event: e.OrderEvent, after: Existing) -> list[Row]:
    """The row of the refund that the event is about."""
    if not isinstance(event, e.RefundRequested | e.RefundSucceeded | e.RefundFailed | e.RefundOutcomeUnknown):
        return []
    if not isinstance(after, Captured):
        return []
    refund = after.refunds[event.refund_id]
    return [
        {
            "id": refund.refund_id,
            "order_id": after.facts.order_id,
            "merchant_id": after.facts.merchant_id,
            "version": event.originator_version,
            "amount": refund.amount,
            "status": refund.status,
            "reason": refund.reason,
            "processor_refund_id": refund.processor_refund_id,
            "error_code": refund.error_code,
            "error_message": refund.error_message,
            "outcome_unknown": refund.outcome_unknown,
            "created_at": refund.created_at,
            "updated_at": event.timestamp,
        }
    ]


COLUMNS = (
    "id",
    "order_id",
    "merchant_id",
    "version",
    "amount",
    "status",
    "reason",
    "processor_refund_id",
    "error_code",
    "error_message",
    "outcome_unknown",
    "created_at",
    "updated_at",
)

REFUNDS = InlineProjection("refunds", "id", COLUMNS, rows, frozenset({"version", "created_at"}))
