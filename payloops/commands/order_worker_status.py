"""An external worker's ``updateOrderStatus`` as the report that it means in the order's state.

Of a payment's results it has neither attempt nor amount; the order knows both.
"""

from __future__ import annotations

from typing import Final

from payloops.commands.order_reports import (
    PaymentReport,
    RecordActionRequired,
    RecordAuthorized,
    RecordCancelFailed,
    RecordCaptured,
    RecordCaptureFailed,
    RecordFailed,
    RecordProcessing,
    RecordStatus,
    RecordVoided,
    RefusalReport,
)
from payloops.errors import InvalidInput, InvalidStatus
from payloops.events.order_state import Authorized, Captured, Existing, attempts_of, status

NO_CODE: Final = "payment_failed"
NO_MESSAGE: Final = "The payment failed; the worker gave no reason."


def report_of(command: RecordStatus, state: Existing) -> PaymentReport | RefusalReport | None:
    """The report that the status means; None when it says nothing of a payment.

    What the worker leaves out is taken from the order: the attempt that has its ids, else the current one; the amount
    that was asked for. Raises InvalidInput, InvalidStatus.
    """
    head = (command.order_id, command.now, command.meta)
    number = _attempt_number(command, state)
    ids = (command.processor_order_id, command.processor_transaction_id)
    match command.status:
        case "pending" | "processing":
            return RecordProcessing(*head, number, *ids)
        case "requires_action":
            return RecordActionRequired(*head, number, *ids)
        case "authorized":
            return RecordAuthorized(*head, number, state.facts.amount, *ids, processor=command.processor)
        case "captured":
            amount, refund_id = _amount_taken(state), command.surplus_refund_id
            return RecordCaptured(*head, number, amount, refund_id, *ids, processor=command.processor)
        case "failed":
            return _failure(command, state, number)
        case "cancelled":
            transaction_id = command.processor_transaction_id
            return RecordVoided(*head, number, transaction_id, processor=command.processor)
        case "partially_refunded" | "refunded":
            _require_captured(state)
            return None
        case _:
            raise InvalidInput("status is none that an order can have.", param="status")


def _attempt_number(command: RecordStatus, state: Existing) -> int:
    attempts = attempts_of(state)
    order_id, transaction_id = command.processor_order_id, command.processor_transaction_id
    for attempt in attempts:
        if transaction_id is not None and attempt.processor_transaction_id == transaction_id:
            return attempt.number
        if order_id is not None and attempt.processor_order_id == order_id:
            return attempt.number
    return attempts[0].number if attempts else 1


def _amount_taken(state: Existing) -> int:
    if isinstance(state, Authorized) and state.capture is not None:
        return state.capture.amount
    return state.facts.amount


def _failure(command: RecordStatus, state: Existing, number: int) -> PaymentReport | RefusalReport:
    """Held money doesn't fail: what failed is the capture or the void that is under way."""
    head = (command.order_id, command.now, command.meta)
    code, message = command.error_code or NO_CODE, command.error_message or NO_MESSAGE
    if isinstance(state, Authorized) and state.capture is not None:
        return RecordCaptureFailed(*head, code, message, number)
    if isinstance(state, Authorized) and state.cancel is not None:
        return RecordCancelFailed(*head, code, message, number)
    return RecordFailed(
        *head,
        number,
        code,
        message,
        processor_order_id=command.processor_order_id,
        processor_transaction_id=command.processor_transaction_id,
        processor=command.processor,
    )


def _require_captured(state: Existing) -> None:
    """Refunds have results of their own (``updateRefundStatus``); the order's status follows from them."""
    if not isinstance(state, Captured):
        raise InvalidStatus(f"An order that is {status(state)} can't be refunded.")
