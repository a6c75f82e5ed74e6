"""How processors sign, written from their documents alone."""

from __future__ import annotations

import hashlib
import hmac
import time


def stripe_header(secret: str, body: bytes, *, at_s: float | None = None, more: str = "") -> dict[str, str]:
    seconds = int(time.time() if at_s is None else at_s)
    digest = hmac.new(secret.encode(), b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={seconds},v1={digest}{more}"}


def razorpay_header(secret: str, body: bytes, event_id: str | None = "event_1") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    named = {} if event_id is None else {"X-Razorpay-Event-Id": event_id}
    return {"X-Razorpay-Signature": digest, **named}
