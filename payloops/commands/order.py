"""What can be asked of an order by a merchant. Each ``decide`` is pure: time and ids come on the command.

What processors and workflows report is in ``order_results.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.errors import InvalidProcessor, InvalidStatus, NoProcessor, NotFound, RefundExceedsCaptured, RuleViolation
from payloops.events import order as e
from payloops.events.base import Meta, Sealed
from payloops.events.order_state import (
    Absent,
    Attempt,
    Authorized,
    Cancelled,
    Captured,
    Existing,
    Failed,
    OrderState,
    Pending,
    Processing,
    RequiresAction,
    status,
)

ATTEMPTS_MAX: Final = 100
REFUNDS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class ProcessorOption:
    """A processor that the merchant has configured; a smaller ``priority`` goes first."""

    processor: str
    enabled: bool
    priority: int


@dataclass(frozen=True, slots=True)
class CreateOrder:
    order_id: UUID
    now: datetime
    meta: Meta
    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    external_id: str
    customer_id: str | None = None
    customer_email: Sealed | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    return_url: str | None = None
    cancel_url: str | None = None
    capture_method: e.CaptureMethod = "automatic"


@dataclass(frozen=True, slots=True)
class StartPayment:
    order_id: UUID
    now: datetime
    meta: Meta
    options: tuple[ProcessorOption, ...]
    processor: str | None = None
    payment_method_type: str | None = None
    payment_method_token: str | None = None


@dataclass(frozen=True, slots=True)
class CapturePayment:
    order_id: UUID
    now: datetime
    meta: Meta
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    order_id: UUID
    now: datetime
    meta: Meta
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RefundPayment:
    order_id: UUID
    now: datetime
    meta: Meta
    refund_id: UUID
    amount: int | None = None
    reason: str | None = None


OrderRequest = CreateOrder | StartPayment | CapturePayment | CancelOrder | RefundPayment


def decide(command: OrderRequest, state: OrderState) -> tuple[e.OrderEvent, ...]:
    """The events that the command causes; none when it is already so.

    Raises NotFound, InvalidStatus, NoProcessor, InvalidProcessor, RefundExceedsCaptured.
    """
    if isinstance(command, CreateOrder):
        return create_order(command, state)
    if isinstance(state, Absent):
        raise NotFound("No such order.")
    match command:
        case StartPayment():
            return start_payment(command, state)
        case CapturePayment():
            return capture_payment(command, state)
        case CancelOrder():
            return cancel_order(command, state)
        case RefundPayment():
            return refund_payment(command, state)
        case _:
            assert_never(command)


def create_order(command: CreateOrder, state: OrderState) -> tuple[e.OrderEvent, ...]:
    if not isinstance(state, Absent):
        raise InvalidStatus("An order with this id exists already.")
    return (
        e.OrderCreated(
            originator_id=command.order_id,
            originator_version=1,
            timestamp=command.now,
            meta=command.meta,
            merchant_id=command.merchant_id,
            test_mode=command.test_mode,
            amount=command.amount,
            currency=command.currency,
            external_id=command.external_id,
            customer_id=command.customer_id,
            customer_email=command.customer_email,
            description=command.description,
            metadata=command.metadata or {},
            return_url=command.return_url,
            cancel_url=command.cancel_url,
            capture_method=command.capture_method,
        ),
    )


def start_payment(command: StartPayment, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``pay`` needs a pending order, or a failed one with another payment method than the attempt that failed."""
    match state:
        case Pending():
            number = 1
        case Failed():
            number = _next_attempt(command, state.attempt)
        case Processing() | RequiresAction() | Authorized() | Captured() | Cancelled():
            raise InvalidStatus(f"An order that is {status(state)} can't be paid.")
        case _:
            assert_never(state)
    order_id = state.facts.order_id
    workflow_id = f"payment-{order_id}" if number == 1 else f"payment-{order_id}-{number}"
    return (
        e.PaymentStarted(
            originator_id=order_id,
            originator_version=state.facts.version + 1,
            timestamp=command.now,
            meta=command.meta,
            attempt=number,
            processor=choose_processor(command.options, command.processor, state.facts.currency),
            workflow_id=workflow_id,
            payment_method_type=command.payment_method_type,
            payment_method_token=command.payment_method_token,
        ),
    )


def _next_attempt(command: StartPayment, failed: Attempt) -> int:
    if command.payment_method_token is None or command.payment_method_token == failed.payment_method_token:
        raise InvalidStatus(
            "The last payment of this order failed: send a paymentMethod.token other than the one that failed."
        )
    if failed.number >= ATTEMPTS_MAX:
        raise InvalidStatus(f"This order has had {ATTEMPTS_MAX} payment attempts, which is the most.")
    return failed.number + 1


def choose_processor(options: tuple[ProcessorOption, ...], named: str | None, currency: str) -> str:
    """The processor for a payment: the named one, else the enabled one that comes first by priority.

    Equal priorities: INR prefers razorpay, all others prefer stripe. Raises InvalidProcessor, NoProcessor.
    """
    if named is not None:
        if any(o.processor == named and o.enabled for o in options):
            return named
        raise InvalidProcessor(f"The processor {named} is not configured or not enabled.", param="processor")
    preferred = "razorpay" if currency == "INR" else "stripe"
    enabled = sorted(
        (o for o in options if o.enabled), key=lambda o: (o.priority, o.processor != preferred, o.processor)
    )
    if not enabled:
        raise NoProcessor("No processor is configured and enabled; add one under /api/processors.")
    return enabled[0].processor


def capture_payment(command: CapturePayment, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``capture`` takes up to what is authorized, once per order; the rest is released."""
    if not isinstance(state, Authorized):
        raise InvalidStatus(f"An order that is {status(state)} can't be captured.")
    if state.facts.capture_method != "manual":
        raise InvalidStatus("This order is captured automatically.")
    if state.capture is not None:
        raise InvalidStatus("A capture of this order is under way.")
    if state.cancel is not None:
        raise InvalidStatus("This order is being cancelled.")
    amount = state.authorized if command.amount is None else command.amount
    if amount > state.authorized:
        raise RuleViolation(
            f"amount is more than the authorized {state.authorized}.",
            param="amount",
            details=(("amount", f"must be at most {state.authorized}"),),
        )
    order_id, count = state.facts.order_id, state.facts.captures_requested + 1
    return (
        e.CaptureRequested(
            originator_id=order_id,
            originator_version=state.facts.version + 1,
            timestamp=command.now,
            meta=command.meta,
            amount=amount,
            workflow_id=f"capture-{order_id}" if count == 1 else f"capture-{order_id}-{count}",
        ),
    )


def cancel_order(command: CancelOrder, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``cancel`` works in pending and failed at once; in requires_action and authorized the processor is asked first."""
    match state:
        case Pending() | Failed():
            return (
                e.OrderCancelled(
                    originator_id=state.facts.order_id,
                    originator_version=state.facts.version + 1,
                    timestamp=command.now,
                    meta=command.meta,
                    reason=command.reason,
                    released=0,
                    processor_transaction_id=None,
                ),
            )
        case RequiresAction() | Authorized():
            return (request_cancel(command, state),)
        case Processing() | Captured() | Cancelled():
            raise InvalidStatus(f"An order that is {status(state)} can't be cancelled.")
        case _:
            assert_never(state)


def request_cancel(command: CancelOrder, state: RequiresAction | Authorized) -> e.CancelRequested:
    """Ask the processor to end the payment. Raises InvalidStatus when something else is under way."""
    if state.cancel is not None:
        raise InvalidStatus("This order is being cancelled.")
    if isinstance(state, Authorized) and state.capture is not None:
        raise InvalidStatus("A capture of this order is under way.")
    order_id, count = state.facts.order_id, state.facts.cancels_requested + 1
    void_id = f"void-{order_id}" if count == 1 else f"void-{order_id}-{count}"
    return e.CancelRequested(
        originator_id=order_id,
        originator_version=state.facts.version + 1,
        timestamp=command.now,
        meta=command.meta,
        reason=command.reason,
        workflow_id=void_id if isinstance(state, Authorized) else state.attempt.workflow_id,
    )


def refund_payment(command: RefundPayment, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``refund`` gives back captured money: with what is pending, never more than was captured."""
    if not isinstance(state, Captured):
        raise InvalidStatus(f"An order that is {status(state)} can't be refunded.")
    left = state.refundable
    amount = left if command.amount is None else command.amount
    if left == 0 or amount > left:
        raise RefundExceedsCaptured(
            f"The refund is more than what is left of the captured amount, {left}.",
            param="amount",
            details=(("amount", f"must be at most {left}"),),
        )
    if len(state.refunds) >= REFUNDS_MAX:
        raise InvalidStatus(f"This order has had {REFUNDS_MAX} refunds, which is the most.")
    return (
        e.RefundRequested(
            originator_id=state.facts.order_id,
            originator_version=state.facts.version + 1,
            timestamp=command.now,
            meta=command.meta,
            refund_id=command.refund_id,
            amount=amount,
            reason=command.reason,
            workflow_id=f"refund-{command.refund_id}",
        ),
    )
