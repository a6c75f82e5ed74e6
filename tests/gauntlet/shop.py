"""A merchant of the gauntlet: signs up, makes orders, pays, captures and refunds, by chance from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.gauntlet.client import Answer, Client, new_session
from tests.gauntlet.hooks import Hook
from tests.gauntlet.service import Service

OUTCOME_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
AMOUNT_MAX: Final = 50_000
DECLINED_SHARE: Final = 0.08
MANUAL_SHARE: Final = 0.3
CANCELLED_SHARE: Final = 0.2
UNPAID_SHARE: Final = 0.05


@dataclass
class Shop:
    """A merchant with an API key and Stripe configured. ``account`` is its secret key at the sandbox."""

    service: Service
    api: Client
    dashboard: Client
    merchant_id: str
    account: str
    password: str = field(default="", repr=False)
    orders_made: int = 0
    other_accounts: list[str] = field(default_factory=list)
    """At other processors, where it has payments too."""
    hooks: list[Hook] = field(default_factory=list)
    """Its webhook endpoints that must have been told everything, once all is settled."""

    async def order(self, rng: random.Random, **fields: Any) -> dict[str, Any]:
        body = {"amount": rng.randint(100, AMOUNT_MAX), "currency": "USD", **fields}
        answer = await self.api.ask("POST", "/v1/orders", body, key=_key(rng))
        if answer.status != 201:
            raise AssertionError(f"an order was answered {answer.status}: {answer.raw!r}")
        self.orders_made += 1
        made: dict[str, Any] = answer.body
        return made

    async def write(self, order_id: str, what: str, body: Any = None, *, rng: random.Random) -> Answer:
        """pay, capture, cancel or refund."""
        return await self.api.ask("POST", f"/v1/orders/{order_id}/{what}", body or {}, key=_key(rng))

    async def pay(self, order_id: str, token: str = "pm_card_visa", *, rng: random.Random) -> Answer:
        return await self.write(order_id, "pay", {"paymentMethod": {"type": "card", "token": token}}, rng=rng)

    async def get(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.api.ask("GET", f"/v1/orders/{order_id}")).body
        return found

    async def settled(self, order_id: str, *, within_s: float = OUTCOME_WITHIN_S) -> dict[str, Any]:
        """The order once its payment left ``processing``."""
        deadline_s = time.monotonic() + within_s
        while True:
            order = await self.get(order_id)
            if order["status"] != "processing":
                return order
            if time.monotonic() > deadline_s:
                raise AssertionError(f"order {order_id} is still processing after {within_s:g} s: {order}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def paid_order(self, rng: random.Random, amount: int | None = None, **fields: Any) -> dict[str, Any]:
        """An order that was captured."""
        given = fields if amount is None else {"amount": amount, **fields}
        order = await self.order(rng, **given)
        await self.pay(order["id"], rng=rng)
        paid = await self.settled(order["id"])
        if paid["status"] != "captured":
            raise AssertionError(f"a payment ended as {paid}")
        return paid

    async def story(self, rng: random.Random) -> None:
        """One order's life, chosen by ``rng`` alone."""
        manual = rng.random() < MANUAL_SHARE
        order = await self.order(rng, captureMethod="manual" if manual else "automatic")
        order_id = order["id"]
        if rng.random() < UNPAID_SHARE:
            return
        if rng.random() < DECLINED_SHARE:
            await self.pay(order_id, "pm_card_visa_chargeDeclined", rng=rng)
            await self.settled(order_id)
        await self.pay(order_id, rng=rng)
        order = await self.settled(order_id)
        if order["status"] == "authorized":
            if rng.random() < CANCELLED_SHARE:
                await self.write(order_id, "cancel", rng=rng)
                return
            taken = rng.randint(1, order["amount"])
            await self.write(order_id, "capture", {"amount": taken}, rng=rng)
            order = await self.get(order_id)
        await self._refunds(order, rng)

    async def _refunds(self, order: dict[str, Any], rng: random.Random) -> None:
        bodies: list[dict[str, Any]] = []
        for _ in range(rng.randint(0, 3)):
            amount = rng.randint(1, max(1, order["amount"] // 2))
            bodies.append({"amount": amount, "reason": "gauntlet"} if rng.random() < 0.8 else {})
        # Said at once: some of them lose to the others, and then are refused.
        keys = [_key(rng) for _ in bodies]
        path = f"/v1/orders/{order['id']}/refund"
        await asyncio.gather(
            *(self.api.ask("POST", path, body, key=key) for body, key in zip(bodies, keys, strict=True))
        )

    async def ledger(self) -> dict[str, Any]:
        """What the processors hold of this merchant."""
        found = await self._ledger_of(self.account)
        for account in self.other_accounts:
            more = await self._ledger_of(account)
            found["payments"] += more["payments"]
            found["refunds"] += more["refunds"]
        return found

    async def _ledger_of(self, account: str) -> dict[str, Any]:
        async with self.api.http.get(
            f"{self.service.sandbox_url}/_sandbox/ledger", params={"account": account}
        ) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def fault(self, operation: str, mode: str, times: int = 1, **more: Any) -> None:
        """Arm a fault at the processor."""
        body = {"account": self.account, "operation": operation, "mode": mode, "times": times, **more}
        async with self.api.http.post(f"{self.service.sandbox_url}/_sandbox/faults", json=body) as answer:
            if answer.status != 201:
                raise AssertionError(await answer.text())

    async def act(self, payment_id: str, what: str, body: Any = None) -> None:
        """What a customer or the merchant does at the processor itself."""
        url = f"{self.service.sandbox_url}/_sandbox/payments/{payment_id}/{what}"
        async with self.api.http.post(url, json=body or {}) as answer:
            if answer.status != 200:
                raise AssertionError(await answer.text())


@contextlib.asynccontextmanager
async def opened(service: Service) -> AsyncIterator[Shop]:
    """A new merchant of a running service."""
    async with new_session() as http:
        yield await open_shop(service, Client(http, service.base_url))


async def open_shop(service: Service, anonymous: Client) -> Shop:
    """A new merchant, over the connections of a client."""
    email = f"shop-x{secrets.token_hex(8)}@example.com"
    password = secrets.token_urlsafe(12)
    told = {"name": "Gauntlet", "email": email, "password": password}
    from_here = {"X-Forwarded-For": f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"}
    arriving = Client(anonymous.http, service.base_url, from_here)
    registered = (await _expect(arriving, 201, "POST", "/api/auth/register", told)).body
    token = {"Authorization": f"Bearer {registered['token']}", **from_here}
    dashboard = Client(anonymous.http, service.base_url, token)
    made = (await _expect(dashboard, 201, "POST", "/api/api-keys", {"name": "gauntlet"})).body
    account = f"sk_test_{secrets.token_hex(12)}"
    await _expect(dashboard, 200, "POST", "/api/processors/stripe", {"credentials": {"secretKey": account}})
    api = Client(anonymous.http, service.base_url, {"X-API-Key": made["secret"]})
    return Shop(service, api, dashboard, registered["merchant"]["id"], account, password)


async def _expect(client: Client, status: int, method: str, path: str, body: Any) -> Answer:
    answer = await client.ask(method, path, body)
    if answer.status != status:
        raise AssertionError(f"{method} {path} was answered {answer.status}: {answer.raw!r}")
    return answer


def _key(rng: random.Random) -> str:
    return f"key-{rng.getrandbits(96):024x}"


@contextlib.asynccontextmanager
async def under_load(shop: Shop, rng: random.Random, *, workers: int = 4) -> AsyncIterator[None]:
    """Stories go on, several at once, for the length of the block; those begun are told to their end."""
    ending = asyncio.Event()

    async def work(own: random.Random) -> None:
        while not ending.is_set():
            await shop.story(own)

    tasks = [asyncio.create_task(work(random.Random(rng.getrandbits(64)))) for _ in range(workers)]
    try:
        yield
        ending.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
