"""What can be asked of a checkout session. Each ``decide`` is pure: time and ids come on the command.

A session has one order at most (``order_id_of``), and everything about the money is the order's: the session says until
when a payment may begin, and whether the order was paid. Its rule for late money: an expired session calls off what is
open of its order; when money is taken nonetheless, the session completes late and the merchant is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, assert_never
from uuid import UUID

from payloops.errors import InvalidInput, InvalidStatus, NotFound, RateLimited
from payloops.events import checkout_session as e
from payloops.events.base import Meta, Sealed
from payloops.events.checkout_session_state import (
    TRIES_KEPT,
    Absent,
    CheckoutSessionState,
    Complete,
    Existing,
    Expired,
    Open,
    evolve_existing,
    order_id_of,
)
from payloops.events.order_states import Authorized, Captured, OrderState
from payloops.values import AMOUNT_MAX, CURRENCY_EXPONENTS, value

EXPIRES_IN_MIN: Final = 30
EXPIRES_IN_MAX: Final = 1440
"""Minutes."""
TRIES_WINDOW_S: Final = 60
"""At most TRIES_KEPT payments of a session may begin in that time, whatever the number of processes."""
RETURNS_MAX: Final = 20
"""Returns that are written down; the payment's own schedule of asks goes on without them."""


@value(frozen=True, slots=True)
class CheckoutCommand:
    """What all commands on a session hold."""

    session_id: UUID
    now: datetime
    meta: Meta


@value(frozen=True, slots=True)
class CreateSession(CheckoutCommand):
    """Ask for a page. ``amount`` is in minor units, ``currency`` an upper-case ISO 4217 code.

    ``line_items`` are ``{name, amount, quantity}``, their ``amount`` of one piece; if there are any, they must come to
    ``amount`` together.
    """

    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    url: str
    success_url: str
    cancel_url: str
    customer_id: str | None = None
    customer_email: Sealed | None = None
    metadata: dict[str, Any] | None = None
    line_items: tuple[dict[str, Any], ...] = ()
    expires_in_minutes: int = EXPIRES_IN_MIN


@value(frozen=True, slots=True)
class PlaceOrder(CheckoutCommand):
    """Pay was pressed: the order, which the caller makes in the same transaction, is the session's from now on."""


@value(frozen=True, slots=True)
class NotePayment(CheckoutCommand):
    """An attempt of the order begins in the same transaction."""

    attempt: int


@value(frozen=True, slots=True)
class NoteReturn(CheckoutCommand):
    """The customer of this attempt came back from the bank, or says so."""

    attempt: int
    processor: str
    workflow_id: str


@value(frozen=True, slots=True)
class CompleteSession(CheckoutCommand):
    """The order is paid."""


@value(frozen=True, slots=True)
class ExpireSession(CheckoutCommand):
    """Let no payment begin any more: the time has come, the merchant wants it, or the order was cancelled."""

    reason: e.ExpiryReason


CheckoutRequest = CreateSession | PlaceOrder | NotePayment | NoteReturn | CompleteSession | ExpireSession


def decide(command: CheckoutRequest, state: CheckoutSessionState) -> tuple[e.CheckoutSessionEvent, ...]:
    """The events that the command causes; none when it is already so.

    Raises NotFound, InvalidStatus, InvalidInput, RateLimited.
    """
    if isinstance(command, CreateSession):
        return create_session(command, state)
    if isinstance(state, Absent):
        raise no_session()
    match command:
        case PlaceOrder():
            return place_order(command, state)
        case NotePayment():
            return note_payment(command, state)
        case NoteReturn():
            return note_return(command, state)
        case CompleteSession():
            return complete_session(command, state)
        case ExpireSession():
            return expire_session(command, state)
        case _:
            assert_never(command)


def create_session(command: CreateSession, state: CheckoutSessionState) -> tuple[e.CheckoutSessionEvent, ...]:
    """A session begins with an amount that every client reads exactly, and line items that add up to it."""
    if not isinstance(state, Absent):
        raise InvalidStatus("A checkout session with this id exists already.")
    if not 1 <= command.amount <= AMOUNT_MAX:
        raise _invalid("amount", f"must be between 1 and {AMOUNT_MAX}")
    if command.currency not in CURRENCY_EXPONENTS:
        raise _invalid("currency", "must be an ISO 4217 code")
    if not EXPIRES_IN_MIN <= command.expires_in_minutes <= EXPIRES_IN_MAX:
        raise _invalid("expiresInMinutes", f"must be between {EXPIRES_IN_MIN} and {EXPIRES_IN_MAX}")
    total = total_of(command.line_items)
    if command.line_items and total != command.amount:
        raise _invalid(
            "lineItems",
            f"must add up to the amount: amount × quantity of all lines comes to {total}, the session's amount is "
            f"{command.amount}",
        )
    return (
        e.CheckoutSessionCreated(
            originator_id=command.session_id,
            originator_version=1,
            timestamp=command.now,
            meta=command.meta,
            merchant_id=command.merchant_id,
            test_mode=command.test_mode,
            amount=command.amount,
            currency=command.currency,
            url=command.url,
            success_url=command.success_url,
            cancel_url=command.cancel_url,
            customer_id=command.customer_id,
            customer_email=command.customer_email,
            metadata=command.metadata or {},
            line_items=command.line_items,
            expires_at=command.now + timedelta(minutes=command.expires_in_minutes),
        ),
    )


def total_of(line_items: Sequence[dict[str, Any]]) -> int:
    """What the pieces cost together, in minor units."""
    return sum(int(item["amount"]) * int(item["quantity"]) for item in line_items)


def place_order(command: PlaceOrder, state: Existing) -> tuple[e.CheckoutSessionEvent, ...]:
    """A session has one order, made when pay is first pressed."""
    facts = require_payable(state, command.now).facts
    if facts.order_id is not None:
        return ()
    order_id = order_id_of(facts.session_id)
    return (e.CheckoutOrderPlaced(**_head(command, state), order_id=order_id),)


def note_payment(command: NotePayment, state: Existing) -> tuple[e.CheckoutSessionEvent, ...]:
    """A payment begins while the session is open, and not too often. Raises InvalidStatus, RateLimited."""
    facts = require_payable(state, command.now).facts
    if facts.order_id is None:
        raise InvalidStatus("This checkout session has no order yet.")
    if len(facts.tries) == TRIES_KEPT:
        again = facts.tries[0] + timedelta(seconds=TRIES_WINDOW_S)
        if command.now < again:
            wait_s = max(1, round((again - command.now).total_seconds()))
            raise RateLimited(
                "There were many tries to pay; wait a moment before the next one.",
                retry_after_s=wait_s,
                policy="checkout",
                limit=TRIES_KEPT,
                window_s=TRIES_WINDOW_S,
            )
    return (e.CheckoutPaymentStarted(**_head(command, state), order_id=facts.order_id, attempt=command.attempt),)


def note_return(command: NoteReturn, state: Existing) -> tuple[e.CheckoutSessionEvent, ...]:
    """Also of an expired session: its payment may have been made just before."""
    facts = state.facts
    if isinstance(state, Complete) or facts.order_id is None or facts.returns >= RETURNS_MAX:
        return ()
    return (
        e.CheckoutCustomerReturned(
            **_head(command, state),
            order_id=facts.order_id,
            attempt=command.attempt,
            processor=command.processor,
            workflow_id=command.workflow_id,
        ),
    )


def complete_session(command: CompleteSession, state: Existing) -> tuple[e.CheckoutSessionEvent, ...]:
    """The order is paid, be it late: see the module."""
    order_id = state.facts.order_id
    if isinstance(state, Complete):
        return ()
    if order_id is None:
        raise InvalidStatus("This checkout session has no order that could be paid.")
    late = isinstance(state, Expired)
    return (e.CheckoutSessionCompleted(**_head(command, state), order_id=order_id, late=late),)


def expire_session(command: ExpireSession, state: Existing) -> tuple[e.CheckoutSessionEvent, ...]:
    """Only an open session expires; by time not before its time. Raises InvalidStatus."""
    match state:
        case Open(facts):
            if command.reason == "time" and command.now < facts.expires_at:
                return ()
            if command.reason == "requested" and command.now >= facts.expires_at:
                raise InvalidStatus("A checkout session that is expired can't be expired.")
            return (e.CheckoutSessionExpired(**_head(command, state), order_id=facts.order_id, reason=command.reason),)
        case Complete():
            raise InvalidStatus("A checkout session that is complete can't be expired.")
        case Expired():
            raise InvalidStatus("A checkout session that is expired can't be expired.")
        case _:
            assert_never(state)


def require_payable(state: Existing, now: datetime) -> Open:
    """The session, while a payment may begin. Raises InvalidStatus."""
    match state:
        case Open(facts):
            if now >= facts.expires_at:
                raise InvalidStatus("This checkout session has expired.")
            return state
        case Complete():
            raise InvalidStatus("This checkout session is paid.")
        case Expired():
            raise InvalidStatus("This checkout session has expired.")
        case _:
            assert_never(state)


def is_paid(order: OrderState) -> bool:
    """Whether a session's customer is done: the money was taken, or is held as the merchant wanted it."""
    return isinstance(order, Captured) or (isinstance(order, Authorized) and order.facts.capture_method == "manual")


def announcement(
    command: CompleteSession | ExpireSession, state: Existing, told: Callable[[Existing], dict[str, Any]]
) -> tuple[str, dict[str, Any]] | None:
    """Type and payload that the session's order is to publish in the transaction of ``command``.

    ``told`` makes what is told of the session, as it is then. None when nothing changes, or when there is no order:
    then the session's own event is the public one. Raises as ``decide``.
    """
    events = decide(command, state)
    if state.facts.order_id is None or not events:
        return None
    for event in events:
        state = evolve_existing(state, event)
    event_type = "checkout.completed" if isinstance(command, CompleteSession) else "checkout.expired"
    return event_type, {"session": told(state)}


def no_session() -> NotFound:
    """The one error for a session that is not there, whatever the reason."""
    return NotFound("No such checkout session.")


def _head(command: CheckoutCommand, state: Existing) -> dict[str, Any]:
    return {
        "originator_id": state.facts.session_id,
        "originator_version": state.facts.version + 1,
        "timestamp": command.now,
        "meta": command.meta,
    }


def _invalid(param: str, problem: str) -> InvalidInput:
    return InvalidInput.of((param, problem))
