"""Hosted checkout."""

# ruff: noqa: PYI051 - the words of today are named for people and editors; a newer service may have others

from __future__ import annotations

from datetime import datetime
from typing import Literal, NotRequired, TypedDict

from payloops.client.models.base import Json, Model


class NewLineItem(TypedDict):
    """One line of what is paid for, as it is sent."""

    name: str
    amount: int
    """Of one piece, in minor units."""
    quantity: NotRequired[int]
    """1 if it is not named."""


class CreatedSession(Model):
    """A session that was just made."""

    id: str
    url: str
    """Where the customer pays."""
    expires_at: datetime


class LineItem(Model):
    """One line of what is paid for."""

    name: str
    amount: int
    """Of one piece."""
    quantity: int


class CheckoutSession(CreatedSession):
    """A checkout session."""

    status: Literal["open", "complete", "expired"] | str
    amount: int
    currency: str
    order_id: str | None
    """The order of the session, from the customer's first try to pay on."""
    customer_id: str | None
    customer_email: str | None
    metadata: Json
    line_items: list[LineItem]
    success_url: str
    cancel_url: str
    completed_at: datetime | None
    created_at: datetime
