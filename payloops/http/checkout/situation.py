"""Where a checkout stands, from its session and its order: what its page shows and allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, assert_never

from payloops.commands.checkout_session import is_paid
from payloops.events import checkout_session_state as s
from payloops.events import order_states as o
from payloops.events.base import Sealed

TRY_ANOTHER: Final = "Try again, or use another way to pay."
DECLINED: Final = f"The payment was declined. {TRY_ANOTHER}"
_NOT_IN_TIME: Final = "The payment was not confirmed in time, and nothing was taken. You can try again."
_NOT_CONFIRMED: Final = f"The bank could not confirm that it was you. {TRY_ANOTHER}"
_SHOPS_FAULT: Final = (
    "This way to pay does not work at the moment, and nothing was taken. Try another, or ask the shop."
)

_WORDS: Final[Mapping[str, str]] = {
    "insufficient_funds": "The card has insufficient funds. Use another card.",
    "expired_card": "The card has expired. Use another card.",
    "incorrect_cvc": "The card's security code is not right. Check it and try again.",
    "incorrect_number": "The card's number is not right. Check it and try again.",
    "card_not_supported": "The card does not support this kind of payment. Use another card.",
    "currency_not_supported": "The card does not support this currency. Use another card.",
    "card_velocity_exceeded": "The card is over its limit. Use another card, or ask your bank.",
    "processing_error": "Something went wrong on the way to your bank, and nothing was taken. Try again in a moment.",
    "try_again_later": "The bank can't take payments at the moment. Try again in a moment.",
    "payment_intent_authentication_failure": _NOT_CONFIRMED,
    "authentication_required": _NOT_CONFIRMED,
    "payment_cancelled": "The payment was cancelled. You can try again.",
    "action_timeout": _NOT_IN_TIME,
    "payment_not_found": _NOT_IN_TIME,
    "processor_not_configured": _SHOPS_FAULT,
    "authentication_error": _SHOPS_FAULT,
    "permission_error": _SHOPS_FAULT,
    "amount_not_expressible": _SHOPS_FAULT,
}
"""Our words by the processor's code. Its own may say what is not the customer's business, as that a bank is wary."""


@dataclass(frozen=True, slots=True)
class Payable:
    """The customer can pay: with attempt number ``attempt``. ``declined`` says what became of the one before."""

    attempt: int
    declined: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The processor has it. ``unknown``: it did not answer, and is asked again until it does."""

    unknown: bool = False


@dataclass(frozen=True, slots=True)
class ActionNeeded:
    """The customer must act elsewhere: at the bank, or in the processor's own checkout. Sealed as in the log."""

    attempt: int
    processor: str
    workflow_id: str | None
    redirect_url: Sealed | None = field(repr=False)
    client_secret: Sealed | None = field(repr=False)
    processor_data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Paid:
    """The customer is done."""


@dataclass(frozen=True, slots=True)
class Over:
    """Can't be paid, and was not."""

    why: Literal["expired", "cancelled"]


Situation = Payable | Waiting | ActionNeeded | Paid | Over


def situation(session: s.Existing, order: o.OrderState, now: datetime) -> Situation:
    """What is so at ``now``. A payment that is with the processor is waited for beyond the session's time."""
    if isinstance(session, s.Complete) or is_paid(order):
        return Paid()
    timely = isinstance(session, s.Open) and now < session.facts.expires_at
    match order:
        case o.Absent() | o.Pending():
            return Payable(1) if timely else Over("expired")
        case o.Failed():
            number = 1 + max(attempt.number for attempt in o.attempts_of(order))
            return Payable(number, words_for(order.failure)) if timely else Over("expired")
        case o.Processing():
            return Waiting(order.outcome_unknown)
        case o.Authorized() | o.Captured():
            return Waiting()
        case o.RequiresAction():
            if not timely:
                return Over("expired")
            return Waiting() if order.cancel is not None else _action(order)
        case o.Cancelled():
            return Over("cancelled" if timely or _cancelled_by_merchant(session) else "expired")
        case _:
            assert_never(order)


def words_for(failure: o.Failure) -> str:
    """Why it failed, for the customer."""
    for code in (failure.decline_code, failure.code):
        if code is not None and code in _WORDS:
            return _WORDS[code]
    return DECLINED


def _action(order: o.RequiresAction) -> ActionNeeded:
    action, attempt = order.next_action, order.attempt
    return ActionNeeded(
        attempt=attempt.number,
        processor=attempt.processor,
        workflow_id=attempt.workflow_id,
        redirect_url=action.redirect_url,
        client_secret=action.client_secret,
        processor_data=action.processor_data,
    )


def _cancelled_by_merchant(session: s.Existing) -> bool:
    return isinstance(session, s.Expired) and session.reason == "order_cancelled"
