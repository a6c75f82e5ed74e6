"""Hosted checkout, by API key (``/v1/checkout/sessions``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from payloops.client.core.call import Call, fields, read, write
from payloops.client.models.checkout import CheckoutSession, CreatedSession, NewLineItem


def create(
    amount: int,
    *,
    success_url: str,
    cancel_url: str,
    currency: str | None = None,
    customer_id: str | None = None,
    customer_email: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    line_items: Sequence[NewLineItem] | None = None,
    expires_in_minutes: int | None = None,
    idempotency_key: str | None = None,
) -> Call[CreatedSession]:
    """Make a page on which a customer pays; send the customer to its ``url``.

    ``{SESSION_ID}`` in ``success_url`` is filled in. Line items, quantities counted, must come to ``amount``.
    """
    body = fields(
        amount=amount,
        currency=currency,
        success_url=success_url,
        cancel_url=cancel_url,
        customer_id=customer_id,
        customer_email=customer_email,
        metadata=None if metadata is None else dict(metadata),
        line_items=None if line_items is None else [dict(item) for item in line_items],
        expires_in_minutes=expires_in_minutes,
    )
    return write("POST", "/v1/checkout/sessions", CreatedSession, body=body, idempotency_key=idempotency_key)


def get(session_id: str) -> Call[CheckoutSession]:
    """Read a session: whether it is paid, and by which order. Raises NotFound."""
    return read("/v1/checkout/sessions/{id}", CheckoutSession, id=session_id)


def expire(session_id: str, *, idempotency_key: str | None = None) -> Call[CheckoutSession]:
    """End an open session. Raises InvalidRequest (``invalid_status``) for another."""
    return write(
        "POST", "/v1/checkout/sessions/{id}/expire", CheckoutSession, idempotency_key=idempotency_key, id=session_id
    )
