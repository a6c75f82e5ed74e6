"""What an order's event causes outside the database: outbox rows, written in the event's own transaction.

Pure: the same event always gives the same rows with the same ids, so an effect that is written twice is one.
"""

from __future__ import annotations

from typing import Final, assert_never
from uuid import UUID, uuid5

from payloops.events import order as e
from payloops.events.base import Event
from payloops.events.order_state import (
    Attempt,
    Captured,
    Existing,
    OrderState,
    Processing,
    RequiresAction,
    attempt_of,
)
from payloops.projections.base import InlineProjection, Row
from payloops.values import named_id
from payloops.workflows_bridge.contracts import (
    CompletePayment,
    Json,
    Kind,
    OperationInput,
    PaymentInput,
    RefundInput,
    Signal,
    SignalWorkflow,
    StartWorkflow,
    WorkflowType,
    processor_queue,
    refund_workflow_id,
)

COLUMNS: Final = ("id", "key", "lane", "kind", "payload", "correlation_id", "traceparent")


def intents(before: OrderState, event: e.OrderEvent, after: Existing) -> list[Row]:
    """The effects of the event, in the order in which they are to happen."""
    match event:
        case e.PaymentStarted():
            return [_start_payment(event, after)]
        case e.CaptureRequested():
            return _start_capture(event, after)
        case e.CancelRequested():
            return _cancel(event, before, after)
        case e.RefundRequested():
            return _start_refund(event, after)
        case e.SurplusPaymentAuthorized() | e.SurplusPaymentCaptured():
            return [_return_surplus(event, after)]
        case e.PaymentAuthorized() | e.PaymentCaptured() | e.OrderCancelled():
            return [*_call_off_later_attempt(event, before), *_settle_checkout(event, after)]
        case e.SyncRequested() | e.SyncFinished():
            return [_ask(event, after)] if isinstance(event, e.SyncRequested) else _tell_workflow(event, after)
        case (
            e.OrderCreated()
            | e.PaymentDiscovered()
            | e.PaymentIdentified()
            | e.PaymentProcessing()
            | e.PaymentActionRequired()
            | e.PaymentFailed()
            | e.PaymentOutcomeUnknown()
            | e.CaptureFailed()
            | e.CancelFailed()
            | e.RefundDiscovered()
            | e.RefundIdentified()
            | e.RefundSucceeded()
            | e.RefundFailed()
            | e.RefundOutcomeUnknown()
            | e.RefundTotalTold()
            | e.DisputeOpened()
            | e.DisputeWon()
            | e.DisputeLost()
            | e.ExternalEventPublished()
        ):
            return []
        case _:
            assert_never(event)


def completion(
    state: Existing, told: CompletePayment, *, event_id: UUID, correlation_id: str, traceparent: str | None = None
) -> list[Row]:
    """The effect of a processor's event on an order whose customer is waited for: its workflow is told, once.

    ``event_id`` is the inbox's. For ``extra_rows`` of the command that ends the event's processing. Empty if no
    workflow of this service waits: then the order is to be moved directly.
    """
    attempt = attempt_of(state)
    if not isinstance(state, RequiresAction) or attempt is None or attempt.workflow_id is None:
        return []
    signal = SignalWorkflow(
        workflow_id=attempt.workflow_id,
        signal=Signal.COMPLETE_PAYMENT.value,
        payload=told.to_json(),
        merchant_id=str(state.facts.merchant_id),
        order_id=str(state.facts.order_id),
        attempt=attempt.number,
    )
    return [
        {
            "id": uuid5(event_id, Signal.COMPLETE_PAYMENT.value),
            "key": attempt.workflow_id,
            "lane": lane_of(attempt.processor, state.facts.merchant_id),
            "kind": Kind.SIGNAL.value,
            "payload": signal.to_json(),
            "correlation_id": correlation_id,
            "traceparent": traceparent,
        }
    ]


def _start_payment(event: e.PaymentStarted, after: Existing) -> Row:
    facts = after.facts
    method: Json | None = None
    if event.payment_method_type is not None or event.payment_method_token is not None:
        method = {"type": event.payment_method_type, "token": event.payment_method_token}
    payment = PaymentInput(
        order_id=str(facts.order_id),
        merchant_id=str(facts.merchant_id),
        amount=facts.amount,
        currency=facts.currency,
        capture_method=facts.capture_method,
        return_url=facts.return_url,
        processor=event.processor,
        payment_method=method,
        attempt=event.attempt,
    )
    return _start(
        event,
        after,
        WorkflowType.PAYMENT,
        workflow_id=event.workflow_id,
        processor=event.processor,
        told=payment.to_json(),
    )


def _start_capture(event: e.CaptureRequested, after: Existing) -> list[Row]:
    attempt = attempt_of(after)
    if attempt is None:
        return []
    capture = OperationInput(
        order_id=str(after.facts.order_id),
        merchant_id=str(after.facts.merchant_id),
        processor=attempt.processor,
        transaction_id=attempt.processor_transaction_id,
        amount=event.amount,
    )
    return [
        _start(
            event,
            after,
            WorkflowType.CAPTURE,
            workflow_id=event.workflow_id,
            processor=attempt.processor,
            told=capture.to_json(),
        )
    ]


def _cancel(event: e.CancelRequested, before: OrderState, after: Existing) -> list[Row]:
    """A waiting payment's own workflow is told to stop; held money, or a payment without one, gets a void's."""
    attempt = attempt_of(after)
    if attempt is None:
        return []
    if isinstance(before, RequiresAction) and event.workflow_id == attempt.workflow_id:
        return [_signal_cancel(event, before, attempt)]
    return [_start_void(event, after, event.workflow_id, attempt.processor, attempt.processor_transaction_id)]


def _start_void(
    event: e.CancelRequested | e.SurplusPaymentAuthorized,
    after: Existing,
    workflow_id: str,
    processor: str,
    transaction_id: str | None,
) -> Row:
    void = OperationInput(
        order_id=str(after.facts.order_id),
        merchant_id=str(after.facts.merchant_id),
        processor=processor,
        transaction_id=transaction_id,
    )
    return _start(event, after, WorkflowType.VOID, workflow_id=workflow_id, processor=processor, told=void.to_json())


def _start_refund(event: e.RefundRequested, after: Existing) -> list[Row]:
    if not isinstance(after, Captured):
        return []
    refund = RefundInput(
        refund_id=str(event.refund_id),
        order_id=str(after.facts.order_id),
        merchant_id=str(after.facts.merchant_id),
        processor=after.attempt.processor,
        transaction_id=after.attempt.processor_transaction_id,
        amount=event.amount,
        reason=event.reason,
    )
    return [
        _start(
            event,
            after,
            WorkflowType.REFUND,
            workflow_id=event.workflow_id,
            processor=after.attempt.processor,
            told=refund.to_json(),
        )
    ]


def _return_surplus(event: e.SurplusPaymentAuthorized | e.SurplusPaymentCaptured, after: Existing) -> Row:
    """What is held of a payment too many is released, what was taken goes back."""
    if isinstance(event, e.SurplusPaymentAuthorized):
        return _start_void(event, after, event.workflow_id, event.processor, event.processor_transaction_id)
    refund = RefundInput(
        refund_id=str(event.refund_id),
        order_id=str(after.facts.order_id),
        merchant_id=str(after.facts.merchant_id),
        processor=event.processor,
        transaction_id=event.processor_transaction_id,
        amount=event.amount,
        reason=None,
    )
    workflow_id = refund_workflow_id(event.refund_id)
    return _start(
        event, after, WorkflowType.REFUND, workflow_id=workflow_id, processor=event.processor, told=refund.to_json()
    )


def _call_off_later_attempt(
    event: e.PaymentAuthorized | e.PaymentCaptured | e.OrderCancelled, before: OrderState
) -> list[Row]:
    """Money of an earlier attempt came late: the attempt that is under way now must not take it a second time."""
    if isinstance(event, e.OrderCancelled) or not isinstance(before, Processing | RequiresAction):
        return []
    if before.attempt.number == event.attempt:
        return []
    return [] if before.attempt.workflow_id is None else [_signal_cancel(event, before, before.attempt)]


def _settle_checkout(event: e.OrderEvent, after: Existing) -> list[Row]:
    """The hosted checkout that the order was made for is to learn of it."""
    session_id = after.facts.checkout_session_id
    return [] if session_id is None else [checkout_row(event, session_id, after.facts.merchant_id)]


def checkout_row(event: Event, session_id: UUID, merchant_id: UUID) -> Row:
    """The effect "this checkout session is brought in line with its order and with the time".

    Each under a key of its own: one that has to come again later must not hold up the next.
    """
    row_id = effect_id(event.originator_id, event.originator_version, Kind.CHECKOUT)
    return {
        "id": row_id,
        "key": f"checkout-{row_id}",
        "lane": f"checkout:{merchant_id}",
        "kind": Kind.CHECKOUT.value,
        "payload": {"sessionId": str(session_id)},
        "correlation_id": event.meta.correlation_id,
        "traceparent": event.meta.traceparent,
    }


def _ask(event: e.SyncRequested, after: Existing) -> Row:
    """A lane of its own: whoever asks much must not hold up the merchant's payments."""
    order_id, merchant_id = after.facts.order_id, after.facts.merchant_id
    payload = {"orderId": str(order_id), "merchantId": str(merchant_id), "number": event.number}
    return _row(event, Kind.SYNC, f"sync-{order_id}", f"sync:{merchant_id}", payload)


def _tell_workflow(event: e.SyncFinished, after: Existing) -> list[Row]:
    """The payment's workflow is to look now: it ends if all is settled, or makes again what was surely not made.

    It may have ended long ago, or not be this service's: then the signal is not taken, and nothing is lost.
    """
    attempt = attempt_of(after)
    if attempt is None or attempt.workflow_id is None:
        return []
    of_payment = [answer["outcome"] for answer in event.answers if answer["attempt"] == attempt.number]
    in_doubt = isinstance(after, Processing | RequiresAction) and after.outcome_unknown
    if not event.changed and not (in_doubt and "not_found" in of_payment):
        return []
    signal = SignalWorkflow(
        workflow_id=attempt.workflow_id,
        signal=Signal.ASK_NOW.value,
        payload={},
        merchant_id=str(after.facts.merchant_id),
        order_id=str(after.facts.order_id),
        attempt=attempt.number,
    )
    lane = lane_of(attempt.processor, after.facts.merchant_id)
    return [_row(event, Kind.SIGNAL, attempt.workflow_id, lane, signal.to_json())]


def _start(
    event: e.OrderEvent, after: Existing, workflow: WorkflowType, *, workflow_id: str, processor: str, told: Json
) -> Row:
    start = StartWorkflow(
        type=workflow.value,
        workflow_id=workflow_id,
        task_queue=processor_queue(processor),
        input=told,
        merchant_id=str(after.facts.merchant_id),
        order_id=str(after.facts.order_id),
    )
    return _row(event, Kind.START, workflow_id, lane_of(processor, after.facts.merchant_id), start.to_json())


def _signal_cancel(event: e.OrderEvent, before: Existing, attempt: Attempt) -> Row:
    workflow_id = attempt.workflow_id or ""
    signal = SignalWorkflow(
        workflow_id=workflow_id,
        signal=Signal.CANCEL_PAYMENT.value,
        payload={},
        merchant_id=str(before.facts.merchant_id),
        order_id=str(before.facts.order_id),
        attempt=attempt.number,
    )
    return _row(event, Kind.SIGNAL, workflow_id, lane_of(attempt.processor, before.facts.merchant_id), signal.to_json())


def lane_of(processor: str, merchant_id: UUID) -> str:
    """What is slow together: a merchant's account at a processor."""
    return f"{processor}:{merchant_id}"


def _row(event: e.OrderEvent, kind: Kind, key: str, lane: str, payload: Json) -> Row:
    return {
        "id": effect_id(event.originator_id, event.originator_version, kind),
        "key": key,
        "lane": lane,
        "kind": kind.value,
        "payload": payload,
        "correlation_id": event.meta.correlation_id,
        "traceparent": event.meta.traceparent,
    }


def effect_id(stream_id: UUID, version: int, kind: str) -> UUID:
    """The id of the effect of that kind that a stream's event of that version has: the same for ever."""
    return named_id(stream_id, f"{version}-{kind}")


OUTBOX: Final = InlineProjection("outbox", "id", COLUMNS, intents, silent=(e.OrderCreated,))
"""Give it to the orders aggregate beside its read tables. It is never rebuilt: a replay fires no effect again."""
