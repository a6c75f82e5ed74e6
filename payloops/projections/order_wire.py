"""An order as clients, workers and webhooks see it, from its row: one function for rows of the table and of a fold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from payloops.projections.base import Row
from payloops.projections.personal_data import CLIENT_SECRET, CUSTOMER_EMAIL, REDIRECT_URL

READ_COLUMNS: Final = (
    "id",
    "version",
    "external_id",
    "amount",
    "currency",
    "status",
    "amount_captured",
    "amount_refunded",
    "processor",
    "processor_order_id",
    "customer_id",
    "customer_email",
    "description",
    "metadata",
    "return_url",
    "cancel_url",
    "capture_method",
    "next_action",
    "failure",
    "outcome_unknown",
    "dispute_status",
    "created_at",
    "updated_at",
)
"""The columns of ``orders`` that ``wire_order`` reads."""


class Opener(Protocol):
    """What a sealed value is shown as."""

    def open(self, field: str, row_id: UUID | str, sealed: str | None, /) -> str | None:
        """The value for the eyes that this is for."""


def wire_order(row: Row, key: Opener) -> dict[str, Any]:
    """The order of the wire contract ("Order:"), for orjson. ``key`` opens its merchant's personal data.

    Times of the row may be text already, and ``metadata`` the JSON text that the table keeps (an ``orjson.Fragment``).
    """
    order_id, created_at, updated_at = row["id"], row["created_at"], row["updated_at"]
    created = wire_time(created_at)
    email = row["customer_email"]
    next_action = row["next_action"]
    return {
        "id": order_id,
        "externalId": row["external_id"],
        "amount": row["amount"],
        "currency": row["currency"],
        "status": row["status"],
        "amountCaptured": row["amount_captured"],
        "amountRefunded": row["amount_refunded"],
        "processor": row["processor"],
        "processorOrderId": row["processor_order_id"],
        "customerId": row["customer_id"],
        "customerEmail": None if email is None else key.open(CUSTOMER_EMAIL, order_id, email),
        "description": row["description"],
        "metadata": row["metadata"],
        "returnUrl": row["return_url"],
        "cancelUrl": row["cancel_url"],
        "captureMethod": row["capture_method"],
        "nextAction": None if next_action is None else wire_next_action(next_action, order_id, key),
        "failure": row["failure"],
        "outcomeUnknown": row["outcome_unknown"],
        "disputeStatus": row["dispute_status"],
        "version": row["version"],
        "createdAt": created,
        "updatedAt": created if updated_at is created_at else wire_time(updated_at),
    }


def wire_next_action(action: Mapping[str, Any], order_id: Any, key: Opener) -> dict[str, Any]:
    """What the customer must do.

    ``type`` says how: ``redirect`` to ``redirectUrl``, ``processor_checkout`` with ``processorData`` (Razorpay's own
    form), or ``use_sdk`` with ``clientSecret`` (Stripe's).
    """
    redirect_url = key.open(REDIRECT_URL, order_id, action["redirectUrl"])
    processor_data = action["processorData"]
    without_redirect = "use_sdk" if processor_data is None else "processor_checkout"
    return {
        "type": without_redirect if redirect_url is None else "redirect",
        "redirectUrl": redirect_url,
        "clientSecret": key.open(CLIENT_SECRET, order_id, action["clientSecret"]),
        "processorData": processor_data,
    }


def wire_time(moment: datetime | str) -> str:
    """As ``values.iso`` for a time that is in UTC already, at a third of its cost: each order has two."""
    if isinstance(moment, str):
        return moment
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


def stored_json(text: str | None) -> Any:
    """A JSON column's text as a value to render: it was checked when it was stored."""
    return None if text is None else orjson.Fragment(text)
