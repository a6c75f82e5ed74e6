"""Handlers as processes of their own have them, and commands with little to say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from payloops.commands import aggregates
from payloops.commands import merchant as merchants
from payloops.commands import order as orders
from payloops.commands.handlers import CommandHandler, Executed, Guard
from payloops.commands.idempotency import IdempotencyKey, Response, ResponseKeeper
from payloops.crypto import KeyRing
from payloops.events.base import Actor, Event, Meta, Sealed
from payloops.events.merchant_state import Registered
from payloops.events.order_state import OrderState
from payloops.events.store import EventStore
from payloops.projections.merchants import API_KEYS, MERCHANTS, PROCESSOR_CONFIGS
from payloops.projections.order_stats import ORDER_STATS
from payloops.projections.orders import ORDERS
from payloops.projections.public_events import PUBLIC_EVENTS
from payloops.projections.refunds import REFUNDS
from payloops.projections.transactions import TRANSACTIONS
from payloops.values import new_id
from payloops.workflows_bridge.outbox import OUTBOX
from tests.clock import CLOCK
from tests.integration.store.opening import opened

RING = KeyRing.from_setting("a secret of at least thirty-two characters")
ORDER = aggregates.orders(ORDERS, TRANSACTIONS, REFUNDS, ORDER_STATS, PUBLIC_EVENTS, OUTBOX)
MERCHANT = aggregates.merchants(MERCHANTS, API_KEYS, PROCESSOR_CONFIGS)
STRIPE = (orders.ProcessorOption("stripe", enabled=True, priority=1, test_mode=True),)


def said_by(actor: str = "test") -> dict[str, Any]:
    """The fields that every command has beside its stream."""
    return {"now": CLOCK.now(), "meta": Meta(new_id(), Actor("system", actor), "correlation")}


def create_order(merchant_id: UUID, order_id: UUID, amount: int = 1000, **fields: Any) -> orders.CreateOrder:
    given: dict[str, Any] = {"test_mode": True, "currency": "USD", "external_id": "x"} | fields
    return orders.CreateOrder(order_id=order_id, merchant_id=merchant_id, amount=amount, **said_by(), **given)


def pay(order_id: UUID, token: str = "pm_card_visa") -> orders.StartPayment:
    return orders.StartPayment(order_id=order_id, options=STRIPE, payment_method_token=token, **said_by())


def rename(merchant_id: UUID, name: str | None = None) -> merchants.ChangeProfile:
    """A command that a merchant can always take."""
    return merchants.ChangeProfile(merchant_id=merchant_id, name=name or str(new_id()), **said_by())


def key(merchant_id: UUID, name: str = "key", body: Any = None, *, flight_s: int | None = None) -> IdempotencyKey:
    return IdempotencyKey.of(merchant_id, "POST", "/v1/things", name, body, flight_s=flight_s)


def respond(state: Any, events: Sequence[Event]) -> Response:
    """An answer that tells its request from every other."""
    return Response(200, orjson.dumps({"answer": new_id(), "events": len(events), "state": type(state).__name__}))


@dataclass
class Process:
    """A handler over a store of its own."""

    store: EventStore
    handler: CommandHandler = field(init=False)

    def __post_init__(self) -> None:
        self.handler = CommandHandler(self.store, ResponseKeeper(RING))

    async def merchant(self) -> Guard:
        """A new account with an API key."""
        merchant_id, key_id = new_id(), new_id()
        register = merchants.RegisterMerchant(
            merchant_id=merchant_id,
            name="Shop",
            email=Sealed("p1.sealed"),
            email_digest=str(merchant_id),
            password_hash=Sealed("v1.sealed"),
            **said_by(),
        )
        claim = f"email:{merchant_id}"
        await self.handler.execute(MERCHANT, merchant_id, register, new=True, claim=claim)
        await self.handler.execute(MERCHANT, merchant_id, create_key(merchant_id, key_id))
        return Guard(merchant_id, key_id)

    async def order(self, guard: Guard, amount: int = 1000, **fields: Any) -> UUID:
        """A new order of that merchant's."""
        order_id = new_id()
        command = create_order(guard.merchant_id, order_id, amount, **fields)
        await self.handler.execute(ORDER, order_id, command, guard=guard, new=True)
        return order_id

    async def state(self, order_id: UUID) -> OrderState:
        """The order as the log has it."""
        return await self.handler.load(ORDER, order_id)

    async def account(self, merchant_id: UUID) -> Registered:
        """The merchant as the log has it."""
        state = await self.handler.load(MERCHANT, merchant_id)
        assert isinstance(state, Registered)
        return state

    async def do(self, order_id: UUID, command: Any, **how: Any) -> Executed[OrderState]:
        return await self.handler.execute(ORDER, order_id, command, **how)


def create_key(merchant_id: UUID, key_id: UUID) -> merchants.CreateApiKey:
    return merchants.CreateApiKey(
        merchant_id=merchant_id,
        key_id=key_id,
        public_id=str(key_id),
        prefix="sk_test",
        name="key",
        secret_hash=Sealed("v1.sealed"),
        live=False,
        **said_by(),
    )


@contextlib.asynccontextmanager
async def process(dsn: str, *, listen: bool = False) -> AsyncIterator[Process]:
    async with opened(dsn, listen=listen) as store:
        yield Process(store)
