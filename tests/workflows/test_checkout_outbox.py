"""What the events of a hosted checkout, and of its order, cause outside of the database."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.events import checkout_session as c
from payloops.events import order as o
from payloops.events.base import Event
from payloops.workflows_bridge import checkout_outbox, outbox
from payloops.workflows_bridge.contracts import Kind
from tests.checkout_specs import EXPIRES_AT, ORDER_OF_SESSION, SESSION_ID
from tests.spec import MERCHANT_ID, event, numbered, state_after

SETTLE = {"kind": "checkout", "lane": f"checkout:{MERCHANT_ID}", "payload": {"sessionId": str(SESSION_ID)}}
CREATED = (event(c.CheckoutSessionCreated),)
PLACED = (*CREATED, event(c.CheckoutOrderPlaced))
OF_SESSION = (event(o.OrderCreated, checkout_session_id=SESSION_ID), event(o.PaymentStarted))


def rows(intents: Any, *history: Event) -> list[dict[str, Any]]:
    """The effects of the last event of a history."""
    *before, last = numbered(history)
    state: Any = state_after(*before)
    made = intents(state, last, state_after(*history))
    assert len({row["id"] for row in made}) == len({row["key"] for row in made}) == len(made)
    return list(made)


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in SETTLE}


def test_a_session_is_looked_at_when_its_time_is_over() -> None:
    (row,) = rows(checkout_outbox.intents, *CREATED)
    assert told(row) == SETTLE
    assert row["due_at"] == EXPIRES_AT


def test_an_expired_one_is_looked_at_at_once_if_it_has_an_order() -> None:
    (row,) = rows(checkout_outbox.intents, *PLACED, event(c.CheckoutSessionExpired))
    assert told(row) == SETTLE
    assert "due_at" not in row
    assert rows(checkout_outbox.intents, *CREATED, event(c.CheckoutSessionExpired, order_id=None)) == []


def test_whoever_waits_for_the_customer_hears_that_he_is_back() -> None:
    (row,) = rows(checkout_outbox.intents, *PLACED, event(c.CheckoutCustomerReturned))
    assert (row["kind"], row["key"], row["lane"]) == (
        Kind.SIGNAL,
        f"payment-{ORDER_OF_SESSION}",
        f"stripe:{MERCHANT_ID}",
    )
    assert row["payload"]["signal"] == "customerReturned"
    assert row["payload"]["payload"] == {}
    assert (row["payload"]["orderId"], row["payload"]["attempt"]) == (str(ORDER_OF_SESSION), 1)


@pytest.mark.parametrize("happened", [c.CheckoutOrderPlaced, c.CheckoutPaymentStarted, c.CheckoutSessionCompleted])
def test_the_rest_has_no_effect_outside(happened: type[Event]) -> None:
    before = CREATED if happened is c.CheckoutOrderPlaced else PLACED
    assert rows(checkout_outbox.intents, *before, event(happened)) == []


@pytest.mark.parametrize("happened", [o.PaymentCaptured, o.PaymentAuthorized])
def test_money_of_the_order_is_a_reason_to_look_and_so_is_its_end(happened: type[Event]) -> None:
    assert [told(row) for row in rows(outbox.intents, *OF_SESSION, event(happened))] == [SETTLE]
    cancelled = (OF_SESSION[0], event(o.OrderCancelled))
    assert [told(row) for row in rows(outbox.intents, *cancelled)] == [SETTLE]


def test_orders_of_no_checkout_cause_nothing_of_the_kind() -> None:
    history = (event(o.OrderCreated), event(o.PaymentStarted), event(o.PaymentCaptured))
    assert rows(outbox.intents, *history) == []
