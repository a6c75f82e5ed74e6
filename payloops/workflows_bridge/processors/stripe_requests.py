"""What we send to Stripe: the parameters of its PaymentIntents and Refunds."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from payloops.workflows_bridge.processors.amounts import to_stripe
from payloops.workflows_bridge.processors.base import PaymentRef, PaymentRequest

_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
_REASON_CHARS_MAX: Final = 500


def create_params(request: PaymentRequest) -> dict[str, Any]:
    """A PaymentIntent for the request, not yet confirmed. Raises ``AmountMismatch``."""
    params: dict[str, Any] = {
        "amount": to_stripe(request.amount, request.currency),
        "currency": request.currency.lower(),
        "capture_method": request.capture_method,
        "automatic_payment_methods": {"enabled": True},
        "metadata": {
            "order_id": str(request.order_id),
            "merchant_id": str(request.merchant_id),
            "attempt": str(request.attempt),
            "correlation_id": request.correlation_id,
        },
    }
    if request.return_url is None:
        # Stripe refuses to confirm what may redirect when it is not told where to return to.
        params["automatic_payment_methods"]["allow_redirects"] = "never"
    if request.description is not None:
        params["description"] = request.description
    if request.external_id is not None:
        params["metadata"]["external_id"] = request.external_id
    return params


def confirmation(request: PaymentRequest) -> dict[str, Any]:
    """What confirms it at once. ``tok_…`` is a card token of Stripe's older API, anything else a payment method."""
    params: dict[str, Any] = {"confirm": True}
    token = request.payment_method_token
    if token is not None and token.startswith("tok_"):
        params["payment_method_data"] = {"type": "card", "card": {"token": token}}
    elif token is not None:
        params["payment_method"] = token
    if request.return_url is not None:
        params["return_url"] = request.return_url
    return params


def refund_params(refund_id: UUID, ref: PaymentRef, amount: int, reason: str | None) -> dict[str, Any]:
    """A Refund of ``amount``, but for what names the payment. Raises ``AmountMismatch``."""
    params: dict[str, Any] = {
        "amount": to_stripe(amount, ref.currency),
        "metadata": _refund_metadata(refund_id, ref, reason),
    }
    if reason in _REASONS:
        params["reason"] = reason
    return params


def _refund_metadata(refund_id: UUID, ref: PaymentRef, reason: str | None) -> dict[str, str]:
    metadata = {"refund_id": str(refund_id), "order_id": str(ref.order_id), "attempt": str(ref.attempt)}
    if ref.merchant_id is not None:
        metadata["merchant_id"] = str(ref.merchant_id)
    if reason is not None and reason not in _REASONS:
        metadata["reason"] = reason[:_REASON_CHARS_MAX]
    return metadata
