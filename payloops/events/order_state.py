"""What an order is, folded from its events: a tagged union, so that a state has exactly the facts that it can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from payloops.events import order as e
from payloops.events.base import Sealed


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to take the money at one processor."""

    number: int
    processor: str
    workflow_id: str
    payment_method_type: str | None
    payment_method_token: str | None
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was asked for at creation, and what is counted over the order's whole life."""

    order_id: UUID
    version: int
    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    external_id: str
    customer_id: str | None
    customer_email: Sealed | None
    description: str | None
    metadata: Mapping[str, Any]
    return_url: str | None
    cancel_url: str | None
    capture_method: e.CaptureMethod
    created_at: datetime
    updated_at: datetime
    earlier_attempts: tuple[Attempt, ...] = ()
    """Attempts before the current one; a late success may be of one of them."""
    captures_requested: int = 0
    cancels_requested: int = 0
    surplus: tuple[str | None, ...] = ()
    """Processor transaction ids of payments taken beyond the order's own."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt failed, in the processor's own codes."""

    code: str
    decline_code: str | None
    message: str
    processor: str | None


@dataclass(frozen=True, slots=True)
class NextAction:
    """What the customer has to do."""

    redirect_url: str | None
    client_secret: Sealed | None
    processor_data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Refund:
    """``status`` is pending, success or failed."""

    refund_id: UUID
    amount: int
    reason: str | None
    status: str
    workflow_id: str
    created_at: datetime
    processor_refund_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing happened yet."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Created, no attempt yet."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Processing:
    """An attempt is with the processor."""

    facts: Facts
    attempt: Attempt
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class RequiresAction:
    """The attempt waits for the customer."""

    facts: Facts
    attempt: Attempt
    next_action: NextAction
    cancel: e.CancelRequested | None = None
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Authorized:
    """``authorized`` is held; at most one capture or one void of it is under way."""

    facts: Facts
    attempt: Attempt
    authorized: int
    capture: e.CaptureRequested | None = None
    cancel: e.CancelRequested | None = None
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Captured:
    """``captured`` was taken; 0 ≤ refunded (pending included) ≤ captured."""

    facts: Facts
    attempt: Attempt
    captured: int
    refunds: Mapping[UUID, Refund] = field(default_factory=dict)

    @property
    def refunded(self) -> int:
        """What went back for sure."""
        return sum(r.amount for r in self.refunds.values() if r.status == "success")

    @property
    def refundable(self) -> int:
        """What is neither refunded nor about to be."""
        return self.captured - sum(r.amount for r in self.refunds.values() if r.status != "failed")


@dataclass(frozen=True, slots=True)
class Failed:
    """The last attempt ended without money."""

    facts: Facts
    attempt: Attempt
    failure: Failure


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ended without money; ``released`` was held once."""

    facts: Facts
    attempt: Attempt | None
    reason: str | None
    released: int = 0


Existing = Pending | Processing | RequiresAction | Authorized | Captured | Failed | Cancelled
OrderState = Absent | Existing

INITIAL = Absent()


class ImpossibleHistory(Exception):
    """The log holds an event that its state can't take: a fault of ours or of the log, never of a caller."""


def status(state: Existing) -> str:
    """The order's status on the wire."""
    match state:
        case Pending():
            return "pending"
        case Processing():
            return "processing"
        case RequiresAction():
            return "requires_action"
        case Authorized():
            return "authorized"
        case Captured():
            refunded = state.refunded
            if refunded == 0:
                return "captured"
            return "refunded" if refunded == state.captured else "partially_refunded"
        case Failed():
            return "failed"
        case Cancelled():
            return "cancelled"
        case _:
            assert_never(state)


def evolve(state: OrderState, event: e.OrderEvent) -> OrderState:
    """The state after ``event``. Raises ImpossibleHistory."""
    if isinstance(event, e.OrderCreated):
        return Pending(_created(event))
    if isinstance(state, Absent):
        raise ImpossibleHistory(f"{event.TOPIC} in a stream that begins with no order.created")
    facts = replace(state.facts, version=event.originator_version, updated_at=event.timestamp)
    return _evolve_existing(state, event, facts)


def _evolve_existing(state: Existing, event: e.OrderEvent, facts: Facts) -> Existing:
    match event:
        case e.PaymentStarted():
            before = _attempt_of(state)
            earlier = facts.earlier_attempts if before is None else (*facts.earlier_attempts, before)
            return Processing(replace(facts, earlier_attempts=earlier), _attempt(event))
        case e.PaymentProcessing():
            return Processing(facts, _current(state))
        case e.PaymentActionRequired():
            action = NextAction(event.redirect_url, event.client_secret, event.processor_data)
            return RequiresAction(facts, _placed(state, event), action)
        case e.PaymentAuthorized():
            return Authorized(facts, _placed(state, event), event.amount)
        case e.PaymentCaptured():
            return Captured(facts, _placed(state, event), event.amount)
        case e.PaymentFailed():
            attempt = _placed(state, event)
            return Failed(facts, attempt, Failure(event.code, event.decline_code, event.message, attempt.processor))
        case e.OrderCancelled():
            return Cancelled(facts, _attempt_of(state), event.reason, event.released)
        case e.SurplusPaymentCaptured():
            return replace(state, facts=replace(facts, surplus=(*facts.surplus, event.processor_transaction_id)))
        case (
            e.PaymentOutcomeUnknown()
            | e.CaptureRequested()
            | e.CaptureFailed()
            | e.CancelRequested()
            | e.CancelFailed()
        ):
            return _evolve_open(state, event, facts)
        case e.RefundRequested() | e.RefundSucceeded() | e.RefundFailed() | e.RefundOutcomeUnknown():
            return _evolve_refunds(state, event, facts)
        case e.OrderCreated():
            raise ImpossibleHistory("a second order.created")
        case _:
            assert_never(event)


def _evolve_open(
    state: Existing,
    event: e.PaymentOutcomeUnknown | e.CaptureRequested | e.CaptureFailed | e.CancelRequested | e.CancelFailed,
    facts: Facts,
) -> Existing:
    """Events of a payment that has neither taken money nor ended."""
    match state, event:
        case Processing() | RequiresAction() | Authorized(), e.PaymentOutcomeUnknown():
            return replace(state, facts=facts, outcome_unknown=True)
        case Authorized(), e.CaptureRequested():
            facts = replace(facts, captures_requested=facts.captures_requested + 1)
            return replace(state, facts=facts, capture=event)
        case Authorized(), e.CaptureFailed():
            return replace(state, facts=facts, capture=None, outcome_unknown=False)
        case Authorized() | RequiresAction(), e.CancelRequested():
            facts = replace(facts, cancels_requested=facts.cancels_requested + 1)
            return replace(state, facts=facts, cancel=event)
        case Authorized() | RequiresAction(), e.CancelFailed():
            return replace(state, facts=facts, cancel=None, outcome_unknown=False)
        case _:
            raise ImpossibleHistory(f"{event.TOPIC} when {status(state)}")


def _evolve_refunds(
    state: Existing,
    event: e.RefundRequested | e.RefundSucceeded | e.RefundFailed | e.RefundOutcomeUnknown,
    facts: Facts,
) -> Existing:
    if not isinstance(state, Captured):
        raise ImpossibleHistory(f"{event.TOPIC} when {status(state)}")
    if isinstance(event, e.RefundRequested):
        refund = Refund(
            event.refund_id, event.amount, event.reason, "pending", event.workflow_id, created_at=event.timestamp
        )
    else:
        refund = _refund_after(state.refunds[event.refund_id], event)
    return replace(state, facts=facts, refunds={**state.refunds, refund.refund_id: refund})


def _refund_after(refund: Refund, event: e.RefundSucceeded | e.RefundFailed | e.RefundOutcomeUnknown) -> Refund:
    match event:
        case e.RefundSucceeded():
            return replace(
                refund,
                status="success",
                processor_refund_id=event.processor_refund_id or refund.processor_refund_id,
                error_code=None,
                error_message=None,
                outcome_unknown=False,
            )
        case e.RefundFailed():
            return replace(
                refund,
                status="failed",
                processor_refund_id=event.processor_refund_id or refund.processor_refund_id,
                error_code=event.code,
                error_message=event.message,
                outcome_unknown=False,
            )
        case e.RefundOutcomeUnknown():
            return replace(refund, outcome_unknown=True)
        case _:
            assert_never(event)


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
    )


def _attempt(event: e.PaymentStarted) -> Attempt:
    return Attempt(
        number=event.attempt,
        processor=event.processor,
        workflow_id=event.workflow_id,
        payment_method_type=event.payment_method_type,
        payment_method_token=event.payment_method_token,
    )


def _attempt_of(state: Existing) -> Attempt | None:
    return None if isinstance(state, Pending) else state.attempt


def _current(state: Existing) -> Attempt:
    attempt = _attempt_of(state)
    if attempt is None:
        raise ImpossibleHistory("a payment's event before its payment_started")
    return attempt


def attempt_numbered(state: Existing, number: int) -> Attempt | None:
    """The attempt with that number, current or earlier."""
    attempt = _attempt_of(state)
    if attempt is None or attempt.number == number:
        return attempt
    return next((a for a in state.facts.earlier_attempts if a.number == number), None)


def _placed(
    state: Existing, event: e.PaymentActionRequired | e.PaymentAuthorized | e.PaymentCaptured | e.PaymentFailed
) -> Attempt:
    """The event's attempt, which for a late success may be an earlier one, with the ids that the processor gave it."""
    attempt = attempt_numbered(state, event.attempt)
    if attempt is None:
        raise ImpossibleHistory(f"{event.TOPIC} of attempt {event.attempt}, which never started")
    return replace(
        attempt,
        processor_order_id=event.processor_order_id or attempt.processor_order_id,
        processor_transaction_id=event.processor_transaction_id or attempt.processor_transaction_id,
    )
