"""Orders, payments, refunds, transactions, the audit trail."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from payloops.http.answers.base import Answer, CursorPage, Id, Json, Money, Numbered, Time

OrderStatus = Literal[
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
Processor = Literal["stripe", "razorpay"]
MoneyStatus = Literal["pending", "success", "failed"]


class NextAction(Answer):
    """What the customer must do now."""

    type: Literal["redirect", "processor_checkout", "use_sdk"]
    redirect_url: str | None
    """Of ``redirect``: where the customer goes."""
    client_secret: str | None
    """Of ``use_sdk``: for Stripe's own script."""
    processor_data: Json | None
    """Of ``processor_checkout``: what Razorpay's own form takes."""


class PaymentFailure(Answer):
    """Why the payment failed, in the processor's own codes."""

    code: str | None
    decline_code: str | None
    message: str | None
    processor: str | None


class Order(Answer):
    """An order."""

    id: Id
    external_id: str
    """The merchant's own; a short random one when none was sent."""
    amount: Money
    currency: str
    status: OrderStatus
    amount_captured: Money
    amount_refunded: Money
    """Refunds that are pending count."""
    processor: Processor | None
    processor_order_id: str | None
    customer_id: str | None
    customer_email: str | None
    description: str | None
    metadata: Json
    return_url: str | None
    cancel_url: str | None
    capture_method: Literal["automatic", "manual"]
    next_action: NextAction | None
    failure: PaymentFailure | None
    outcome_unknown: bool
    """The processor did not answer in time: it is asked again until it is known what became of the payment."""
    dispute_status: Literal["opened", "won", "lost"] | None
    version: int
    """The ETag: what If-Match compares with."""
    created_at: Time
    updated_at: Time


class OrderPage(CursorPage):
    """A page of orders, newest first."""

    data: list[Order]


class NumberedOrders(CursorPage):
    """A numbered page of orders, newest first; it can be gone on from by its cursor as well."""

    data: list[Order]
    pagination: Numbered | None
    """Null when the page was asked for by a cursor."""


class Payment(Answer):
    """What became of a payment so far."""

    order_id: Id
    status: OrderStatus
    processor: Processor | None
    workflow_id: str | None
    redirect_url: str = ""
    """Where the customer goes, when there is something to confirm."""
    client_secret: str = ""
    """For the processor's own script."""
    processor_data: Json = Field(default={})
    """For the processor's own checkout."""


class Refund(Answer):
    """A refund that was just asked for."""

    refund_id: Id
    order_id: Id
    amount: Money
    status: MoneyStatus


class ListedRefund(Refund):
    """A refund of an order."""

    reason: str | None
    created_at: Time


class Transaction(Answer):
    """One movement of an order's money."""

    id: Id
    order_id: Id
    type: Literal["authorization", "capture", "refund", "void", "dispute"]
    amount: Money
    status: MoneyStatus
    processor_transaction_id: str | None
    error_code: str | None
    error_message: str | None
    created_at: Time


class Question(Answer):
    """What a processor was asked, and what it told."""

    about: Literal["payment", "refunds", "disputes"]
    attempt: int
    """Whose payment, or whose payment's refunds or disputes."""
    processor: Processor
    processor_transaction_id: str | None
    outcome: Literal[
        "captured",
        "authorized",
        "action_required",
        "processing",
        "declined",
        "voided",
        "not_found",
        "listed",
        "listed_in_part",
        "not_booked",
        "misconfigured",
        "unanswered",
    ]
    """Of a payment its state at the processor; of refunds and disputes ``listed``, or ``listed_in_part`` (the newest of
    many).
    ``not_booked``: what the processor told does not fit the order, so a person must look at it."""
    code: str | None
    """Of a refusal, the processor's own code."""


class SyncedOrder(Answer):
    """An order after its processor was asked."""

    order: Order
    asked: list[Question]
    """Empty while the processor has not answered."""
    changed: bool
    """Whether anything happened to the order since it was asked for."""
    finished: bool
    """False when the wait was over first: read the order again later, or send the call again."""


class Actor(Answer):
    """Who did it."""

    type: Literal["api_key", "user", "processor", "workflow", "system"]
    id: str


class AuditEntry(Answer):
    """One event of the log; secrets and personal data are masked."""

    position: int
    """Its place in the log."""
    id: Id
    stream_id: Id
    stream_version: int
    type: str
    occurred_at: Time
    recorded_at: Time
    actor: Actor
    correlation_id: str
    causation_id: str | None
    data: Json


class AuditPage(CursorPage):
    """A page of an audit trail, newest first."""

    data: list[AuditEntry]
