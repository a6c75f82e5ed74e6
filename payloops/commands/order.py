"""What can be asked of an order by a merchant. Each ``decide`` is pure: time and ids come on the command.

What processors and workflows report is in ``order_results.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.commands.order_sync import RequestSync, request_sync
from payloops.errors import (
    InvalidInput,
    InvalidProcessor,
    InvalidStatus,
    NoProcessor,
    NotFound,
    RefundExceedsCaptured,
    RuleViolation,
)
from payloops.events import order as e
from payloops.events.base import Meta, Sealed
from payloops.events.order_state import (
    Absent,
    Authorized,
    Cancelled,
    Captured,
    Existing,
    Facts,
    Failed,
    OrderState,
    Pending,
    Processing,
    RequiresAction,
    attempts_of,
    status,
)
from payloops.values import AMOUNT_MAX, CURRENCY_EXPONENTS, value

ATTEMPTS_MAX: Final = 100
REFUNDS_MAX: Final = 1000


@value(frozen=True, slots=True)
class ProcessorOption:
    """A processor that the merchant has configured; a smaller ``priority`` goes first.

    One in test mode takes the payments of test orders only, any other one those of live orders only.
    """

    processor: str
    enabled: bool
    priority: int
    test_mode: bool


@value(frozen=True, slots=True)
class CreateOrder:
    """Ask for a payment. ``amount`` is in minor units, ``currency`` an upper-case ISO 4217 code."""

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
    checkout_session_id: UUID | None = None
    """The hosted checkout that it is made for."""


@value(frozen=True, slots=True)
class StartPayment:
    """Take the money: by the named processor, or by the best of ``options``."""

    order_id: UUID
    now: datetime
    meta: Meta
    options: tuple[ProcessorOption, ...]
    processor: str | None = None
    payment_method_type: str | None = None
    payment_method_token: str | None = None
    attempt: int | None = None
    """The number that the attempt is to have, where the caller knows which attempts it has seen: then a repeated
    request is told from another try by that, not by the token."""


@value(frozen=True, slots=True)
class CapturePayment:
    """Take authorized money; None means all of it."""

    order_id: UUID
    now: datetime
    meta: Meta
    amount: int | None = None


@value(frozen=True, slots=True)
class CancelOrder:
    """Take no money: end what is open, release what is held."""

    order_id: UUID
    now: datetime
    meta: Meta
    reason: str | None = None


@value(frozen=True, slots=True)
class RefundPayment:
    """Give captured money back; None means all that is left."""

    order_id: UUID
    now: datetime
    meta: Meta
    refund_id: UUID
    amount: int | None = None
    reason: str | None = None


OrderRequest = CreateOrder | StartPayment | CapturePayment | CancelOrder | RefundPayment | RequestSync


def decide(command: OrderRequest, state: OrderState) -> tuple[e.OrderEvent, ...]:
    """The events that the command causes; none when it is already so.

    Raises NotFound, InvalidStatus, InvalidInput, NoProcessor, InvalidProcessor, RefundExceedsCaptured, RuleViolation.
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
        case RequestSync():
            return request_sync(command, state)
        case _:
            assert_never(command)


def create_order(command: CreateOrder, state: OrderState) -> tuple[e.OrderEvent, ...]:
    """An order begins with an amount that every client reads exactly, in a currency that exists."""
    if not isinstance(state, Absent):
        raise InvalidStatus("An order with this id exists already.")
    _require_amount(command.amount)
    if command.currency not in CURRENCY_EXPONENTS:
        raise InvalidInput("currency must be an ISO 4217 code.", param="currency")
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
            checkout_session_id=command.checkout_session_id,
        ),
    )


def start_payment(command: StartPayment, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``pay`` needs a pending order, or a failed one with another payment method than the attempt that failed."""
    match state:
        case Pending():
            number = _numbered(command, 1)
        case Failed():
            number = _next_attempt(command, state)
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
            processor=choose_processor(_of_mode(command.options, state.facts), command.processor, state.facts.currency),
            workflow_id=workflow_id,
            payment_method_type=command.payment_method_type,
            payment_method_token=command.payment_method_token,
        ),
    )


def _next_attempt(command: StartPayment, state: Failed) -> int:
    token = command.payment_method_token
    if command.attempt is None and (token is None or token == state.attempt.payment_method_token):
        raise InvalidStatus(
            "The last payment of this order failed: send a paymentMethod.token other than the one that failed."
        )
    last = max(attempt.number for attempt in attempts_of(state))
    if last >= ATTEMPTS_MAX:
        raise InvalidStatus(f"This order has had {ATTEMPTS_MAX} payment attempts, which is the most.")
    return _numbered(command, last + 1)


def _numbered(command: StartPayment, number: int) -> int:
    if command.attempt not in (None, number):
        raise InvalidStatus(f"The next payment attempt of this order is number {number}, not {command.attempt}.")
    return number


def _of_mode(options: tuple[ProcessorOption, ...], facts: Facts) -> tuple[ProcessorOption, ...]:
    return tuple(option for option in options if option.test_mode == facts.test_mode)


def choose_processor(options: tuple[ProcessorOption, ...], named: str | None, currency: str) -> str:
    """The processor for a payment: the named one, else the enabled one that comes first by priority.

    Equal priorities: INR prefers razorpay, all others prefer stripe. Raises InvalidProcessor, NoProcessor.
    """
    if named is not None:
        if any(o.processor == named and o.enabled for o in options):
            return named
        raise InvalidProcessor(
            f"The processor {named} is not configured, not enabled, or not of the order's mode (test or live).",
            param="processor",
        )
    preferred = "razorpay" if currency == "INR" else "stripe"
    enabled = sorted(
        (o for o in options if o.enabled), key=lambda o: (o.priority, o.processor != preferred, o.processor)
    )
    if not enabled:
        raise NoProcessor(
            "No processor of the order's mode (test or live) is configured and enabled; add one under /api/processors."
        )
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
    _require_amount(amount)
    if amount > state.authorized:
        raise RuleViolation(
            f"amount is more than the authorized {state.authorized}.",
            param="amount",
            details=(("amount", f"must be at most {state.authorized}"),),
        )
    return (request_capture(state, amount, now=command.now, meta=command.meta),)


def request_capture(state: Authorized, amount: int, *, now: datetime, meta: Meta) -> e.CaptureRequested:
    """Ask the processor to take what is held, or a part of it."""
    order_id, count = state.facts.order_id, state.facts.captures_requested + 1
    return e.CaptureRequested(
        originator_id=order_id,
        originator_version=state.facts.version + 1,
        timestamp=now,
        meta=meta,
        amount=amount,
        workflow_id=f"capture-{order_id}" if count == 1 else f"capture-{order_id}-{count}",
    )


def cancel_order(command: CancelOrder, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``cancel`` ends a pending or failed order at once; with an open payment the processor is asked first."""
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
    running = state.attempt.workflow_id if isinstance(state, RequiresAction) else None
    return e.CancelRequested(
        originator_id=state.facts.order_id,
        originator_version=state.facts.version + 1,
        timestamp=command.now,
        meta=command.meta,
        reason=command.reason,
        workflow_id=running or void_workflow_id(state),
    )


def void_workflow_id(state: RequiresAction | Authorized | Captured) -> str:
    """The id of the order's next void."""
    order_id, count = state.facts.order_id, state.facts.voids_requested + 1
    return f"void-{order_id}" if count == 1 else f"void-{order_id}-{count}"


def refund_payment(command: RefundPayment, state: Existing) -> tuple[e.OrderEvent, ...]:
    """``refund`` gives back captured money: with what is pending, never more than was captured."""
    if not isinstance(state, Captured):
        raise InvalidStatus(f"An order that is {status(state)} can't be refunded.")
    if state.refund(command.refund_id) is not None:
        return ()
    if command.amount is not None:
        _require_amount(command.amount)
    left = state.refundable
    amount = left if command.amount is None else command.amount
    if left == 0 or amount > left:
        exceeds = f"The refund is more than what is left of the captured amount, {left}."
        nothing = "Nothing is left to refund: all that was captured is refunded, or is being refunded."
        raise RefundExceedsCaptured(
            exceeds if left else nothing,
            param="amount" if left else None,
            details=(("amount", f"must be at most {left}"),) if left else (),
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


def _require_amount(amount: int) -> None:
    if not 1 <= amount <= AMOUNT_MAX:
        raise InvalidInput(f"amount must be between 1 and {AMOUNT_MAX}.", param="amount")
