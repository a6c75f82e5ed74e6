"""What follows from a report that money is held or taken: the order's own, or one payment too many.

Money counts from every state that has none. Of two payments of one order the second is surplus: what it holds is
released, what it took goes back.
"""

from __future__ import annotations

from typing import Final

from payloops.commands.order import CancelOrder, request_cancel, request_capture, void_workflow_id
from payloops.commands.order_reports import (
    RecordActionRequired,
    RecordAuthorized,
    RecordCaptured,
    RecordFailed,
    RecordProcessing,
    RecordVoided,
    event_head,
)
from payloops.errors import AmountMismatch
from payloops.events import order as e
from payloops.events.order_state import (
    Attempt,
    Authorized,
    Cancelled,
    Captured,
    Failed,
    Processing,
    RequiresAction,
    Surplus,
    authorized,
)

Paid = Processing | RequiresAction | Authorized | Captured | Failed | Cancelled
"""States in which a processor has been asked for money, if perhaps long ago."""

LATE_REASON: Final = "authorized after the order was cancelled"


def record_authorized(command: RecordAuthorized, state: Paid, attempt: Attempt) -> tuple[e.OrderEvent, ...]:
    """Money held counts from every state that has none; after a cancellation it is voided again at once.

    Where it is to be taken without being asked, the payment's workflow takes it; where none works on it, it is taken
    now.
    """
    _require_amount(command, state, exactly=True)
    if isinstance(state, Authorized | Captured):
        return _authorized_again(command, state, attempt)
    if _is_over(command.processor_transaction_id, state):
        return ()
    event = e.PaymentAuthorized(
        **event_head(command, state),
        attempt=command.attempt,
        processor_order_id=command.processor_order_id,
        processor_transaction_id=command.processor_transaction_id,
        amount=command.amount,
    )
    if isinstance(state, Cancelled):
        reason = state.reason
    elif isinstance(state, Processing | RequiresAction) and state.cancel is not None:
        reason = state.cancel.reason
    elif state.facts.capture_method == "automatic" and not _is_worked_on(attempt, state):
        held = authorized(state, event)
        return (event, request_capture(held, held.authorized, now=command.now, meta=command.meta))
    else:
        return (event,)
    cancel = CancelOrder(command.order_id, command.now, command.meta, reason or LATE_REASON)
    return (event, request_cancel(cancel, authorized(state, event)))


def _is_worked_on(attempt: Attempt, state: Processing | RequiresAction | Failed) -> bool:
    """Whether a workflow is at the attempt's payment, and takes what it holds.

    After a failure there is none any more, also while another attempt is under way; of a payment that was begun
    elsewhere there never was one.
    """
    if isinstance(state, Failed) or state.attempt.number != attempt.number:
        return False
    return attempt.workflow_id is not None


def _authorized_again(
    command: RecordAuthorized, state: Authorized | Captured, attempt: Attempt
) -> tuple[e.OrderEvent, ...]:
    """A hold beside the order's own payment is one too many and is released."""
    if _is_known(command, state, state.facts.surplus):
        return identified(command, state, attempt)
    return (
        e.SurplusPaymentAuthorized(
            **event_head(command, state),
            attempt=command.attempt,
            processor=attempt.processor,
            processor_order_id=command.processor_order_id or attempt.processor_order_id,
            processor_transaction_id=command.processor_transaction_id or attempt.processor_transaction_id,
            amount=command.amount,
            workflow_id=void_workflow_id(state),
        ),
    )


def record_captured(command: RecordCaptured, state: Paid, attempt: Attempt) -> tuple[e.OrderEvent, ...]:
    """Money taken counts from every state; a second payment of the same order is surplus and goes back."""
    _require_amount(command, state, exactly=state.facts.capture_method == "automatic")
    if isinstance(state, Captured):
        return _captured_again(command, state, attempt)
    captured = e.PaymentCaptured(
        **event_head(command, state),
        attempt=command.attempt,
        processor_order_id=command.processor_order_id,
        processor_transaction_id=command.processor_transaction_id,
        amount=command.amount,
    )
    if not isinstance(state, Authorized):
        return (captured,)
    held = state.attempt
    if is_same(command, held):
        return (captured,)
    released = e.SurplusPaymentAuthorized(
        **event_head(command, state, ahead=2),
        attempt=held.number,
        processor=held.processor,
        processor_order_id=held.processor_order_id,
        processor_transaction_id=held.processor_transaction_id,
        amount=state.authorized,
        workflow_id=void_workflow_id(state),
    )
    return (captured, released)


def _captured_again(command: RecordCaptured, state: Captured, attempt: Attempt) -> tuple[e.OrderEvent, ...]:
    if _is_known(command, state, tuple(one for one in state.facts.surplus if one.refund is not None)):
        return identified(command, state, attempt)
    return (
        e.SurplusPaymentCaptured(
            **event_head(command, state),
            attempt=command.attempt,
            refund_id=command.surplus_refund_id,
            processor=attempt.processor,
            processor_order_id=command.processor_order_id or attempt.processor_order_id,
            processor_transaction_id=command.processor_transaction_id or attempt.processor_transaction_id,
            amount=command.amount,
        ),
    )


def _is_known(
    command: RecordAuthorized | RecordCaptured, state: Authorized | Captured, surplus: tuple[Surplus, ...]
) -> bool:
    """Whether the report is of the order's own payment or of a surplus one that was told of before."""
    payments: tuple[Attempt | Surplus, ...] = (state.attempt, *surplus)
    return any(is_same(command, one) for one in payments)


def is_same(command: RecordAuthorized | RecordCaptured | RecordFailed | RecordVoided, one: Attempt | Surplus) -> bool:
    """Whether the report speaks of this payment."""
    return one.is_same_payment(command.attempt, command.processor_transaction_id)


def _is_over(transaction_id: str | None, state: Paid) -> bool:
    """Whether the payment was ended at the processor, so that word of money held by it is stale."""
    match state:
        case Cancelled():
            ended = state.ended_transaction_id
        case Failed(ended=True):
            ended = state.attempt.processor_transaction_id
        case _:
            ended = None
    return ended is not None and ended == transaction_id


def _require_amount(command: RecordAuthorized | RecordCaptured, state: Paid, *, exactly: bool) -> None:
    """Only a manual capture may be of less than the order. Raises AmountMismatch."""
    facts, amount = state.facts, command.amount
    if command.currency not in (None, facts.currency):
        raise AmountMismatch(
            f"The processor reports {command.currency}, the order is in {facts.currency}.", param="currency"
        )
    if not 0 < amount <= facts.amount or (exactly and amount != facts.amount):
        raise AmountMismatch(f"The processor reports {amount}, the order is for {facts.amount}.", param="amount")


def identified(
    command: RecordProcessing | RecordActionRequired | RecordAuthorized | RecordCaptured,
    state: Paid,
    attempt: Attempt,
    *,
    ahead: int = 1,
) -> tuple[e.OrderEvent, ...]:
    """What a report that is no news otherwise tells of the processor's ids; a known id is never replaced.

    A second payment of one attempt tells nothing of the first.
    """
    if not attempt.is_same_payment(command.attempt, command.processor_transaction_id):
        return ()
    order_id = command.processor_order_id if attempt.processor_order_id is None else None
    transaction_id = command.processor_transaction_id if attempt.processor_transaction_id is None else None
    if order_id is None and transaction_id is None:
        return ()
    return (
        e.PaymentIdentified(
            **event_head(command, state, ahead=ahead),
            attempt=attempt.number,
            processor_order_id=order_id,
            processor_transaction_id=transaction_id,
        ),
    )
