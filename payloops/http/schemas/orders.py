"""Bodies of the calls on orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from payloops.http.json_body import card_rejected
from payloops.http.schemas.base import Amount, Body, Currency, Email, Metadata, Reference, WebUrl

TOKEN_LENGTH_MAX: Final = 255


class CreateOrderBody(Body):
    """``POST /v1/orders``."""

    amount: Amount
    currency: Currency | None = None
    external_id: Reference | None = None
    customer_id: Reference | None = None
    customer_email: Email | None = None
    description: Annotated[str, Field(max_length=1000)] | None = None
    metadata: Metadata | None = None
    return_url: WebUrl | None = None
    cancel_url: WebUrl | None = None
    capture_method: Literal["automatic", "manual"] | None = None


class PaymentMethodBody(Body):
    """How the customer pays: a kind, and a token of the processor. ``card`` is refused before this is looked at."""

    type: Literal["card", "upi", "netbanking", "wallet"]
    token: Annotated[str, Field(min_length=1, max_length=TOKEN_LENGTH_MAX)] | None = None


class PayBody(Body):
    """``POST /v1/orders/:id/pay``."""

    processor: Literal["stripe", "razorpay"] | None = None
    payment_method: PaymentMethodBody | None = None


class CaptureBody(Body):
    """``POST /v1/orders/:id/capture``."""

    amount: Amount | None = None


class CancelBody(Body):
    """``POST /v1/orders/:id/cancel``."""

    reason: Annotated[str, Field(max_length=500)] | None = None


class RefundBody(Body):
    """``POST /v1/orders/:id/refund``."""

    amount: Amount | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


def refuse_raw_card(body: Mapping[str, Any]) -> None:
    """Raises RawCardRejected for ``paymentMethod.card``, whatever is in it."""
    method = body.get("paymentMethod")
    if isinstance(method, dict) and "card" in method:
        raise card_rejected("paymentMethod.card")
