"""Read table ``refunds``: one row a refund of an order."""

from __future__ import annotations

from payloops.events import order as e
from payloops.events.order_state import Captured, Existing, OrderState
from payloops.projections.base import InlineProjection, Row

REFUND_EVENTS = (
    e.RefundRequested
    | e.RefundDiscovered
    | e.RefundIdentified
    | e.RefundSucceeded
    | e.RefundFailed
    | e.RefundOutcomeUnknown
)


def rows(_before: OrderState, event: e.OrderEvent, after: Existing) -> list[Row]:
    """The row of the refund that the event is about; a surplus payment's refund is none of the order's."""
    if not isinstance(event, REFUND_EVENTS) or not isinstance(after, Captured):
        return []
    refund = after.refunds.get(event.refund_id)
    if refund is None:
        return []
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

REFUNDS = InlineProjection(
    "refunds", "id", COLUMNS, rows, kept=frozenset({"version", "created_at"}), silent=(e.OrderCreated,)
)
