"""Read table ``transactions``: what money did, one row an authorization, capture, refund, void or dispute.

A payment that is captured automatically is one capture; a manual one is an authorization, then a capture or a void.
A dispute is pending while it is open; ``success`` is the customer's: lost, so that the money is gone.
"""

from __future__ import annotations

from typing import Final, assert_never
from uuid import UUID, uuid5

from payloops.events import order as e
from payloops.events.order_state import (
    Authorized,
    Captured,
    DisputeStatus,
    Existing,
    OrderState,
    Pending,
    Processing,
    Refund,
    RequiresAction,
)
from payloops.projections.base import InlineProjection, Row
from payloops.projections.refunds import RefundEvent, changed_refunds


def rows(before: OrderState, event: e.OrderEvent, after: Existing) -> list[Row]:
    """The transactions that the event begins or ends."""
    match event:
        case e.PaymentStarted() | e.PaymentAuthorized() | e.PaymentCaptured() | e.PaymentFailed():
            return _payment(event, after)
        case e.SurplusPaymentAuthorized() | e.SurplusPaymentCaptured():
            return _surplus(event, after)
        case e.CaptureRequested():
            return [_row(event, after, _manual_capture(after), event.amount, "pending")]
        case e.CaptureFailed():
            return _refused(before, event, after)
        case e.CancelRequested() | e.CancelFailed() | e.OrderCancelled():
            return _cancelling(before, event, after)
        case e.RefundRequested() | e.RefundDiscovered() | e.RefundIdentified() | e.RefundSucceeded() | e.RefundFailed():
            return _refund(event, after)
        case e.DisputeOpened() | e.DisputeWon() | e.DisputeLost():
            return _dispute(event, after)
        case (
            e.OrderCreated()
            | e.PaymentDiscovered()
            | e.PaymentIdentified()
            | e.PaymentProcessing()
            | e.PaymentActionRequired()
            | e.PaymentOutcomeUnknown()
            | e.RefundOutcomeUnknown()
            | e.RefundTotalTold()
            | e.ExternalEventPublished()
            | e.SyncRequested()
            | e.SyncFinished()
        ):
            return []
        case _:
            assert_never(event)


Key = tuple[str, int, int]
"""Type, attempt, and which of the attempt's: enough to find a transaction again."""


def _first_call(state: Existing, attempt: int) -> Key:
    return ("capture" if state.facts.capture_method == "automatic" else "authorization", attempt, 0)


def _manual_capture(state: Existing) -> Key:
    attempt = None if isinstance(state, Pending) else state.attempt
    return ("capture", 0 if attempt is None else attempt.number, state.facts.captures_requested)


def _payment(
    event: e.PaymentStarted | e.PaymentAuthorized | e.PaymentCaptured | e.PaymentFailed, after: Existing
) -> list[Row]:
    match event:
        case e.PaymentStarted():
            return [_row(event, after, _first_call(after, event.attempt), after.facts.amount, "pending")]
        case e.PaymentAuthorized():
            return [_done(event, after, ("authorization", event.attempt, 0), event.amount)]
        case e.PaymentCaptured():
            return _captured(event, after)
        case e.PaymentFailed():
            return [_failed(event, after)]
        case _:
            assert_never(event)


def _surplus(event: e.SurplusPaymentAuthorized | e.SurplusPaymentCaptured, after: Existing) -> list[Row]:
    if isinstance(event, e.SurplusPaymentAuthorized):
        return [_done(event, after, ("authorization", event.attempt, 0), event.amount)]
    return [_done(event, after, ("capture", event.attempt, -1), event.amount), *_refund(event, after)]


def _captured(event: e.PaymentCaptured, after: Existing) -> list[Row]:
    if after.facts.capture_method == "automatic":
        return [_done(event, after, ("capture", event.attempt, 0), event.amount)]
    return [
        _done(event, after, ("authorization", event.attempt, 0), after.facts.amount),
        _done(event, after, _manual_capture(after), event.amount),
    ]


def _failed(event: e.PaymentFailed, after: Existing) -> Row:
    row = _row(event, after, _first_call(after, event.attempt), after.facts.amount, "failed")
    row["processor_transaction_id"] = event.processor_transaction_id
    row["error_code"] = event.decline_code or event.code
    row["error_message"] = event.message
    return row


def _refused(before: OrderState, event: e.CaptureFailed, after: Existing) -> list[Row]:
    if not isinstance(before, Authorized) or before.capture is None:
        return []
    row = _row(event, after, _manual_capture(after), before.capture.amount, "failed")
    row["error_code"], row["error_message"] = event.code, event.message
    return [row]


def _cancelling(
    before: OrderState, event: e.CancelRequested | e.CancelFailed | e.OrderCancelled, after: Existing
) -> list[Row]:
    if isinstance(before, Authorized):
        key: Key = ("void", before.attempt.number, after.facts.voids_requested)
        match event:
            case e.CancelRequested():
                return [_row(event, after, key, before.authorized, "pending")]
            case e.OrderCancelled():
                return [_done(event, after, key, before.authorized)]
            case e.CancelFailed():
                row = _row(event, after, key, before.authorized, "failed")
                row["error_code"], row["error_message"] = event.code, event.message
                return [row]
            case _:
                assert_never(event)
    if isinstance(before, Processing | RequiresAction) and isinstance(event, e.OrderCancelled):
        row = _row(event, after, _first_call(after, before.attempt.number), after.facts.amount, "failed")
        row["processor_transaction_id"] = event.processor_transaction_id
        row["error_code"], row["error_message"] = "cancelled", "The payment was cancelled."
        return [row]
    return []


def _refund(event: RefundEvent | e.SurplusPaymentCaptured, after: Existing) -> list[Row]:
    """The refund's transaction, of a surplus payment too."""
    if not isinstance(after, Captured):
        return []
    refunds = (after.refund(refund_id) for refund_id in _changed_refunds(event))
    return [_refund_row(event, after, refund) for refund in refunds if refund is not None]


def _changed_refunds(event: RefundEvent | e.SurplusPaymentCaptured) -> tuple[UUID, ...]:
    return (event.refund_id,) if isinstance(event, e.SurplusPaymentCaptured) else changed_refunds(event)


def _refund_row(event: e.OrderEvent, after: Existing, refund: Refund) -> Row:
    row = _row(event, after, ("refund", 0, 0), refund.amount, refund.status)
    row["id"] = refund.refund_id
    row["processor_transaction_id"] = refund.processor_refund_id
    row["error_code"], row["error_message"] = refund.error_code, refund.error_message
    return row


_DISPUTE_STATUS: Final[dict[DisputeStatus, str]] = {"opened": "pending", "won": "failed", "lost": "success"}


def _dispute(event: e.DisputeOpened | e.DisputeWon | e.DisputeLost, after: Existing) -> list[Row]:
    dispute = after.dispute(event.dispute_id) if isinstance(after, Captured) else None
    if dispute is None:
        return []
    row = _row(event, after, ("dispute", 0, 0), dispute.amount, _DISPUTE_STATUS[dispute.status])
    row["id"] = dispute.dispute_id
    row["processor_transaction_id"] = dispute.processor_dispute_id
    return [row]


def _done(
    event: (
        e.PaymentAuthorized
        | e.PaymentCaptured
        | e.SurplusPaymentAuthorized
        | e.SurplusPaymentCaptured
        | e.OrderCancelled
    ),
    after: Existing,
    key: Key,
    amount: int,
) -> Row:
    row = _row(event, after, key, amount, "success")
    row["processor_transaction_id"] = event.processor_transaction_id
    return row


def _row(event: e.OrderEvent, after: Existing, key: Key, amount: int, status: str) -> Row:
    order_id = after.facts.order_id
    kind, attempt, which = key
    return {
        "id": uuid5(order_id, f"{kind}-{attempt}-{which}"),
        "order_id": order_id,
        "merchant_id": after.facts.merchant_id,
        "version": event.originator_version,
        "type": kind,
        "amount": amount,
        "status": status,
        "processor_transaction_id": None,
        "error_code": None,
        "error_message": None,
        "created_at": event.timestamp,
        "updated_at": event.timestamp,
    }


COLUMNS = (
    "id",
    "order_id",
    "merchant_id",
    "version",
    "type",
    "amount",
    "status",
    "processor_transaction_id",
    "error_code",
    "error_message",
    "created_at",
    "updated_at",
)

TRANSACTIONS = InlineProjection(
    "transactions", "id", COLUMNS, rows, kept=frozenset({"version", "created_at"}), silent=(e.OrderCreated,)
)
