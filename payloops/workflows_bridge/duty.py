"""What an order still needs of a workflow: the log decides, for a workflow may be late, or be told to do a step again.

Pure. Without these questions a capture that was recorded as refused could be made after all, by a crash at the wrong
moment, or a customer be charged for an order that another attempt has paid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from payloops.events.order_state import (
    Authorized,
    Cancelled,
    Captured,
    Existing,
    Failed,
    Processing,
    Refund,
    RequiresAction,
    attempt_numbered,
    attempt_of,
    attempts_of,
)


@dataclass(frozen=True, slots=True)
class KnownPayment:
    """An attempt's payment, with what is known of it at the processor."""

    attempt: int
    processor_order_id: str | None
    processor_transaction_id: str | None


def payment_numbered(state: Existing, number: int) -> KnownPayment:
    """The payment of an attempt."""
    attempt = attempt_numbered(state, number)
    if attempt is None:
        return KnownPayment(number, None, None)
    return KnownPayment(number, attempt.processor_order_id, attempt.processor_transaction_id)


def payment_called(state: Existing, transaction_id: str | None) -> KnownPayment:
    """The payment that the processor calls so: an attempt's or a surplus one, else the current attempt's."""
    known = [KnownPayment(a.number, a.processor_order_id, a.processor_transaction_id) for a in attempts_of(state)]
    surplus = [KnownPayment(s.attempt, s.processor_order_id, s.processor_transaction_id) for s in state.facts.surplus]
    for payment in (*known, *surplus):
        if transaction_id is not None and payment.processor_transaction_id == transaction_id:
            return payment
    if not known:
        return KnownPayment(1, None, transaction_id)
    current = known[0]
    return replace(current, processor_transaction_id=transaction_id or current.processor_transaction_id)


def wants_charge(state: Existing, number: int) -> bool:
    """Whether the attempt is the order's current one and still under way."""
    return isinstance(state, Processing | RequiresAction) and state.attempt.number == number


def is_settled(state: Existing, number: int) -> bool:
    """Whether the order needs nothing more of this attempt's workflow.

    Of an attempt that is not the current one that can't be told: it may yet turn out to have taken money.
    """
    current = attempt_of(state)
    if current is None or current.number != number:
        return False
    if isinstance(state, Authorized):
        return not wants_automatic_capture(state, number)
    return isinstance(state, Captured | Failed | Cancelled)


def wants_automatic_capture(state: Existing, number: int) -> bool:
    """Whether money that is held for the order is to be taken without being asked."""
    return (
        isinstance(state, Authorized)
        and state.attempt.number == number
        and state.facts.capture_method == "automatic"
        and state.cancel is None
    )


def wants_capture(state: Existing) -> int | None:
    """The amount that a merchant's capture is to take; None when there is none under way."""
    return state.capture.amount if isinstance(state, Authorized) and state.capture is not None else None


def wants_void(state: Existing, transaction_id: str | None) -> bool:
    """Whether this payment is to be ended: the order's own, or one that was one too many and is still held."""
    held = (one.processor_transaction_id for one in state.facts.surplus if one.refund is None)
    if transaction_id is not None and transaction_id in held:
        return True
    if not isinstance(state, Processing | RequiresAction | Authorized) or state.cancel is None:
        return any(one.refund is None for one in state.facts.surplus) and transaction_id is None
    return transaction_id in (None, state.attempt.processor_transaction_id) or (
        state.attempt.processor_transaction_id is None
    )


def pending_refund(state: Existing, refund_id: UUID) -> Refund | None:
    """The refund while it is undecided."""
    refund = state.refund(refund_id) if isinstance(state, Captured) else None
    return refund if refund is not None and refund.status == "pending" else None
