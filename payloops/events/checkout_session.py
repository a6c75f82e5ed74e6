"""Events of a hosted checkout: a page on which one customer pays one order. All amounts are in minor units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from payloops.events.base import Event, Sealed

ExpiryReason = Literal["time", "requested", "order_cancelled"]


@dataclass(frozen=True)
class CheckoutSessionCreated(Event):
    """A merchant asked for a page on which ``amount`` is paid until ``expires_at``."""

    TOPIC: ClassVar[str] = "checkout_session.created.v1"

    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    url: str
    """Where the page is: kept, so that it stays the same when the service moves."""
    success_url: str
    cancel_url: str
    customer_id: str | None
    customer_email: Sealed | None
    metadata: dict[str, Any]
    line_items: tuple[dict[str, Any], ...]
    """``{name, amount, quantity}`` each; ``amount`` is of one piece."""
    expires_at: datetime


@dataclass(frozen=True)
class CheckoutOrderPlaced(Event):
    """The customer pressed pay for the first time: the session has its order, the only one it will ever have."""

    TOPIC: ClassVar[str] = "checkout_session.order_placed.v1"

    order_id: UUID


@dataclass(frozen=True)
class CheckoutPaymentStarted(Event):
    """The customer pressed pay: this attempt of the order began in the same transaction."""

    TOPIC: ClassVar[str] = "checkout_session.payment_started.v1"

    order_id: UUID
    attempt: int


@dataclass(frozen=True)
class CheckoutCustomerReturned(Event):
    """The customer came back from the bank or the processor's own page: a reason to ask what became of the payment."""

    TOPIC: ClassVar[str] = "checkout_session.customer_returned.v1"

    order_id: UUID
    attempt: int
    processor: str
    workflow_id: str
    """The attempt's workflow, which waits for the customer."""


@dataclass(frozen=True)
class CheckoutSessionCompleted(Event):
    """The order is paid. ``late``: the session had expired before."""

    TOPIC: ClassVar[str] = "checkout_session.completed.v1"

    order_id: UUID
    late: bool


@dataclass(frozen=True)
class CheckoutSessionExpired(Event):
    """Nobody can begin a payment on the page any more; what is open of the order's is called off."""

    TOPIC: ClassVar[str] = "checkout_session.expired.v1"

    order_id: UUID | None
    """None when nobody ever pressed pay."""
    reason: ExpiryReason


CheckoutSessionEvent = (
    CheckoutSessionCreated
    | CheckoutOrderPlaced
    | CheckoutPaymentStarted
    | CheckoutCustomerReturned
    | CheckoutSessionCompleted
    | CheckoutSessionExpired
)
