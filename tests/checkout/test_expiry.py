"""Expiry by itself, and money that comes late: the rule at the top of workflows_bridge/checkout.py."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from payloops.commands.handlers import CommandHandler
from payloops.db import Database
from payloops.events.base import Actor, Meta
from payloops.events.checkout_session import CheckoutSessionCompleted, CheckoutSessionExpired
from payloops.events.checkout_session_state import Complete, order_id_of
from payloops.events.order_state import Captured, Processing, RequiresAction
from payloops.http.app import build_app
from payloops.projections.public_events import PublicEvents
from payloops.sandbox.app import Sandbox
from payloops.values import new_id
from payloops.workflows_bridge.checkout import CheckoutKeeper
from tests.checkout.world import Shop, SlowClock, open_shop, quiet, text_of
from tests.databases import TestDatabase
from tests.replay import assert_replay_equals_tables

DUE_IN_S = 2.0
HALF_AN_HOUR = timedelta(minutes=30)
STRIPE = "sk_test_123456789"


@pytest.fixture
async def late_shop(test_database: TestDatabase, database: Database, sandbox: Sandbox) -> AsyncIterator[Shop]:
    """A shop whose API is so far behind the database's time that its sessions are due in DUE_IN_S."""
    async with open_shop(test_database, sandbox, clock=SlowClock(HALF_AN_HOUR - timedelta(seconds=DUE_IN_S))) as opened:
        yield opened
    await assert_replay_equals_tables(database)


@asynccontextmanager
async def slow_payment(shop: Shop, duration_s: float) -> AsyncIterator[None]:
    fault = {"account": STRIPE, "operation": "payment.create", "mode": "slow", "ms": int(duration_s * 1000), "times": 1}
    await shop.control("POST", "/faults", fault)
    yield


async def types(shop: Shop, session: Any) -> list[str]:
    return [event_type for event_type, _ in await shop.public_events(session["id"])]


async def test_a_session_that_nobody_uses_expires_by_itself(late_shop: Shop) -> None:
    session = await late_shop.session(customerEmail="Ann@shop.example", metadata={"cart": 7})
    assert (await late_shop.read(session["id"]))["status"] == "open"
    await late_shop.until(session["id"], "expired")
    assert (await late_shop.read(session["id"]))["status"] == "expired"
    assert "not made in time" in text_of(await late_shop.page(session["path"]))
    ((event_id, sequence),) = await late_shop.rows(
        "SELECT id, sequence FROM public_events WHERE stream_id = %s", UUID(session["id"])
    )
    events = PublicEvents(late_shop.api.services.checkout_views._database, late_shop.api.services.personal)
    told = await events.get(event_id)
    assert told is not None
    body = orjson.loads(told.body)
    assert (told.type, told.order_id, sequence, body["status"]) == ("checkout.expired", None, 1, None)
    assert (body["amount"], body["currency"]) == (2599, "USD")
    assert body["payload"]["session"]["status"] == "expired"
    assert body["payload"]["session"]["metadata"] == {"cart": 7}
    assert b"Ann@" not in told.body


async def test_a_declined_payment_ends_with_its_session(late_shop: Shop) -> None:
    session = await late_shop.session()
    await late_shop.press_pay(session, token="pm_card_visa_chargeDeclined")
    await late_shop.until(session["id"], "expired")
    await late_shop.until_order(session["id"], "cancelled")
    assert await types(late_shop, session) == [
        "payment.processing",
        "payment.failed",
        "checkout.expired",
        "payment.cancelled",
    ]
    assert "not made in time" in text_of(await late_shop.page(session["path"]))


async def test_a_payment_that_waits_for_its_customer_is_called_off(late_shop: Shop) -> None:
    session = await late_shop.session()
    await late_shop.press_pay(session, token="pm_card_threeDSecure2Required")
    await late_shop.until(session["id"], "expired")
    await late_shop.until_order(session["id"], "cancelled")
    assert [payment["status"] for payment in await late_shop.payments()] == ["canceled"]
    assert (await types(late_shop, session))[-2:] == ["checkout.expired", "payment.cancelled"]


async def test_a_payment_that_is_with_the_processor_is_waited_for(late_shop: Shop) -> None:
    session = await late_shop.session()
    async with slow_payment(late_shop, DUE_IN_S + 1):
        pressed = asyncio.create_task(late_shop.press_pay(session))
        await late_shop.until(session["id"], "expired")
        order = await late_shop.until_order(session["id"], "processing")
        assert isinstance(order, Processing)
        assert "is being processed" in text_of(await late_shop.page(session["path"]))
        await pressed
    state = await late_shop.until(session["id"], "complete")
    assert isinstance(state, Complete)
    assert state.late
    assert [payment["status"] for payment in await late_shop.payments()] == ["succeeded"]
    assert await types(late_shop, session) == [
        "payment.processing",
        "checkout.expired",
        "payment.captured",
        "checkout.completed",
    ]


async def test_money_that_comes_after_all_completes_the_session_late(late_shop: Shop) -> None:
    session = await late_shop.session()
    await late_shop.press_pay(session, token="pm_card_visa_chargeDeclined")
    await late_shop.until_order(session["id"], "cancelled")
    order_id = str(order_id_of(UUID(session["id"])))
    await late_shop.api.captured(order_id, 2599)
    await late_shop.until(session["id"], "complete")
    read = await late_shop.read(session["id"])
    assert (read["status"], read["orderId"]) == ("complete", order_id)
    assert (await types(late_shop, session))[-3:] == ["payment.cancelled", "payment.captured", "checkout.completed"]
    (*_, expired, completed) = await late_shop.history(UUID(session["id"]))
    assert isinstance(expired, CheckoutSessionExpired)
    assert isinstance(completed, CheckoutSessionCompleted)
    assert completed.late
    assert "This is paid" in text_of(await late_shop.page(session["path"]))


async def test_the_merchant_expires_what_waits_for_its_customer(shop: Shop) -> None:
    session = await shop.session()
    await shop.press_pay(session, token="pm_card_threeDSecure2Required")
    (await shop.expire(session["id"])).must(200)
    await shop.until_order(session["id"], "cancelled")
    assert [payment["status"] for payment in await shop.payments()] == ["canceled"]
    await quiet(shop)
    assert (await types(shop, session)).count("checkout.expired") == 1


async def test_all_at_once_it_happens_once(shop: Shop) -> None:
    session = await shop.session()
    await shop.press_pay(session, token="pm_card_threeDSecure2Required")
    order = await shop.until_order(session["id"], "requires_action")
    assert isinstance(order, RequiresAction)
    now = shop.api.services.clock.now() + timedelta(hours=1)

    def meta() -> Meta:
        return Meta(new_id(), Actor("system", "checkout"), "c-1")

    services, session_id = shop.api.services, UUID(session["id"])
    settle = services.settle_checkout
    await asyncio.gather(*(settle(session_id, meta(), now=now) for _ in range(8)))  # type: ignore[call-arg]
    await shop.until_order(session["id"], "cancelled")
    await shop.api.captured(str(order_id_of(session_id)), 2599)
    await asyncio.gather(*(settle(session_id, meta()) for _ in range(8)))
    assert isinstance(await shop.until_order(session["id"], "captured"), Captured)
    await shop.until(session["id"], "complete")
    await quiet(shop)
    names = [type(event).__name__ for event in await shop.history(session_id)]
    assert names.count("CheckoutSessionExpired") == 1
    assert names.count("CheckoutSessionCompleted") == 1
    told = await types(shop, session)
    assert (told.count("checkout.expired"), told.count("checkout.completed")) == (1, 1)


class Interrupted:
    """A handler that lets something happen right after the session was first read."""

    def __init__(self, handler: CommandHandler, deed: Callable[[], Awaitable[object]]) -> None:
        self._handler = handler
        self._deeds = [deed]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    async def load(self, aggregate: Any, stream_id: UUID) -> Any:
        state = await self._handler.load(aggregate, stream_id)
        if aggregate.name == "checkout session" and self._deeds:
            await self._deeds.pop()()
        return state


@pytest.mark.parametrize("asks", ["the merchant", "the time"])
async def test_an_order_that_is_placed_while_its_session_expires_tells_of_it(shop: Shop, asks: str) -> None:
    """Who tells of an expiry depends on whether there is an order: not on whether there was one a moment ago."""
    session = await shop.session()
    services = shop.api.services
    interrupted: Any = Interrupted(
        services.handler, lambda: shop.press_pay(session, token="pm_card_visa_chargeDeclined")
    )
    if asks == "the merchant":
        app = shop.api.server.responder
        shop.api.server.responder = build_app(dataclasses.replace(services, handler=interrupted))
        (await shop.expire(session["id"])).must(200)
        shop.api.server.responder = app
    else:
        keeper = CheckoutKeeper(interrupted, services.orders, services.checkout_sessions, services.clock)
        later = services.clock.now() + timedelta(hours=1)
        await keeper.settle(UUID(session["id"]), Meta(new_id(), Actor("system", "checkout"), "c-1"), now=later)
    await shop.until(session["id"], "expired")
    await shop.until_order(session["id"], "cancelled")
    assert await types(shop, session) == [
        "payment.processing",
        "payment.failed",
        "checkout.expired",
        "payment.cancelled",
    ]


async def test_no_payment_begins_once_its_session_has_expired(test_database: TestDatabase, sandbox: Sandbox) -> None:
    """Also when it expires between the look at the page's state and the payment's first event."""
    async with open_shop(test_database, sandbox, {"PAY_WAIT_S": "0"}, relaying=False) as shop:
        session = await shop.session()
        await shop.press_pay(session)
        order_id = order_id_of(UUID(session["id"]))
        await shop.api.failed(str(order_id))
        before = await shop.history(order_id)
        interrupted: Any = Interrupted(shop.api.services.handler, lambda: shop.expire(session["id"]))
        shop.api.server.responder = build_app(dataclasses.replace(shop.api.services, handler=interrupted))
        answer = await shop.press_pay(session, attempt="2")
        assert answer.status == 303
        await shop.until(session["id"], "expired")
        names = [type(event).__name__ for event in await shop.history(order_id)]
        assert names.count("PaymentStarted") == [type(event).__name__ for event in before].count("PaymentStarted") == 1
