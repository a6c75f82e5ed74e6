"""Checkout sessions."""

from __future__ import annotations

from typing import Literal

from payloops.http.answers.base import Answer, Id, Json, Money, Time


class CreatedSession(Answer):
    """A session that was just made."""

    id: Id
    url: str
    """Where the customer pays."""
    expires_at: Time


class LineItem(Answer):
    """One line of what is paid for."""

    name: str
    amount: Money
    """Of one piece."""
    quantity: int


class CheckoutSession(CreatedSession):
    """A checkout session."""

    status: Literal["open", "complete", "expired"]
    amount: Money
    currency: str
    order_id: Id | None
    """The order of the session, from the customer's first try to pay on."""
    customer_id: str | None
    customer_email: str | None
    metadata: Json
    line_items: list[LineItem]
    success_url: str
    cancel_url: str
    completed_at: Time | None
    created_at: Time


class CheckoutState(Answer):
    """What a page that waits needs to know."""

    state: Literal["payable", "waiting", "action", "paid", "over"]
