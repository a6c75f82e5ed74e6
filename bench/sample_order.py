"""The one order that all rows create: what a shop sends, and what it comes to in the log and in the read table."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from payloops.commands import order
from payloops.events import order_state
from payloops.events.base import Actor, Meta
from payloops.events.codec import EventMapper
from payloops.projections import orders
from payloops.values import Clock, SystemClock, new_id

AMOUNT: Final = 4999
CURRENCY: Final = "USD"
EXTERNAL_ID: Final = "shop-2026-000417"
CUSTOMER_ID: Final = "customer-88231"
DESCRIPTION: Final = "2 items"
METADATA: Final = {"cart": "c-5521", "channel": "web"}

HTTP_BODY: Final[dict[str, Any]] = {
    "amount": AMOUNT,
    "currency": CURRENCY,
    "externalId": EXTERNAL_ID,
    "customerId": CUSTOMER_ID,
    "description": DESCRIPTION,
    "metadata": METADATA,
}


def command(clock: Clock, merchant_id: UUID, api_key_id: UUID) -> order.CreateOrder:
    """A fresh command, as a request of that API key makes it."""
    return order.CreateOrder(
        order_id=new_id(),
        now=clock.now(),
        meta=Meta(new_id(), Actor("api_key", str(api_key_id)), str(new_id())),
        merchant_id=merchant_id,
        test_mode=True,
        amount=AMOUNT,
        currency=CURRENCY,
        external_id=EXTERNAL_ID,
        customer_id=CUSTOMER_ID,
        description=DESCRIPTION,
        metadata=METADATA,
    )


def stored_state() -> tuple[str, bytes]:
    """Topic and bytes of its first event in the log: what a baseline must write to write as much."""
    (event,) = order.decide(command(SystemClock(), new_id(), new_id()), order_state.INITIAL)
    stored = EventMapper().to_stored_event(event)
    return stored.topic, stored.state


def read_row() -> dict[str, Any]:
    """Its row in the table ``orders``."""
    (event,) = order.decide(command(SystemClock(), new_id(), new_id()), order_state.INITIAL)
    state = order_state.evolve(order_state.INITIAL, event)
    if isinstance(state, order_state.Absent):
        raise TypeError("a created order is absent")
    return orders.row(state)
