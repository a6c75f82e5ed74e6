"""An order as the dashboard shows it, with all that a support person needs to know; and what a processor was asked."""

# ruff: noqa: PYI051 - the words of today are named for people and editors; a newer service may have others

from __future__ import annotations

from datetime import datetime
from typing import Literal

from payloops.client.models.base import Model
from payloops.client.models.orders import (
    ListedRefund,
    Order,
    PaymentFailure,
    Processor,
    Transaction,
)
from payloops.client.models.webhooks import WebhookDelivery


class Question(Model):
    """What a processor was asked, and what it told."""

    about: Literal["payment", "refunds", "disputes"] | str
    attempt: int
    """Whose payment, or whose payment's refunds or disputes."""
    processor: Processor
    processor_transaction_id: str | None
    outcome: (
        Literal[
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
        | str
    )
    """Of a payment its state at the processor; of refunds and disputes ``listed``, or ``listed_in_part`` (the newest of
    many).
    ``not_booked``: what the processor told does not fit the order, so a person must look at it."""
    code: str | None
    """Of a refusal, the processor's own code."""


class SyncedOrder(Model):
    """An order after its processor was asked."""

    order: Order
    asked: list[Question]
    """Empty while the processor has not answered."""
    changed: bool
    """Whether anything happened to the order since it was asked for."""
    finished: bool
    """False when the wait was over first: read the order again later, or send the call again."""


class PaymentAttempt(Model):
    """One try to take the money."""

    number: int
    """From 1."""
    processor: Processor
    processor_order_id: str | None
    processor_transaction_id: str | None
    """The processor's id of the payment, of a failed one too."""
    payment_method_type: str | None
    status: Literal["processing", "requires_action", "authorized", "captured", "failed", "cancelled"] | str
    failure: PaymentFailure | None
    outcome_unknown: bool
    surplus: bool
    """Its money is one payment too many for the order: it is released, or given back."""
    workflow_id: str | None
    started_at: datetime | None
    """None for a payment that was begun outside of the service."""
    finished_at: datetime | None
    """When the money was taken, or the attempt ended without."""


class RefundDetail(ListedRefund):
    """A refund, with what the processor told of it."""

    processor_refund_id: str | None
    error_code: str | None
    error_message: str | None
    outcome_unknown: bool
    updated_at: datetime


class Dispute(Model):
    """int that the customer's bank wants back."""

    id: str
    processor_dispute_id: str
    amount: int
    status: Literal["opened", "won", "lost"] | str
    reason: str | None
    """The processor's own word."""
    created_at: datetime
    updated_at: datetime


class LastSync(Model):
    """The last time that somebody had the processor asked."""

    requested_at: datetime
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
    """``client.orders.refunds`` has all."""
    transactions: list[Transaction]
    transactions_has_more: bool
    disputes: list[Dispute]
    disputes_has_more: bool
    deliveries: list[WebhookDelivery]
    """The last 20 webhooks about it."""
    deliveries_has_more: bool
    """``dashboard.webhook_deliveries.list(order_id=…)`` has all."""
    checkout_session_id: str | None
    """The hosted checkout that it was made for."""
    workflow_id: str | None
    """Of the current attempt."""
    next_ask: datetime | None
    """When a processor is asked next by itself, while something is undecided. None also when it can't be said at once:
    Temporal, or the workflow's worker, is away, or the worker is one of yours that does not tell."""
    last_sync: LastSync | None
