"""What Razorpay's orders, payments, refunds and disputes say, as outcomes.

States: https://razorpay.com/docs/payments/payments/#payment-life-cycle and https://razorpay.com/docs/api/refunds/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from payloops.projections.views import as_uuid
from payloops.workflows_bridge.processors import disputes
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    ListedDispute,
    ListedRefund,
    Misconfigured,
    PaymentOutcome,
    PaymentRef,
    RefundOutcome,
    RefundPending,
    RefundRejected,
    RefundSucceeded,
    StillProcessing,
    Voided,
)
from payloops.workflows_bridge.processors.transport import UnreadableReply

Document: TypeAlias = dict[str, Any]

_FURTHEST_FIRST: Final = ("captured", "refunded", "authorized", "created", "failed")


def payment_outcome(payment: Document, ref: PaymentRef, key_id: str) -> PaymentOutcome:
    """Where a payment stands. Raises ``UnreadableReply``."""
    payment_id = text(payment, "id")
    order_id = optional_text(payment, "order_id") or ref.processor_order_id or payment_id
    if text(payment, "currency") != ref.currency:
        return Misconfigured("currency_mismatch", "The processor's payment is in another currency than the order.")
    match text(payment, "status"):
        case "captured":
            return Captured(order_id, payment_id, _amount(payment))
        case "refunded":
            # Also what becomes of an authorization that was never captured.
            if payment.get("captured") is False:
                return Voided(order_id, payment_id)
            return Captured(order_id, payment_id, _amount(payment))
        case "authorized":
            return Authorized(order_id, payment_id, _amount(payment))
        case "created":
            return to_be_paid(order_id, ref, key_id, payment_id)
        case "failed":
            return Declined(
                order_id,
                payment_id,
                optional_text(payment, "error_code") or "payment_failed",
                optional_text(payment, "error_reason"),
                optional_text(payment, "error_description") or "The payment failed.",
            )
        case _:
            return StillProcessing(order_id, payment_id)


def to_be_paid(order_id: str, ref: PaymentRef, key_id: str, payment_id: str | None = None) -> ActionRequired:
    """The customer must pay the order in Razorpay's checkout, which takes these four values."""
    checkout = {"orderId": order_id, "keyId": key_id, "amount": ref.amount, "currency": ref.currency}
    return ActionRequired(order_id, payment_id, processor_data=checkout)


def refund_outcome(refund: Document) -> RefundOutcome:
    """Where a refund stands. Raises ``UnreadableReply``."""
    refund_id = text(refund, "id")
    match text(refund, "status"):
        case "processed":
            return RefundSucceeded(refund_id, _amount(refund))
        case "failed":
            return RefundRejected(refund_id, "refund_failed", "The refund failed at the processor.")
        case _:
            return RefundPending(refund_id)


def listed_refund(refund: Document) -> ListedRefund:
    """A refund as one of a list. Raises ``UnreadableReply``."""
    outcome = refund_outcome(refund)
    refund_id = notes(refund).get("refund_id")
    failed = outcome if isinstance(outcome, RefundRejected) else None
    return ListedRefund(
        processor_refund_id=text(refund, "id"),
        refund_id=as_uuid(refund_id) if isinstance(refund_id, str) else None,
        amount=_amount(refund),
        status="success" if isinstance(outcome, RefundSucceeded) else "pending" if failed is None else "failed",
        code=failed.code if failed else "refund_failed",
        message=failed.message if failed else "",
    )


def listed_dispute(dispute: Document) -> ListedDispute:
    """A dispute as one of a list. Raises ``UnreadableReply``."""
    return ListedDispute(
        processor_dispute_id=text(dispute, "id"),
        amount=_amount(dispute),
        currency=text(dispute, "currency").upper(),
        status=disputes.of_razorpay(text(dispute, "status"), dispute.get("amount_deducted")),
        reason=optional_text(dispute, "reason_code"),
    )


def furthest(payments: Iterable[Document]) -> Document | None:
    """Of an order's payments the one that got furthest, the newest of equals: no money may be overlooked."""

    def distance(payment: Document) -> int:
        status = text(payment, "status")
        return _FURTHEST_FIRST.index(status) if status in _FURTHEST_FIRST else _FURTHEST_FIRST.index("created")

    newest_first = sorted(payments, key=lambda payment: payment.get("created_at") or 0, reverse=True)
    return min(newest_first, key=distance, default=None)


def items(collection: Document) -> list[Document]:
    """The members of a collection. Raises ``UnreadableReply``."""
    members = collection.get("items")
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise UnreadableReply("no items")
    return members


def notes(thing: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of a thing; Razorpay writes none as an empty list."""
    value = thing.get("notes")
    return value if isinstance(value, dict) else {}


def text(thing: Mapping[str, Any], name: str) -> str:
    """A text that is always there. Raises ``UnreadableReply``."""
    value = thing.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableReply(f"no {name}")
    return value


def optional_text(thing: Mapping[str, Any], name: str) -> str | None:
    """A text that may be missing, null, empty or ``NA``."""
    value = thing.get(name)
    return value if isinstance(value, str) and value not in ("", "NA") else None


def _amount(thing: Document) -> int:
    value = thing.get("amount")
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableReply("no amount")
    return value
