"""Defaults of the events and commands of checkout sessions, for tests/spec.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from payloops.commands import checkout_session as commands
from payloops.events import checkout_session as c
from payloops.events.base import Event, Sealed
from payloops.events.checkout_session_state import order_id_of

SESSION_ID: Final = UUID("0190a5b0-0000-7000-8000-000000000013")
ORDER_OF_SESSION: Final = order_id_of(SESSION_ID)
EXPIRES_AT: Final = datetime(2026, 1, 2, 4, 30, 0, 0, tzinfo=UTC)
"""Half an hour after spec.NOW."""
URL: Final = f"https://pay.example/checkout/{SESSION_ID}"

_TERMS: Final = {
    "test_mode": True,
    "amount": 1000,
    "currency": "USD",
    "url": URL,
    "success_url": "https://shop.example/thanks?session={SESSION_ID}",
    "cancel_url": "https://shop.example/cart",
}
_ATTEMPT: Final = {"attempt": 1, "processor": "stripe", "workflow_id": f"payment-{ORDER_OF_SESSION}"}


def event_defaults(merchant_id: UUID) -> Mapping[type[Event], Mapping[str, Any]]:
    """What an event holds that a specification does not name."""
    return MappingProxyType(
        {
            c.CheckoutSessionCreated: {
                **_TERMS,
                "merchant_id": merchant_id,
                "customer_id": "customer-1",
                "customer_email": Sealed("sealed-email"),
                "metadata": {"cart": 7},
                "line_items": ({"name": "A shirt", "amount": 500, "quantity": 2},),
                "expires_at": EXPIRES_AT,
            },
            c.CheckoutOrderPlaced: {"order_id": ORDER_OF_SESSION},
            c.CheckoutPaymentStarted: {"order_id": ORDER_OF_SESSION, "attempt": 1},
            c.CheckoutCustomerReturned: {"order_id": ORDER_OF_SESSION, **_ATTEMPT},
            c.CheckoutSessionCompleted: {"order_id": ORDER_OF_SESSION, "late": False},
            c.CheckoutSessionExpired: {"order_id": ORDER_OF_SESSION, "reason": "time"},
        }
    )


def command_defaults() -> Mapping[type, Mapping[str, Any]]:
    """What a command holds that a specification does not name."""
    return MappingProxyType(
        {
            commands.CreateSession: _TERMS,
            commands.NotePayment: {"attempt": 1},
            commands.NoteReturn: _ATTEMPT,
            commands.ExpireSession: {"reason": "requested"},
        }
    )
