"""Finding orders by the customer's e-mail address, which is stored nowhere in clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from payloops.errors import InvalidInput
from payloops.http.email_address import normal_form
from payloops.projections.personal_data import CUSTOMER_EMAIL, MerchantKey


def email_digest(key: MerchantKey, text: str) -> str | None:
    """What the address is found by, however it is written; None when the merchant's key was destroyed."""
    try:
        normal = normal_form(text)
    except InvalidInput:
        # Customers' addresses are taken as they come; one that no account could have is found as it was typed.
        normal = text.strip().casefold()
    return key.digest(CUSTOMER_EMAIL, normal)


def email_rows(key: MerchantKey, order_id: UUID, email: str | None) -> Mapping[str, Sequence[dict[str, Any]]] | None:
    """The row of ``order_emails`` of a new order: no event holds it, as no event holds the address in clear."""
    digest = None if email is None else email_digest(key, email)
    if digest is None:
        return None
    return {"order_emails": [{"merchant_id": key.merchant_id, "digest": digest, "order_id": order_id}]}
