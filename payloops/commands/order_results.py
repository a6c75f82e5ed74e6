"""What processors and workflows report of an order's payment and refunds.

Reports come late, twice and out of order. One rule decides: money only goes forward. A late success counts even after a
failure or a cancellation; a late failure never undoes money taken; a report of what is already so changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from payloops.commands.order import CancelOrder, request_cancel
from payloops.errors import AmountMismatch, InvalidStatus, NotFound
from payloops.events import order as e
from payloops.events.base import Meta, Sealed
from payloops.events.order_state import (
    Absent,
    Authorized,
    Cancelled,
    Captured,
    Existing,
    Failed,
    OrderState,
    Pending,
    Processing,
    RequiresAction,
    attempt_numbered,
    evolve,
)


@dataclass(frozen=True, slots=True)
class Report:
    """What all reports say."""

    order_id: UUID
    now: datetime
    meta: Meta


@dataclass(frozen=True, slots=True)
class RecordProcessing(Report):
    """The processor works on it (again)."""

    attempt: int


@dataclass(frozen=True, slots=True)
class RecordActionRequired(Report):
    attempt: int
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    redirect_url: str | None = None
    client_secret: Sealed | None = None
    processor_data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RecordAuthorized(Report):
    attempt: int
    amount: int
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordCaptured(Report):
    """``surplus_refund_id`` is used when this payment turns out to be one too many."""

    attempt: int
    amount: int
    surplus_refund_id: UUID
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordFailed(Report):
    attempt: int
    code: str
    message: str
    decline_code: str | None = None
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordVoided(Report):
    """The processor ended the payment without taking money."""

    attempt: int
    processor_transaction_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RecordOutcomeUnknown(Report):
    attempt: int
    operation: e.Operation
    reason: str


@dataclass(frozen=True, slots=True)
class RecordCaptureFailed(Report):
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordCancelFailed(Report):
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordRefundSucceeded(Report):
    refund_id: UUID
    processor_refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordRefundFailed(Report):
    refund_id: UUID
    code: str
    message: str
    processor_refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordRefundUnknown(Report):
    refund_id: UUID
    reason: str


PaymentReport = (
    RecordProcessing
    | RecordActionRequired
    | RecordAuthorized
    | RecordCaptured
    | RecordFailed
    | RecordVoided
    | RecordOutcomeUnknown
    | RecordCaptureFailed
    | RecordCancelFailed
)
RefundReport = RecordRefundSucceeded | RecordRefundFailed | RecordRefundUnknown
OrderReport = PaymentReport | RefundReport


def decide(command: OrderReport, state: OrderState) -> tuple[e.OrderEvent, ...]:
    """The events that the report causes; none when it says nothing new.

    Raises NotFound (no such order, attempt or refund), AmountMismatch, InvalidStatus (nothing was asked of a processor).
    """
    if isinstance(state, Absent):
        raise NotFound("No such order.")
    match command:
        case RecordRefundSucceeded() | RecordRefundFailed() | RecordRefundUnknown():
            return record_refund(command, state)
        case RecordCaptureFailed() | RecordCancelFailed():
            return record_refusal(command, state)
        case (
            RecordProcessing()
            | RecordActionRequired()
            | RecordAuthorized()
            | RecordCaptured()
            | RecordFailed()
            | RecordVoided()
            | RecordOutcomeUnknown()
        ):
            if isinstance(state, Pending):
                raise InvalidStatus("No payment of this order was started.")
            if attempt_numbered(state, command.attempt) is None:
                raise NotFound(f"This order has no payment attempt {command.attempt}.")
            return _record_payment(command, state)
        case _:
            assert_never(command)


Paid = Processing | RequiresAction | Authorized | Captured | Failed | Cancelled
"""States in which a processor has been asked for money, if perhaps long ago."""


def _record_payment(
    command: RecordProcessing
    | RecordActionRequired
    | RecordAuthorized
    | RecordCaptured
    | RecordFailed
    | RecordVoided
    | RecordOutcomeUnknown,
    state: Paid,
) -> tuple[e.OrderEvent, ...]:
    match command:
        case RecordProcessing():
            return record_processing(command, state)
        case RecordActionRequired():
            return record_action_required(command, state)
        case RecordAuthorized():
            return record_authorized(command, state)
        case RecordCaptured():
            return record_captured(command, state)
        case RecordFailed():
            return record_failed(command, state)
        case RecordVoided():
            return record_voided(command, state)
        case RecordOutcomeUnknown():
            return record_outcome_unknown(command, state)
        case _:
            assert_never(command)


def record_processing(command: RecordProcessing, state: Paid) -> tuple[e.OrderEvent, ...]:
    """Only the current attempt's waiting customer can have moved on; a doubt about the outcome stays a doubt."""
    if not isinstance(state, RequiresAction) or state.attempt.number != command.attempt:
        return ()
    return (e.PaymentProcessing(**_head(command, state), attempt=command.attempt),)


def record_action_required(command: RecordActionRequired, state: Paid) -> tuple[e.OrderEvent, ...]:
    if not isinstance(state, Processing) or state.attempt.number != command.attempt:
        return ()
    return (
        e.PaymentActionRequired(
            **_head(command, state),
            attempt=command.attempt,
            processor_order_id=command.processor_order_id,
            processor_transaction_id=command.processor_transaction_id,
            redirect_url=command.redirect_url,
            client_secret=command.client_secret,
            processor_data=command.processor_data,
        ),
    )


def record_authorized(command: RecordAuthorized, state: Paid) -> tuple[e.OrderEvent, ...]:
    """Money held counts from every state that has none; after a cancellation it is voided again at once."""
    _require_possible_amount(command.amount, state)
    if isinstance(state, Authorized | Captured):
        return ()
    event = e.PaymentAuthorized(
        **_head(command, state),
        attempt=command.attempt,
        processor_order_id=command.processor_order_id,
        processor_transaction_id=command.processor_transaction_id,
        amount=command.amount,
    )
    wants_cancel = isinstance(state, Cancelled) or (isinstance(state, RequiresAction) and state.cancel is not None)
    if not wants_cancel:
        return (event,)
    authorized = evolve(state, event)
    if not isinstance(authorized, Authorized):
        raise InvalidStatus("An authorization must leave the order authorized.")
    reason = "authorized after the order was cancelled"
    return (event, request_cancel(CancelOrder(command.order_id, command.now, command.meta, reason), authorized))


def record_captured(command: RecordCaptured, state: Paid) -> tuple[e.OrderEvent, ...]:
    """Money taken counts from every state; a second payment of the same order is surplus and goes back."""
    _require_possible_amount(command.amount, state)
    if not isinstance(state, Captured):
        return (
            e.PaymentCaptured(
                **_head(command, state),
                attempt=command.attempt,
                processor_order_id=command.processor_order_id,
                processor_transaction_id=command.processor_transaction_id,
                amount=command.amount,
            ),
        )
    attempt = attempt_numbered(state, command.attempt)
    known = (state.attempt.processor_transaction_id, *state.facts.surplus)
    same_attempt = command.attempt == state.attempt.number
    if attempt is None or command.processor_transaction_id in known:
        return ()
    if same_attempt and (command.processor_transaction_id is None or state.attempt.processor_transaction_id is None):
        return ()
    return (
        e.SurplusPaymentCaptured(
            **_head(command, state),
            attempt=command.attempt,
            refund_id=command.surplus_refund_id,
            processor=attempt.processor,
            processor_order_id=command.processor_order_id,
            processor_transaction_id=command.processor_transaction_id,
            amount=command.amount,
        ),
    )


def record_failed(command: RecordFailed, state: Paid) -> tuple[e.OrderEvent, ...]:
    """A failure ends only the current attempt, and only while it has no money."""
    if not isinstance(state, Processing | RequiresAction) or state.attempt.number != command.attempt:
        return ()
    if isinstance(state, RequiresAction) and state.cancel is not None:
        return (_cancelled(command, state, state.cancel.reason, 0, command.processor_transaction_id),)
    return (
        e.PaymentFailed(
            **_head(command, state),
            attempt=command.attempt,
            code=command.code,
            decline_code=command.decline_code,
            message=command.message,
            processor_order_id=command.processor_order_id,
            processor_transaction_id=command.processor_transaction_id,
        ),
    )


def record_voided(command: RecordVoided, state: Paid) -> tuple[e.OrderEvent, ...]:
    if not isinstance(state, Processing | RequiresAction | Authorized) or state.attempt.number != command.attempt:
        return ()
    asked = None if isinstance(state, Processing) else state.cancel
    reason = command.reason if asked is None else asked.reason
    released = state.authorized if isinstance(state, Authorized) else 0
    return (_cancelled(command, state, reason, released, command.processor_transaction_id),)


def record_outcome_unknown(command: RecordOutcomeUnknown, state: Paid) -> tuple[e.OrderEvent, ...]:
    if not isinstance(state, Processing | RequiresAction | Authorized) or state.outcome_unknown:
        return ()
    if state.attempt.number != command.attempt:
        return ()
    return (
        e.PaymentOutcomeUnknown(
            **_head(command, state), attempt=command.attempt, operation=command.operation, reason=command.reason
        ),
    )


def record_refusal(command: RecordCaptureFailed | RecordCancelFailed, state: Existing) -> tuple[e.OrderEvent, ...]:
    """The processor refused a capture or a cancellation: what it was asked of stands as before."""
    match command, state:
        case RecordCaptureFailed(), Authorized() if state.capture is not None:
            return (e.CaptureFailed(**_head(command, state), code=command.code, message=command.message),)
        case RecordCancelFailed(), Authorized() | RequiresAction() if state.cancel is not None:
            return (e.CancelFailed(**_head(command, state), code=command.code, message=command.message),)
        case _:
            return ()


def record_refund(command: RefundReport, state: Existing) -> tuple[e.OrderEvent, ...]:
    """A refund's result. One that failed after it had succeeded is believed: processors do give the money back to the
    merchant then (Stripe, "failed refunds"), and the amount can be refunded again."""
    if not isinstance(state, Captured) or command.refund_id not in state.refunds:
        raise NotFound("This order has no such refund.")
    refund = state.refunds[command.refund_id]
    match command:
        case RecordRefundSucceeded():
            if refund.status == "success":
                return ()
            if refund.status == "failed" and refund.amount > state.refundable:
                raise AmountMismatch(f"A late refund of {refund.amount} is more than what is left of the capture.")
            return (
                e.RefundSucceeded(
                    **_head(command, state),
                    refund_id=command.refund_id,
                    processor_refund_id=command.processor_refund_id,
                ),
            )
        case RecordRefundFailed():
            if refund.status == "failed":
                return ()
            return (
                e.RefundFailed(
                    **_head(command, state),
                    refund_id=command.refund_id,
                    code=command.code,
                    message=command.message,
                    processor_refund_id=command.processor_refund_id,
                ),
            )
        case RecordRefundUnknown():
            if refund.status != "pending" or refund.outcome_unknown:
                return ()
            return (
                e.RefundOutcomeUnknown(**_head(command, state), refund_id=command.refund_id, reason=command.reason),
            )
        case _:
            assert_never(command)


def _require_possible_amount(amount: int, state: Paid) -> None:
    if not 0 < amount <= state.facts.amount:
        raise AmountMismatch(f"The processor reports {amount}, the order is for {state.facts.amount}.", param="amount")


def _cancelled(
    command: RecordFailed | RecordVoided,
    state: Processing | RequiresAction | Authorized,
    reason: str | None,
    released: int,
    processor_transaction_id: str | None,
) -> e.OrderCancelled:
    return e.OrderCancelled(
        **_head(command, state),
        reason=reason,
        released=released,
        processor_transaction_id=processor_transaction_id or state.attempt.processor_transaction_id,
    )


def _head(command: Report, state: Existing) -> dict[str, Any]:
    """The fields that every event of this command begins with."""
    return {
        "originator_id": state.facts.order_id,
        "originator_version": state.facts.version + 1,
        "timestamp": command.now,
        "meta": command.meta,
    }
