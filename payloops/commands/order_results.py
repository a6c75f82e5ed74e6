"""What follows from a report of an order's payment, whoever sent it.

Reports come late, twice and out of order. One rule decides: money only goes forward. A late success counts even after a
failure or a cancellation; a late failure never undoes money taken; a report of what is already so changes nothing.
"""

from __future__ import annotations

from typing import assert_never

from payloops.commands.order_disputes import record_dispute
from payloops.commands.order_money_results import Paid, identified, is_same, record_authorized, record_captured
from payloops.commands.order_publishing import publish_event
from payloops.commands.order_refund_results import record_refund
from payloops.commands.order_refund_totals import record_cumulative_refund
from payloops.commands.order_reports import (
    FinishSync,
    OrderReport,
    PaymentReport,
    PublishEvent,
    RecordActionRequired,
    RecordAuthorized,
    RecordCancelFailed,
    RecordCaptured,
    RecordCaptureFailed,
    RecordCumulativeRefund,
    RecordDiscoveredRefund,
    RecordDispute,
    RecordFailed,
    RecordOutcomeUnknown,
    RecordProcessing,
    RecordRefundFailed,
    RecordRefundSucceeded,
    RecordRefundUnknown,
    RecordStatus,
    RecordVoided,
    RefundReport,
    RefusalReport,
    Report,
    event_head,
)
from payloops.commands.order_sync import finish_sync
from payloops.commands.order_worker_status import report_of
from payloops.errors import InvalidStatus, NotFound
from payloops.events import order as e
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
    discovered,
)

__all__ = [
    "FinishSync",
    "OrderReport",
    "PaymentReport",
    "PublishEvent",
    "RecordActionRequired",
    "RecordAuthorized",
    "RecordCancelFailed",
    "RecordCaptureFailed",
    "RecordCaptured",
    "RecordCumulativeRefund",
    "RecordDiscoveredRefund",
    "RecordDispute",
    "RecordFailed",
    "RecordOutcomeUnknown",
    "RecordProcessing",
    "RecordRefundFailed",
    "RecordRefundSucceeded",
    "RecordRefundUnknown",
    "RecordStatus",
    "RecordVoided",
    "RefundReport",
    "RefusalReport",
    "Report",
    "decide",
]


def decide(command: OrderReport, state: OrderState) -> tuple[e.OrderEvent, ...]:
    """The events that the report causes; none when it says nothing new.

    Raises NotFound (no such order, attempt or refund), AmountMismatch, InvalidStatus (nothing was asked of a
    processor, or what must come first is not known yet), InvalidInput (no such status, or no such type of event).
    """
    if isinstance(state, Absent):
        raise NotFound("No such order.")
    if isinstance(command, RecordStatus):
        report = report_of(command, state)
        return () if report is None else _decide_existing(report, state)
    return _decide_existing(command, state)


def _decide_existing(
    command: PaymentReport | RefusalReport | RefundReport | RecordDispute | PublishEvent | FinishSync, state: Existing
) -> tuple[e.OrderEvent, ...]:
    match command:
        case RecordRefundSucceeded() | RecordRefundFailed() | RecordRefundUnknown() | RecordDiscoveredRefund():
            return record_refund(command, state)
        case RecordCumulativeRefund():
            return record_cumulative_refund(command, state)
        case RecordDispute():
            return record_dispute(command, state)
        case PublishEvent():
            return publish_event(command, state)
        case FinishSync():
            return finish_sync(command, state)
        case RecordCaptureFailed() | RecordCancelFailed():
            return record_refusal(command, state)
        case _ if isinstance(state, Pending) or state.attempt is None:
            return record_discovered(command, state)
        case _:
            return _record_payment(command, state)


def _record_payment(command: PaymentReport, state: Paid) -> tuple[e.OrderEvent, ...]:
    attempt = attempt_numbered(state, command.attempt)
    if attempt is None:
        raise NotFound(f"This order has no payment attempt {command.attempt}.")
    match command:
        case RecordProcessing():
            return record_processing(command, state)
        case RecordActionRequired():
            return record_action_required(command, state)
        case RecordAuthorized():
            return record_authorized(command, state, attempt)
        case RecordCaptured():
            return record_captured(command, state, attempt)
        case RecordFailed():
            return record_failed(command, state)
        case RecordVoided():
            return record_voided(command, state)
        case RecordOutcomeUnknown():
            return record_outcome_unknown(command, state)
        case _:
            assert_never(command)


def record_discovered(command: PaymentReport, state: Pending | Paid) -> tuple[e.OrderEvent, ...]:
    """A payment that was not begun here becomes the order's first attempt by its result; steps on its way say nothing.

    So money that a processor took for the order counts, and the order is not paid a second time.
    """
    if isinstance(command, RecordProcessing | RecordActionRequired):
        return ()
    if isinstance(command, RecordOutcomeUnknown) or command.processor is None:
        raise InvalidStatus("No payment of this order was started.")
    if command.attempt != 1 or not isinstance(state, Pending | Cancelled):
        raise NotFound(f"This order has no payment attempt {command.attempt}.")
    found = e.PaymentDiscovered(
        **event_head(command, state),
        attempt=command.attempt,
        processor=command.processor,
        processor_order_id=None if isinstance(command, RecordVoided) else command.processor_order_id,
        processor_transaction_id=None if isinstance(command, RecordFailed) else command.processor_transaction_id,
    )
    consequences = _record_payment(command, discovered(state, found))
    return (found, *consequences) if consequences else ()


def record_processing(command: RecordProcessing, state: Paid) -> tuple[e.OrderEvent, ...]:
    """Only the current attempt's waiting customer can have moved on; a doubt about the outcome stays a doubt."""
    if not isinstance(state, Processing | RequiresAction) or state.attempt.number != command.attempt:
        return ()
    if isinstance(state, Processing):
        return identified(command, state, state.attempt)
    processing = e.PaymentProcessing(**event_head(command, state), attempt=command.attempt)
    return (processing, *identified(command, state, state.attempt, ahead=2))


def record_action_required(command: RecordActionRequired, state: Paid) -> tuple[e.OrderEvent, ...]:
    """The customer is waited for. Said again it changes nothing, but that it ends a doubt about the outcome."""
    if not isinstance(state, Processing | RequiresAction) or state.attempt.number != command.attempt:
        return ()
    if isinstance(state, RequiresAction) and not state.outcome_unknown:
        return identified(command, state, state.attempt)
    return (
        e.PaymentActionRequired(
            **event_head(command, state),
            attempt=command.attempt,
            processor_order_id=command.processor_order_id,
            processor_transaction_id=command.processor_transaction_id,
            redirect_url=command.redirect_url,
            client_secret=command.client_secret,
            processor_data=command.processor_data,
        ),
    )


def record_failed(command: RecordFailed, state: Paid) -> tuple[e.OrderEvent, ...]:
    """A failure ends only the current attempt, and only while it has no money.

    When we had the processor end the payment, its word that it was ended says the same, before or after: that order has
    failed and can be paid again.
    """
    if isinstance(state, Captured) or not _is_current(command, state):
        return ()
    if isinstance(state, Processing | RequiresAction) and state.cancel is not None:
        ended_transaction_id = _payment_id(command, state) if command.ended else None
        return (_cancelled(command, state, state.cancel.reason, ended_transaction_id),)
    if not isinstance(state, Processing | RequiresAction) and not _is_end_of_ours(command, state):
        return ()
    return (
        e.PaymentFailed(
            **event_head(command, state),
            attempt=command.attempt,
            code=command.code,
            decline_code=command.decline_code,
            message=command.message,
            processor_order_id=command.processor_order_id,
            processor_transaction_id=command.processor_transaction_id,
            ended=command.ended,
        ),
    )


def _is_end_of_ours(command: RecordFailed, state: Authorized | Failed | Cancelled) -> bool:
    """Whether the end that we brought about explains the state, or is news to it."""
    if not command.ended:
        return False
    match state:
        case Authorized():
            return state.cancel is None and is_same(command, state.attempt)
        case Failed():
            return not state.ended
        case Cancelled():
            ids = {command.processor_transaction_id, state.ended_transaction_id} - {None}
            return not state.requested and len(ids) <= 1
        case _:
            assert_never(state)


def record_voided(command: RecordVoided, state: Paid) -> tuple[e.OrderEvent, ...]:
    """The end of the current attempt's payment is the end of the order, also of one that failed.

    So a failure and an end make a cancelled order in whichever order they are told. The exception is an end of ours.
    """
    if isinstance(state, Captured | Cancelled) or not _is_current(command, state):
        return ()
    if isinstance(state, Authorized) and not is_same(command, state.attempt):
        return ()
    if isinstance(state, Failed) and state.ended:
        return ()
    asked = None if isinstance(state, Failed) else state.cancel
    reason = command.reason if asked is None else asked.reason
    return (_cancelled(command, state, reason, _payment_id(command, state)),)


def _is_current(command: RecordFailed | RecordVoided | RecordOutcomeUnknown, state: Paid) -> bool:
    return state.attempt is not None and state.attempt.number == command.attempt


def _payment_id(
    command: RecordFailed | RecordVoided, state: Processing | RequiresAction | Authorized | Failed
) -> str | None:
    return command.processor_transaction_id or state.attempt.processor_transaction_id


def record_outcome_unknown(command: RecordOutcomeUnknown, state: Paid) -> tuple[e.OrderEvent, ...]:
    """Only what is under way can be in doubt: a doubt about the payment ends with its authorization."""
    if not isinstance(state, Processing | RequiresAction | Authorized) or state.outcome_unknown:
        return ()
    if not _is_current(command, state) or not _is_under_way(command.operation, state):
        return ()
    return (
        e.PaymentOutcomeUnknown(
            **event_head(command, state), attempt=command.attempt, operation=command.operation, reason=command.reason
        ),
    )


def _is_under_way(operation: e.Operation, state: Processing | RequiresAction | Authorized) -> bool:
    match operation:
        case "payment":
            return not isinstance(state, Authorized)
        case "capture":
            return isinstance(state, Authorized) and (
                state.capture is not None or state.facts.capture_method == "automatic"
            )
        case "void":
            return state.cancel is not None
        case _:
            assert_never(operation)


def record_refusal(command: RefusalReport, state: Existing) -> tuple[e.OrderEvent, ...]:
    """The processor refused a capture or a cancellation: what it was asked of stands as before."""
    if not isinstance(state, Processing | RequiresAction | Authorized):
        return ()
    if command.attempt not in (None, state.attempt.number):
        return ()
    match command, state:
        case RecordCaptureFailed(), Authorized() if state.capture is not None:
            return (e.CaptureFailed(**event_head(command, state), code=command.code, message=command.message),)
        case RecordCancelFailed(), _ if state.cancel is not None:
            return (e.CancelFailed(**event_head(command, state), code=command.code, message=command.message),)
        case _:
            return ()


def _cancelled(
    command: RecordFailed | RecordVoided,
    state: Processing | RequiresAction | Authorized | Failed,
    reason: str | None,
    ended_transaction_id: str | None,
) -> e.OrderCancelled:
    return e.OrderCancelled(
        **event_head(command, state),
        reason=reason,
        released=state.authorized if isinstance(state, Authorized) else 0,
        processor_transaction_id=ended_transaction_id,
    )
