"""Razorpay's entities as new."""

from __future__ import annotations

from typing import Any, Final

from payloops.sandbox.ids import razorpay_id, secret_text
from payloops.sandbox.wire import Document

_RESPOND_WITHIN_S: Final = 7 * 24 * 3600
_FEE_PERCENT: Final = 2
_TAX_PERCENT_OF_FEE: Final = 18
METHODS: Final = ("card", "upi", "netbanking", "wallet")


def notes_or_empty(notes: dict[str, Any] | None) -> dict[str, Any] | list[Any]:
    """``notes`` as Razorpay shows them: an empty list when there are none."""
    return notes or []


def new_order(*, amount: int, currency: str, receipt: str | None, notes: dict[str, Any], now_s: int) -> Document:
    """An order that nobody has tried to pay."""
    return {
        "id": razorpay_id("order"),
        "entity": "order",
        "amount": amount,
        "amount_paid": 0,
        "amount_due": amount,
        "currency": currency,
        "receipt": receipt,
        "offer_id": None,
        "status": "created",
        "attempts": 0,
        "notes": notes_or_empty(notes),
        "created_at": now_s,
    }


def new_payment(order: Document, method: str, now_s: int) -> Document:
    """A customer's attempt to pay an order, authorized by the bank."""
    payment: Document = {
        "id": razorpay_id("pay"),
        "entity": "payment",
        "amount": order["amount"],
        "currency": order["currency"],
        "status": "authorized",
        "order_id": order["id"],
        "invoice_id": None,
        "international": False,
        "method": method,
        "amount_refunded": 0,
        "refund_status": None,
        "captured": False,
        "description": None,
        "card_id": None,
        "bank": "HDFC" if method == "netbanking" else None,
        "wallet": "payzapp" if method == "wallet" else None,
        "vpa": "success@razorpay" if method == "upi" else None,
        "email": "customer@example.com",
        "contact": "+919000090000",
        "notes": order["notes"],
        "fee": None,
        "tax": None,
        "error_code": None,
        "error_description": None,
        "error_source": None,
        "error_step": None,
        "error_reason": None,
        "acquirer_data": {"auth_code": secret_text(6)} if method == "card" else {"rrn": secret_text(12)},
        "created_at": now_s,
    }
    if method == "card":
        payment["card_id"] = razorpay_id("card")
        payment["card"] = {
            "id": payment["card_id"],
            "entity": "card",
            "name": "",
            "last4": "1111",
            "network": "Visa",
            "type": "debit",
            "issuer": None,
            "international": False,
            "emi": False,
            "sub_type": "consumer",
            "token_iin": None,
        }
    return payment


def fee_of(amount: int) -> tuple[int, int]:
    """(fee with tax, tax) of a captured amount, in minor units, rounded down."""
    fee = amount * _FEE_PERCENT // 100
    tax = fee * _TAX_PERCENT_OF_FEE // 100
    return fee + tax, tax


def new_refund(
    payment: Document, amount: int, now_s: int, *, receipt: str | None, notes: dict[str, Any], speed: str
) -> Document:
    """A refund, processed until something else is known."""
    return {
        "id": razorpay_id("rfnd"),
        "entity": "refund",
        "amount": amount,
        "currency": payment["currency"],
        "payment_id": payment["id"],
        "notes": notes_or_empty(notes),
        "receipt": receipt,
        "acquirer_data": {"arn": None},
        "created_at": now_s,
        "batch_id": None,
        "status": "processed",
        "speed_processed": "normal",
        "speed_requested": speed,
    }


def new_dispute(payment: Document, now_s: int) -> Document:
    """A chargeback of a payment's whole amount."""
    return {
        "id": razorpay_id("disp"),
        "entity": "dispute",
        "payment_id": payment["id"],
        "amount": payment["amount"],
        "currency": payment["currency"],
        "amount_deducted": 0,
        "reason_code": "chargeback_fraud",
        "reason_description": "The customer says that the payment was not theirs.",
        "respond_by": now_s + _RESPOND_WITHIN_S,
        "status": "open",
        "phase": "chargeback",
        "created_at": now_s,
        "comments": None,
    }
