"""Which events of an order merchants are told of, and as what (the wire contract, "Outbound webhooks")."""

from __future__ import annotations

from typing import Final, assert_never
from uuid import UUID, uuid5

from payloops.events import order as e
from payloops.events.order_states import Captured, Existing, OrderState, status
from payloops.values import value

__all__ = ["Published", "last_published", "public_event_id", "public_type"]

REFUND_TYPES: Final = {"pending": "refund.pending", "success": "refund.processed", "failed": "refund.failed"}


@value(frozen=True, slots=True)
class Published:
    """A public event's place among the order's. ``sequence`` counts from 1, ``version`` is the order's."""

    type: str
    sequence: int
    version: int


def public_event_id(stream_id: UUID, version: int) -> UUID:
    """The id of the public event that a stream's event of that version makes: the same for ever and everywhere."""
    return uuid5(stream_id, f"public-{version}")


def last_published(before: OrderState, after: Existing) -> Published | None:
    """The public event that the event between these states made."""
    count = after.facts.public_events
    if count == (before.facts.public_events if isinstance(before, Existing) else 0):
        return None
    event_type, version = after.facts.last_published[-1]
    return Published(event_type, count, version)


def public_type(before: Existing, event: e.OrderEvent, after: Existing) -> str | None:
    """The type of the public event that ``event`` makes, given the states around it; None when it makes none.

    A payment's is told when the order's status changes, and named after it; a refund's or a dispute's when its own
    does. So a late word on another attempt, a processor's id learned, and what a surplus payment goes through are not.
    """
    match event:
        case (
            e.PaymentStarted()
            | e.PaymentProcessing()
            | e.PaymentActionRequired()
            | e.PaymentAuthorized()
            | e.PaymentCaptured()
            | e.PaymentFailed()
            | e.OrderCancelled()
        ):
            return None if status(before) == status(after) else f"payment.{status(after)}"
        case e.RefundRequested() | e.RefundDiscovered() | e.RefundSucceeded() | e.RefundFailed():
            return _refund_type(before, event.refund_id, after)
        case e.DisputeOpened() | e.DisputeWon() | e.DisputeLost():
            dispute = after.dispute(event.dispute_id) if isinstance(after, Captured) else None
            return None if dispute is None else f"dispute.{dispute.status}"
        case e.ExternalEventPublished():
            return event.event_type
        case (
            e.OrderCreated()
            | e.PaymentDiscovered()
            | e.PaymentIdentified()
            | e.PaymentOutcomeUnknown()
            | e.SurplusPaymentAuthorized()
            | e.SurplusPaymentCaptured()
            | e.CaptureRequested()
            | e.CaptureFailed()
            | e.CancelRequested()
            | e.CancelFailed()
            | e.RefundIdentified()
            | e.RefundOutcomeUnknown()
            | e.RefundTotalTold()
            | e.SyncRequested()
            | e.SyncFinished()
        ):
            return None
        case _:
            assert_never(event)


def _refund_type(before: Existing, refund_id: UUID, after: Existing) -> str | None:
    """None for a surplus payment's own refund, which is none of the order's."""
    known = before.refunds.get(refund_id) if isinstance(before, Captured) else None
    refund = after.refunds.get(refund_id) if isinstance(after, Captured) else None
    if refund is None or (known is not None and known.status == refund.status):
        return None
    return REFUND_TYPES[refund.status]
