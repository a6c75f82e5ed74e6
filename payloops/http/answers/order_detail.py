"""An order as the dashboard shows it: with all that a support person needs to know."""

from __future__ import annotations

from typing import Literal

from payloops.http.answers.base import Answer, Id, Money, Time
from payloops.http.answers.orders import (
    ListedRefund,
    Order,
    PaymentFailure,
    Processor,
    Question,
    Transaction,
)
from payloops.http.answers.webhooks import WebhookDelivery


class PaymentAttempt(Answer):
    """One try to take the money."""

    number: int
    """From 1."""
    processor: Processor
    processor_order_id: str | None
    processor_transaction_id: str | None
    """The processor's id of the payment, of a failed one too."""
    payment_method_type: str | None
    status: Literal["processing", "requires_action", "authorized", "captured", "failed", "cancelled"]
    failure: PaymentFailure | None
    outcome_unknown: bool
    surplus: bool
    """Its money is one payment too many for the order: it is released, or given back."""
    workflow_id: str | None
    started_at: Time | None
    """Null for a payment that was begun outside of this service."""
    finished_at: Time | None
    """When the money was taken, or the attempt ended without."""


class RefundDetail(ListedRefund):
    """A refund, with what the processor told of it."""

    processor_refund_id: str | None
    error_code: str | None
    error_message: str | None
    outcome_unknown: bool
    updated_at: Time


class Dispute(Answer):
    """Money that the customer's bank wants back."""

    id: Id
    processor_dispute_id: str
    amount: Money
    status: Literal["opened", "won", "lost"]
    reason: str | None
    """The processor's own word."""
    created_at: Time
    updated_at: Time


class LastSync(Answer):
    """The last time that somebody had the processor asked."""

    requested_at: Time
    finished: bool
    asked: list[Question]
    changed: bool


class OrderDetail(Order):
    """An order, and beside it what became of its payments. Lists are newest first."""

    attempts: list[PaymentAttempt]
    """At most 100, as refunds, transactions and disputes."""
    attempts_has_more: bool
    refunds: list[RefundDetail]
    refunds_has_more: bool
    """``GET /v1/orders/:id/refunds`` has all."""
    transactions: list[Transaction]
    transactions_has_more: bool
    disputes: list[Dispute]
    disputes_has_more: bool
    deliveries: list[WebhookDelivery]
    """The last 20 webhooks about it."""
    deliveries_has_more: bool
    """``GET /api/webhooks?orderId=`` has all."""
    checkout_session_id: Id | None
    """The hosted checkout that it was made for."""
    workflow_id: str | None
    """Of the current attempt."""
    next_ask: Time | None
    """When a processor is asked next by itself, while something is undecided. Null also when it can't be said at once:
    Temporal, or the workflow's worker, is away, or the worker is one of yours that does not tell."""
    last_sync: LastSync | None
