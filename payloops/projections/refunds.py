"""Read table ``refunds``: one row a refund of an order."""

from __future__ import annotations

from uuid import UUID

from payloops.events import order as e
from payloops.events.order_state import Captured, Existing, OrderState, Refund
from payloops.projections.base import InlineProjection, Row

RefundEvent = (
    e.RefundRequested
    | e.RefundDiscovered
    | e.RefundIdentified
    | e.RefundSucceeded
    | e.RefundFailed
    | e.RefundOutcomeUnknown
)


def rows(_before: OrderState, event: e.OrderEvent, after: Existing) -> list[Row]:
    """The rows of the refunds that the event changes; a surplus payment's refund is none of the order's."""
    if not isinstance(event, RefundEvent) or not isinstance(after, Captured):
        return []
    refunds = (after.refunds.get(refund_id) for refund_id in changed_refunds(event))
    return [_row(event, after, refund) for refund in refunds if refund is not None]


def changed_refunds(event: RefundEvent) -> tuple[UUID, ...]:
    """The refunds that the event changes: the one that it is about, and those that it was counted as before."""
    counted_before = event.counted_before if isinstance(event, e.RefundDiscovered) else ()
    return (event.refund_id, *map(UUID, counted_before))


def _row(event: RefundEvent, after: Captured, refund: Refund) -> Row:
    return {
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
