"""Events as Stripe and Razorpay write them, cut to what they always have."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

Json = dict[str, Any]


def stripe_event(event_type: str, thing: Json, *, event_id: str | None = None, **more: Any) -> Json:
    return {
        "id": event_id or f"evt_{uuid4().hex}",
        "object": "event",
        "created": 1_700_000_000,
        "data": {"object": thing},
        "livemode": False,
        "type": event_type,
        **more,
    }


def intent(order_id: object, merchant_id: object, amount: int = 1000, **more: Any) -> Json:
    labels = {"order_id": str(order_id), "merchant_id": str(merchant_id), "attempt": "1"}
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount,
        "amount_capturable": 0,
        "currency": "usd",
        "metadata": labels,
        "client_secret": "pi_1_secret_canary",
        **more,
    }


def charge(amount: int = 1000, *, refunded: int, **more: Any) -> Json:
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": refunded,
        "captured": True,
        "currency": "usd",
        "metadata": {},
        "payment_intent": "pi_1",
        **more,
    }


def refund(amount: int, *, refund_id: str = "re_1", **more: Any) -> Json:
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "charge": "ch_1",
        "currency": "usd",
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": None,
        "status": "succeeded",
        **more,
    }


def dispute(status: str = "needs_response", amount: int = 1000, **more: Any) -> Json:
    return {
        "id": "du_1",
        "object": "dispute",
        "amount": amount,
        "charge": "ch_1",
        "currency": "usd",
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": "fraudulent",
        "status": status,
        **more,
    }


def razorpay_event(event_type: str, **entities: Json) -> Json:
    return {
        "entity": "event",
        "account_id": "acc_1",
        "event": event_type,
        "contains": list(entities),
        "payload": {name: {"entity": entity} for name, entity in entities.items()},
        "created_at": 1_700_000_000,
    }


def razorpay_payment(order_id: object = None, merchant_id: object = None, amount: int = 1000, **more: Any) -> Json:
    labels: Any = (
        [] if order_id is None else {"order_id": str(order_id), "merchant_id": str(merchant_id), "attempt": "1"}
    )
    return {
        "id": "pay_1",
        "entity": "payment",
        "amount": amount,
        "currency": "INR",
        "status": "captured",
        "order_id": "order_1",
        "captured": True,
        "email": "jane@customer.example",
        "contact": "+919000090000",
        "notes": labels,
        "error_code": None,
        "error_description": None,
        "error_reason": None,
        **more,
    }


def razorpay_order(order_id: object, merchant_id: object, amount: int = 1000, **more: Any) -> Json:
    labels = {"order_id": str(order_id), "merchant_id": str(merchant_id), "attempt": "1"}
    return {"id": "order_1", "amount": amount, "amount_paid": amount, "currency": "INR", "notes": labels, **more}


def razorpay_refund(amount: int, *, refund_id: str = "rfnd_1", **more: Any) -> Json:
    return {
        "id": refund_id,
        "entity": "refund",
        "amount": amount,
        "currency": "INR",
        "payment_id": "pay_1",
        "notes": [],
        "status": "processed",
        **more,
    }


def razorpay_dispute(status: str = "open", amount: int = 1000, **more: Any) -> Json:
    return {
        "id": "disp_1",
        "entity": "dispute",
        "payment_id": "pay_1",
        "amount": amount,
        "currency": "INR",
        "amount_deducted": 0,
        "reason_code": "chargeback_fraud",
        "status": status,
        **more,
    }
