"""From what an event says to the commands of the order that it is about. Pure."""

from __future__ import annotations

from datetime import datetime

from payloops.commands import order_results as r
from payloops.events.base import Meta, Sealed
from payloops.events.order_state import Captured, Existing, attempts_of
from payloops.values import value
from payloops.workflows_bridge.contracts import CompletePayment
from payloops.workflows_bridge.inbox.facts import (
    DisputeTold,
    PaymentTold,
    RefundsTotalTold,
    RefundTold,
    Subject,
)
from payloops.workflows_bridge.reports import surplus_refund_id

ENDED_AT_THE_PROCESSOR = "ended at the processor"


class Quarantined(Exception):
    """What the event says can't be so of this order. The words are for people."""


@value(frozen=True, slots=True)
class Context:
    """Who reports, when, and what the command's events will tell of their cause."""

    processor: str
    now: datetime
    meta: Meta


def attempt_meant(state: Existing, subject: Subject, processor: str) -> int:
    """The number of the attempt whose payment the event is about; 1 for a payment that was not begun here.

    The processor's own ids go before our metadata: whoever copies a payment in its dashboard copies that too. Raises
    Quarantined when the order is with another processor.
    """
    attempts = [attempt for attempt in attempts_of(state) if attempt.processor == processor]
    known = [(one.number, one.processor_transaction_id) for one in attempts]
    known += [(one.attempt, one.processor_transaction_id) for one in state.facts.surplus if one.processor == processor]
    for number, transaction_id in known:
        if transaction_id is not None and transaction_id == subject.transaction_id:
            return number
    for attempt in attempts:
        if subject.processor_order_id is not None and subject.processor_order_id == attempt.processor_order_id:
            return attempt.number
    numbers = [attempt.number for attempt in attempts]
    if subject.attempt in numbers:
        return subject.attempt
    if numbers:
        return numbers[0]
    if attempts_of(state):
        raise Quarantined("The order is paid through another processor.")
    return 1


def require_currency(state: Existing, currency: str | None) -> None:
    """Raises Quarantined."""
    if currency != state.facts.currency:
        raise Quarantined(f"The event is in {currency or 'no currency'}, the order in {state.facts.currency}.")


def payment_report(
    told: PaymentTold,
    state: Existing,
    context: Context,
    *,
    redirect_url: Sealed | None = None,
    client_secret: Sealed | None = None,
) -> r.PaymentReport:
    """The command for a step of a payment. Raises Quarantined: other amount, currency or processor than the order's."""
    facts, subject, processor = state.facts, told.subject, context.processor
    number = attempt_meant(state, subject, processor)
    require_currency(state, told.currency)
    if told.total != facts.amount:
        raise Quarantined(f"The event is about a payment of {told.total}, the order is for {facts.amount}.")
    head = (facts.order_id, context.now, context.meta, number)
    order_id, payment_id = subject.processor_order_id, subject.transaction_id
    taken = facts.amount if told.amount is None else told.amount
    match told.step:
        case "captured":
            return r.RecordCaptured(
                *head,
                amount=taken,
                surplus_refund_id=surplus_refund_id(facts.order_id, number, payment_id),
                processor_order_id=order_id,
                processor_transaction_id=payment_id,
                currency=told.currency,
                processor=processor,
            )
        case "authorized":
            return r.RecordAuthorized(*head, taken, order_id, payment_id, told.currency, processor)
        case "failed":
            words = (told.code, told.message, told.decline_code)
            return r.RecordFailed(*head, *words, order_id, payment_id, processor)
        case "voided":
            return r.RecordVoided(*head, payment_id, ENDED_AT_THE_PROCESSOR, processor)
        case "processing":
            return r.RecordProcessing(*head, order_id, payment_id)
        case "action_required":
            return r.RecordActionRequired(*head, order_id, payment_id, redirect_url, client_secret)


def word_for_workflow(told: PaymentTold, their_event_id: str) -> CompletePayment | None:
    """What the workflow that waits for the customer is told; None while the payment is still under way."""
    match told.step:
        case "captured" | "authorized":
            return CompletePayment(True, told.subject.transaction_id, their_event_id)  # noqa: FBT003 - a wire form
        case "failed":
            code = told.decline_code or told.code
            return CompletePayment(False, told.subject.transaction_id, their_event_id, code, told.message)  # noqa: FBT003
        case "voided":
            return CompletePayment(False, told.subject.transaction_id, their_event_id, "cancelled", None)  # noqa: FBT003
        case "processing" | "action_required":
            return None


def refund_report(told: RefundTold, state: Existing, context: Context) -> r.RefundReport:
    """The command for a refund, ours or one that was made at the processor. Raises Quarantined."""
    require_currency(state, told.currency)
    order_id, now, meta = state.facts.order_id, context.now, context.meta
    ours = None
    if told.refund_id is not None and isinstance(state, Captured):
        ours = state.refund(told.refund_id)
    if ours is not None and ours.amount != told.amount:
        raise Quarantined(f"The event is about a refund of {told.amount}, ours is of {ours.amount}.")
    if ours is not None and told.status == "success":
        return r.RecordRefundSucceeded(order_id, now, meta, ours.refund_id, told.processor_refund_id)
    if ours is not None and told.status == "failed":
        return r.RecordRefundFailed(
            order_id, now, meta, ours.refund_id, told.code, told.message, told.processor_refund_id
        )
    return r.RecordDiscoveredRefund(
        order_id,
        now,
        meta,
        told.processor_refund_id,
        told.amount,
        told.status,
        told.reason,
        told.code,
        told.message,
        told.subject.transaction_id,
    )


def refunds_total_report(told: RefundsTotalTold, state: Existing, context: Context) -> r.RecordCumulativeRefund:
    """The command for what a payment was refunded in all. Raises Quarantined."""
    require_currency(state, told.currency)
    return r.RecordCumulativeRefund(
        state.facts.order_id,
        context.now,
        context.meta,
        refunded_total=told.refunded_total,
        processor_transaction_id=told.subject.transaction_id,
    )


def dispute_report(told: DisputeTold, state: Existing, context: Context) -> r.RecordDispute:
    """The command for a dispute. Raises Quarantined."""
    require_currency(state, told.currency)
    return r.RecordDispute(
        state.facts.order_id,
        context.now,
        context.meta,
        processor_dispute_id=told.processor_dispute_id,
        amount=told.amount,
        reason=told.reason,
        status=told.status,
        processor_transaction_id=told.subject.transaction_id,
    )
