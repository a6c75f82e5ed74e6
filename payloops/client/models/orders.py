"""Orders, payments, refunds, transactions, the audit trail. Amounts are in minor units: 1234 USD is $12.34."""

# ruff: noqa: PYI051 - the words of today are named for people and editors; a newer service may have others

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field

from payloops.client.models.base import CursorPage, Json, Model, Numbered

OrderStatus: TypeAlias = (
    Literal[
        "pending",
        "processing",
        "requires_action",
        "authorized",
        "captured",
        "partially_refunded",
        "refunded",
        "failed",
        "cancelled",
    ]
    | str
)
Processor: TypeAlias = Literal["stripe", "razorpay"] | str
MoneyStatus: TypeAlias = Literal["pending", "success", "failed"] | str
CaptureMethod: TypeAlias = Literal["automatic", "manual"] | str
PaymentMethodType: TypeAlias = Literal["card", "upi", "netbanking", "wallet"] | str


class NextAction(Model):
    """What the customer must do now."""

    type: Literal["redirect", "processor_checkout", "use_sdk"] | str
    redirect_url: str | None
    """Of ``redirect``: where the customer goes."""
    client_secret: str | None = Field(repr=False)
    """Of ``use_sdk``: for Stripe's own script."""
    processor_data: Json | None
    """Of ``processor_checkout``: what Razorpay's own form takes."""


class PaymentFailure(Model):
    """Why the payment failed, in the processor's own codes."""

    code: str | None
    decline_code: str | None
    message: str | None
    processor: str | None


class Order(Model):
    """An order."""

    id: str
    external_id: str
    """Your own; a short random one when none was sent."""
    amount: int
    currency: str
    status: OrderStatus
    amount_captured: int
    amount_refunded: int
    """Refunds that are pending count."""
    processor: Processor | None
    processor_order_id: str | None
    customer_id: str | None
    customer_email: str | None
    description: str | None
    metadata: Json
    return_url: str | None
    cancel_url: str | None
    capture_method: CaptureMethod
    next_action: NextAction | None
    failure: PaymentFailure | None
    outcome_unknown: bool
    """The processor did not answer in time: it is asked again until it is known what became of the payment."""
    dispute_status: Literal["opened", "won", "lost"] | str | None
    version: int
    """What ``if_match`` compares with."""
    created_at: datetime
    updated_at: datetime


class OrderPage(CursorPage):
    """A page of orders, newest first."""

    data: list[Order]


class NumberedOrders(CursorPage):
    """A numbered page of orders, newest first; it can be gone on from by its cursor as well."""

    data: list[Order]
    pagination: Numbered | None
    """None when the page was asked for by a cursor."""


class Payment(Model):
    """What became of a payment so far."""

    order_id: str
    status: OrderStatus
    processor: Processor | None
    workflow_id: str | None
    redirect_url: str | None = None
    """Where the customer goes, when there is something to confirm."""
    client_secret: str | None = Field(default=None, repr=False)
    """For the processor's own script."""
    processor_data: Json | None = None
    """For the processor's own checkout."""


class Refund(Model):
    """A refund that was just asked for."""

    refund_id: str
    order_id: str
    amount: int
    status: MoneyStatus


class ListedRefund(Refund):
    """A refund of an order."""

    reason: str | None
    created_at: datetime


class Transaction(Model):
    """One movement of an order's money."""

    id: str
    order_id: str
    type: Literal["authorization", "capture", "refund", "void", "dispute"] | str
    amount: int
    status: MoneyStatus
    processor_transaction_id: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime


class Actor(Model):
    """Who did it."""

    type: Literal["api_key", "user", "processor", "workflow", "system"] | str
    id: str


class AuditEntry(Model):
    """One event of the log; secrets and personal data are masked."""

    position: int
    """Its place in the log."""
    id: str
    stream_id: str
    stream_version: int
    type: str
    occurred_at: datetime
    recorded_at: datetime
    actor: Actor
    correlation_id: str
    causation_id: str | None
    data: Json


class AuditPage(CursorPage):
    """A page of an audit trail, newest first."""

    data: list[AuditEntry]
