"""A processor's event as it may be shown: without secrets, card numbers, and what tells who the customer is.

Fields are known by their names, as Stripe and Razorpay have them; what a merchant's own staff or another system wrote
into metadata and notes may be about anybody, so of those only our own labels are shown. Brand, last four digits and
expiry of a card stay: they are what a customer's question is answered by (PCI DSS 3.4.1 allows them).
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from payloops.telemetry.redaction import MASK, is_secret_name, redact_text

PERSONAL_NAMES: Final = frozenset(
    {
        *("name", "line1", "line2", "city", "postal_code", "zip", "zipcode", "username", "handle", "cashtag"),
        *("customer_details", "customer_shipping", "customer_communication", "customer_tax_ids", "device", "evidence"),
        *("acquirer_data", "access_activity_log", "description", "statement_descriptor", "user_agent", "tax_id"),
        *("account_number", "id_number", "owner", "individual", "tracking_number", "upi_transaction_id"),
        *("preferred_locales", "cancellation_comment", "comment", "comments", "rrn"),
    }
)
"""Fields of Stripe's and Razorpay's objects that hold a person's data, or text that may."""
PERSONAL_WORDS: Final = frozenset(
    {
        *("email", "phone", "mobile", "contact", "address", "addresses", "shipping", "billing", "ip", "vpa", "iban"),
        *("dob", "birth", "payer", "buyer", "fingerprint", "signature", "verified", "holder", "cardholder"),
    }
)
"""One of these words in a field's name says the same: ``customer_purchase_ip``, ``billing_details``."""
LABELS: Final = frozenset({"metadata", "notes"})
OUR_LABELS: Final = frozenset({"merchant_id", "order_id", "attempt", "refund_id", "external_id"})
"""What we write into metadata and notes ourselves, and that names nobody."""
DEPTH_MAX: Final = 32
ITEMS_MAX: Final = 10_000


def masked_body(body: str | None) -> Any:
    """The event's JSON with masks; None when the body can't be read any more. Bounded in depth and size."""
    if body is None:
        return None
    return _Masking().masked(orjson.loads(body), 1)


class _Masking:
    def __init__(self) -> None:
        self._left = ITEMS_MAX

    def masked(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth > DEPTH_MAX or self._left < 0:
            return "…"
        if isinstance(value, dict):
            return {redact_text(name): self._member(name, inner, depth) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.masked(inner, depth + 1) for inner in value]
        return redact_text(value) if isinstance(value, str) else value

    def _member(self, name: str, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if name in LABELS:
            return self._labels(value, depth)
        if _is_personal(name) or _is_link(name, value):
            return MASK
        if is_secret_name(name) and not isinstance(value, dict | list):
            return MASK
        return self.masked(value, depth + 1)

    def _labels(self, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            # Razorpay writes no notes as an empty list.
            return value if value in ([], "") else MASK
        return {
            redact_text(name): self.masked(inner, depth + 1) if name in OUR_LABELS else MASK
            for name, inner in value.items()
        }


def _is_personal(name: str) -> bool:
    lower = name.lower()
    return (
        lower in PERSONAL_NAMES
        or lower.endswith(("_name", "_descriptor", "_descriptor_suffix"))
        or not PERSONAL_WORDS.isdisjoint(lower.split("_"))
    )


def _is_link(name: str, value: Any) -> bool:
    """A page that whoever has its address may open: a receipt, a voucher, a bank's question to the customer."""
    return (name == "url" or name.endswith("_url")) and isinstance(value, str) and value.startswith("http")
