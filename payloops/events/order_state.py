"""What an order is, folded from its events. A history that no command could have written is refused, not folded."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from payloops.events import order as e
from payloops.events.order_changes import changed, impossible
from payloops.events.order_refund_state import evolve_captured
from payloops.events.order_states import (
    INITIAL,
    Absent,
    Attempt,
    Authorized,
    Cancelled,
    Captured,
    Dispute,
    DisputeStatus,
    Existing,
    Facts,
    Failed,
    Failure,
    ImpossibleHistory,
    NextAction,
    OrderState,
    Pending,
    Processing,
    Refund,
    RefundStatus,
    RequiresAction,
    Surplus,
    Sync,
    attempt_numbered,
    attempt_of,
    attempts_of,
    status,
)
from payloops.events.public_events import public_type

__all__ = [
    "INITIAL",
    "Absent",
    "Attempt",
    "Authorized",
    "Cancelled",
    "Captured",
    "Dispute",
    "DisputeStatus",
    "Existing",
    "Facts",
    "Failed",
    "Failure",
    "ImpossibleHistory",
    "NextAction",
    "OrderState",
    "Pending",
    "Processing",
    "Refund",
    "RefundStatus",
    "RequiresAction",
    "Surplus",
    "Sync",
    "attempt_numbered",
    "attempt_of",
    "attempts_of",
    "authorized",
    "discovered",
    "evolve",
    "status",
]


def evolve(state: OrderState, event: e.OrderEvent) -> OrderState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if isinstance(state, Absent):
        if not isinstance(event, e.OrderCreated) or event.originator_version != 1:
            raise ImpossibleHistory(f"{event.TOPIC} begins a stream at version {event.originator_version}")
        return Pending(_created(event))
    if event.originator_version != state.facts.version + 1:
        raise ImpossibleHistory(f"version {event.originator_version} follows version {state.facts.version}")
    return _published(state, event, _evolve_existing(state, event))


def _published(before: Existing, event: e.OrderEvent, after: Existing) -> Existing:
    """The state with its public event counted, if the event makes one."""
    event_type = public_type(before, event, after)
    if event_type is None:
        return after
    others = tuple(one for one in after.facts.last_published if one[0] != event_type)
    facts = replace(
        after.facts,
        public_events=after.facts.public_events + 1,
        last_published=(*others, (event_type, event.originator_version)),
    )
    return replace(after, facts=facts)


def _evolve_existing(state: Existing, event: e.OrderEvent) -> Existing:
    match event:
        case e.PaymentStarted() | e.PaymentDiscovered() | e.PaymentIdentified():
            return _evolve_attempts(state, event)
        case e.PaymentProcessing() | e.PaymentActionRequired() | e.PaymentFailed() | e.OrderCancelled():
            return _evolve_course(state, event)
        case e.PaymentAuthorized() | e.PaymentCaptured():
            return _evolve_money(state, event)
        case (
            e.PaymentOutcomeUnknown()
            | e.CaptureRequested()
            | e.CaptureFailed()
            | e.CancelRequested()
            | e.CancelFailed()
        ):
            return _evolve_open(state, event)
        case e.SurplusPaymentAuthorized() | e.SurplusPaymentCaptured():
            return _evolve_surplus(state, event)
        case (
            e.RefundRequested()
            | e.RefundDiscovered()
            | e.RefundIdentified()
            | e.RefundSucceeded()
            | e.RefundFailed()
            | e.RefundOutcomeUnknown()
            | e.RefundTotalTold()
            | e.DisputeOpened()
            | e.DisputeWon()
            | e.DisputeLost()
        ):
            return evolve_captured(state, event)
        case e.ExternalEventPublished():
            return replace(state, facts=changed(state, event))
        case e.SyncRequested() | e.SyncFinished():
            return _evolve_sync(state, event)
        case e.OrderCreated():
            raise impossible(state, event)
        case _:
            assert_never(event)


def _evolve_attempts(state: Existing, event: e.PaymentStarted | e.PaymentDiscovered | e.PaymentIdentified) -> Existing:
    match state, event:
        case Pending() | Failed(), e.PaymentStarted():
            return Processing(changed(state, event, other_attempts=attempts_of(state)), _started(event))
        case Pending() | Cancelled(attempt=None), e.PaymentDiscovered():
            return discovered(state, event)
        case _, e.PaymentIdentified() if not isinstance(state, Pending):
            return _identified(state, event)
        case _:
            raise impossible(state, event)


def discovered(state: Pending | Cancelled, event: e.PaymentDiscovered) -> Processing | Cancelled:
    """The order with a payment that was begun elsewhere."""
    attempt = Attempt(
        number=event.attempt,
        processor=event.processor,
        workflow_id=None,
        payment_method_type=None,
        payment_method_token=None,
        processor_order_id=event.processor_order_id,
        processor_transaction_id=event.processor_transaction_id,
    )
    if isinstance(state, Pending):
        return Processing(changed(state, event), attempt)
    return replace(state, facts=changed(state, event), attempt=attempt)


def _identified(
    state: Processing | RequiresAction | Authorized | Captured | Failed | Cancelled, event: e.PaymentIdentified
) -> Existing:
    attempt = _placed(state, event)
    surplus = tuple(
        replace(
            one,
            processor_order_id=event.processor_order_id or one.processor_order_id,
            processor_transaction_id=event.processor_transaction_id,
        )
        if one.attempt == event.attempt and one.processor_transaction_id is None
        else one
        for one in state.facts.surplus
    )
    if state.attempt is not None and state.attempt.number == attempt.number:
        return replace(state, facts=changed(state, event, surplus=surplus), attempt=attempt)
    others = tuple(attempt if other.number == attempt.number else other for other in state.facts.other_attempts)
    return replace(state, facts=changed(state, event, surplus=surplus, other_attempts=others))


def _evolve_course(
    state: Existing, event: e.PaymentProcessing | e.PaymentActionRequired | e.PaymentFailed | e.OrderCancelled
) -> Existing:
    """What happens to the current attempt, and the end of the order without money."""
    match state, event:
        case RequiresAction(), e.PaymentProcessing():
            facts = changed(state, event)
            return Processing(facts, _current(state, event, event.attempt), state.outcome_unknown, state.cancel)
        case Processing() | RequiresAction(), e.PaymentActionRequired():
            action = NextAction(event.redirect_url, event.client_secret, event.processor_data)
            attempt = _with_ids(_current(state, event, event.attempt), event)
            return RequiresAction(changed(state, event), attempt, action, state.cancel)
        case Processing() | RequiresAction(), e.PaymentFailed():
            return _failed(state, event, _current(state, event, event.attempt))
        case Authorized() | Failed(ended=False) | Cancelled(requested=False), e.PaymentFailed() if event.ended:
            return _failed(state, event, _current(state, event, event.attempt))
        case Pending() | Processing() | RequiresAction() | Authorized() | Failed(), e.OrderCancelled():
            return _cancelled(state, event)
        case _:
            raise impossible(state, event)


def _failed(state: Existing, event: e.PaymentFailed, attempt: Attempt) -> Failed:
    """The id of a payment that is over belongs to its attempt; after a mere failure the next one may have another."""
    transaction_id = event.processor_transaction_id if event.ended else None
    attempt = replace(
        attempt,
        processor_order_id=event.processor_order_id or attempt.processor_order_id,
        processor_transaction_id=transaction_id or attempt.processor_transaction_id,
    )
    failure = Failure(event.code, event.decline_code, event.message, attempt.processor)
    return Failed(changed(state, event), attempt, failure, event.ended)


def _cancelled(
    state: Pending | Processing | RequiresAction | Authorized | Failed, event: e.OrderCancelled
) -> Cancelled:
    ended = event.processor_transaction_id
    requested = ended is None if isinstance(state, Pending | Failed) else state.cancel is not None
    if isinstance(state, Failed) and state.ended:
        ended = state.attempt.processor_transaction_id
    return Cancelled(changed(state, event), attempt_of(state), event.reason, event.released, ended, requested)


def _evolve_money(state: Existing, event: e.PaymentAuthorized | e.PaymentCaptured) -> Existing:
    match state, event:
        case Processing() | RequiresAction() | Failed() | Cancelled(), e.PaymentAuthorized():
            return authorized(state, event)
        case Processing() | RequiresAction() | Authorized() | Failed() | Cancelled(), e.PaymentCaptured():
            facts, attempt = _with_payment(state, event)
            return Captured(facts, attempt, event.amount)
        case _:
            raise impossible(state, event)


def authorized(state: Processing | RequiresAction | Failed | Cancelled, event: e.PaymentAuthorized) -> Authorized:
    """The order once money is held for it. Raises ImpossibleHistory."""
    facts, attempt = _with_payment(state, event)
    return Authorized(facts, attempt, event.amount)


def _with_payment(state: Existing, event: e.PaymentAuthorized | e.PaymentCaptured) -> tuple[Facts, Attempt]:
    """The payment's attempt, perhaps a late one, becomes the current one; its payment is no surplus any more."""
    attempt = _placed(state, event)
    number, transaction_id = attempt.number, attempt.processor_transaction_id
    others = tuple(other for other in attempts_of(state) if other.number != number)
    surplus = tuple(one for one in state.facts.surplus if not one.is_same_payment(number, transaction_id))
    return changed(state, event, other_attempts=others, surplus=surplus), attempt


def _evolve_open(
    state: Existing,
    event: e.PaymentOutcomeUnknown | e.CaptureRequested | e.CaptureFailed | e.CancelRequested | e.CancelFailed,
) -> Existing:
    """Events of a payment that has neither taken money nor ended."""
    match state, event:
        case Processing() | RequiresAction() | Authorized(), e.PaymentOutcomeUnknown():
            return replace(state, facts=changed(state, event), outcome_unknown=True)
        case Authorized(), e.CaptureRequested():
            facts = changed(state, event, captures_requested=state.facts.captures_requested + 1)
            return replace(state, facts=facts, capture=event)
        case Authorized(), e.CaptureFailed():
            return replace(state, facts=changed(state, event), capture=None, outcome_unknown=False)
        case RequiresAction() | Authorized(), e.CancelRequested():
            voids = 0 if event.workflow_id == state.attempt.workflow_id else 1
            facts = changed(state, event, voids_requested=state.facts.voids_requested + voids)
            return replace(state, facts=facts, cancel=event)
        case Processing() | RequiresAction() | Authorized(), e.CancelFailed():
            return replace(state, facts=changed(state, event), cancel=None, outcome_unknown=False)
        case _:
            raise impossible(state, event)


def _evolve_surplus(state: Existing, event: e.SurplusPaymentAuthorized | e.SurplusPaymentCaptured) -> Existing:
    number, transaction_id = event.attempt, event.processor_transaction_id
    known = tuple(one for one in state.facts.surplus if not one.is_same_payment(number, transaction_id))
    one = Surplus(number, event.processor, event.processor_order_id, transaction_id, event.amount)
    others = tuple(
        _with_ids_if_none(attempt, event) if attempt.number == number else attempt
        for attempt in state.facts.other_attempts
    )
    match state, event:
        case Authorized() | Captured(), e.SurplusPaymentAuthorized():
            voids = state.facts.voids_requested + 1
            facts = changed(state, event, surplus=(*known, one), other_attempts=others, voids_requested=voids)
        case Captured(), e.SurplusPaymentCaptured() if state.refund(event.refund_id) is None:
            workflow_id = f"refund-{event.refund_id}"
            refund = Refund(event.refund_id, event.amount, None, "pending", workflow_id, created_at=event.timestamp)
            facts = changed(state, event, surplus=(*known, replace(one, refund=refund)), other_attempts=others)
        case _:
            raise impossible(state, event)
    return replace(state, facts=facts)


def _evolve_sync(state: Existing, event: e.SyncRequested | e.SyncFinished) -> Existing:
    """A question is no change of the order: ``updated_at`` stays."""
    last = state.facts.sync
    match event:
        case e.SyncRequested() if event.number == (1 if last is None else last.number + 1):
            sync = Sync(event.number, event.originator_version, event.timestamp)
        case e.SyncFinished() if last is not None and last.answers is None and last.number == event.number:
            sync = replace(last, answers=event.answers, changed=event.changed)
        case _:
            raise impossible(state, event)
    return replace(state, facts=replace(state.facts, version=event.originator_version, sync=sync))


def _with_ids_if_none(attempt: Attempt, event: e.SurplusPaymentAuthorized | e.SurplusPaymentCaptured) -> Attempt:
    return replace(
        attempt,
        processor_order_id=attempt.processor_order_id or event.processor_order_id,
        processor_transaction_id=attempt.processor_transaction_id or event.processor_transaction_id,
    )


def _current(state: Existing, event: e.OrderEvent, number: int) -> Attempt:
    attempt = attempt_of(state)
    if attempt is None or attempt.number != number:
        raise ImpossibleHistory(f"{event.TOPIC} of attempt {number}, which is not the current one")
    return attempt


def _placed(state: Existing, event: e.PaymentIdentified | e.PaymentAuthorized | e.PaymentCaptured) -> Attempt:
    """The event's attempt, which need not be the current one, with the ids that the processor gave it."""
    attempt = attempt_numbered(state, event.attempt)
    if attempt is None:
        raise ImpossibleHistory(f"{event.TOPIC} of attempt {event.attempt}, which never started")
    return _with_ids(attempt, event)


def _with_ids(
    attempt: Attempt,
    event: e.PaymentIdentified | e.PaymentActionRequired | e.PaymentAuthorized | e.PaymentCaptured,
) -> Attempt:
    return replace(
        attempt,
        processor_order_id=event.processor_order_id or attempt.processor_order_id,
        processor_transaction_id=event.processor_transaction_id or attempt.processor_transaction_id,
    )


def _started(event: e.PaymentStarted) -> Attempt:
    return Attempt(
        number=event.attempt,
        processor=event.processor,
        workflow_id=event.workflow_id,
        payment_method_type=event.payment_method_type,
        payment_method_token=event.payment_method_token,
        started_at=event.timestamp,
    )


def _created(event: e.OrderCreated) -> Facts:
    return Facts(
        order_id=event.originator_id,
        version=event.originator_version,
        merchant_id=event.merchant_id,
        test_mode=event.test_mode,
        amount=event.amount,
        currency=event.currency,
        external_id=event.external_id,
        customer_id=event.customer_id,
        customer_email=event.customer_email,
        description=event.description,
        metadata=event.metadata,
        return_url=event.return_url,
        cancel_url=event.cancel_url,
        capture_method=event.capture_method,
        created_at=event.timestamp,
        updated_at=event.timestamp,
        checkout_session_id=event.checkout_session_id,
    )
