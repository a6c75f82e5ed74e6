"""The ledger: what the simulated processors hold of an account, both in one shape. It is what tests compare with."""

from __future__ import annotations

from collections import Counter
from typing import Final

from payloops.sandbox.engine import Work
from payloops.sandbox.razorpay import payments as razorpay
from payloops.sandbox.store import Page, Store, StoredDocument
from payloops.sandbox.stripe import payments as stripe
from payloops.sandbox.stripe.refunds import REFUND as STRIPE_REFUND
from payloops.sandbox.wire import Document

_ALL: Final = Page(limit=10_000_000)
_VOID_REFUNDS: Final = frozenset({"failed", "canceled"})


def ledger_of(store: Store, account: str) -> Document:
    """``{payments, refunds, calls}`` of an account, oldest first; statuses are the processor's own."""
    stripe_refunds = _all(store, account, STRIPE_REFUND)
    refunded: Counter[str] = Counter()
    for refund in stripe_refunds:
        if refund.body["status"] not in _VOID_REFUNDS:
            refunded[refund.body["payment_intent"]] += refund.body["amount"]
    intents = [_stripe_payment(intent, refunded[intent.id]) for intent in _all(store, account, stripe.INTENT)]
    orders = {order.id: order for order in _all(store, account, razorpay.ORDER)}
    paid = _all(store, account, razorpay.PAYMENT)
    tried = {payment.body["order_id"] for payment in paid}
    # An order that nobody tried to pay stands for its payment, as a fresh PaymentIntent does.
    untried = [_untried_order(order) for order in orders.values() if order.id not in tried]
    payments = [razorpay_payment(payment, orders[payment.body["order_id"]]) for payment in paid]
    return {
        "payments": [*intents, *payments, *untried],
        "refunds": [
            *(stripe_refund(refund) for refund in stripe_refunds),
            *(razorpay_refund(refund) for refund in _all(store, account, razorpay.REFUND)),
        ],
        "calls": store.calls(account),
    }


def _all(store: Store, account: str, kind: str) -> list[StoredDocument]:
    return store.documents(account, kind, _ALL)[::-1]


def stripe_payment(work: Work, intent: StoredDocument) -> Document:
    """One PaymentIntent's entry."""
    refunds = work.documents(STRIPE_REFUND, _ALL, parent=intent.id)
    refunded = sum(refund.body["amount"] for refund in refunds if refund.body["status"] not in _VOID_REFUNDS)
    return _stripe_payment(intent, refunded)


def _stripe_payment(intent: StoredDocument, refunded: int) -> Document:
    return {
        "id": intent.id,
        "amount": intent.body["amount"],
        "currency": intent.body["currency"].upper(),
        "amountCaptured": intent.body["amount_received"],
        "amountRefunded": refunded,
        "status": intent.body["status"],
        "metadata": intent.body["metadata"],
        "idempotencyKey": intent.hidden["idempotency_key"],
    }


def razorpay_payment(payment: StoredDocument, order: StoredDocument) -> Document:
    """One Razorpay payment's entry; it goes by its order's receipt, Razorpay's only key against doubles."""
    body = payment.body
    return {
        "id": payment.id,
        "amount": body["amount"],
        "currency": body["currency"],
        "amountCaptured": body["amount"] if body["captured"] else 0,
        "amountRefunded": body["amount_refunded"],
        "status": body["status"],
        "metadata": body["notes"] or {},
        "idempotencyKey": order.hidden["idempotency_key"],
    }


def _untried_order(order: StoredDocument) -> Document:
    return {
        "id": order.id,
        "amount": order.body["amount"],
        "currency": order.body["currency"],
        "amountCaptured": 0,
        "amountRefunded": 0,
        "status": order.body["status"],
        "metadata": order.body["notes"] or {},
        "idempotencyKey": order.hidden["idempotency_key"],
    }


def stripe_refund(refund: StoredDocument) -> Document:
    """One Stripe refund's entry."""
    return _refund(refund, refund.body["payment_intent"])


def razorpay_refund(refund: StoredDocument) -> Document:
    """One Razorpay refund's entry."""
    return _refund(refund, refund.body["payment_id"])


def _refund(refund: StoredDocument, payment_id: str) -> Document:
    return {
        "id": refund.id,
        "paymentId": payment_id,
        "amount": refund.body["amount"],
        "status": refund.body["status"],
        "idempotencyKey": refund.hidden["idempotency_key"],
    }
