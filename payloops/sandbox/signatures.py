"""How the processors sign what they send."""

from __future__ import annotations

import hashlib
import hmac


def stripe_signature(secret: str, body: bytes, timestamp_s: int) -> str:
    """The ``Stripe-Signature`` header: HMAC-SHA256 of ``timestamp.body`` (docs.stripe.com/webhooks/signature)."""
    digest = hmac.new(secret.encode(), f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"


def razorpay_signature(secret: str, body: bytes) -> str:
    """The ``X-Razorpay-Signature`` header: hex HMAC-SHA256 of the body (razorpay.com/docs/webhooks/validate-test)."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def razorpay_payment_signature(key_secret: str, order_id: str, payment_id: str) -> str:
    """What Razorpay's checkout hands to the browser so that the merchant can trust the payment id."""
    return razorpay_signature(key_secret, f"{order_id}|{payment_id}".encode())
