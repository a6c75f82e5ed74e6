"""Hosted checkout in the gauntlet: its customers, and what must hold of every session once all is settled."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp
import psycopg

from tests.gauntlet.client import Answer, Client
from tests.gauntlet.shop import Shop

PATIENCE_S: Final = 90.0
ATTEMPT_TIMEOUT_S: Final = 15.0
AGAIN_S: Final = 0.1
AMOUNT_MAX: Final = 50_000
SERVER_ERRORS: Final = 500
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_ATTEMPT: Final = re.compile(rb'name="attempt" value="([0-9]+)"')

_SESSIONS: Final = """
SELECT s.id::text, s.status, s.amount, s.currency, s.order_id::text, o.status, o.amount, o.currency, o.amount_captured,
    (SELECT coalesce(array_agg(e.type ORDER BY e.position), '{}') FROM public_events e
        WHERE e.stream_id IN (s.id, s.order_id) AND e.type LIKE 'checkout.%%'),
    (SELECT min(e.notification_id) FROM stored_events e
        WHERE e.originator_id = s.id AND e.topic = 'checkout_session.expired.v1'),
    (SELECT max(e.notification_id) FROM stored_events e
        WHERE e.originator_id = s.order_id AND e.topic = 'order.payment_started.v1')
FROM checkout_sessions s LEFT JOIN orders o ON o.id = s.order_id
WHERE s.merchant_id = %(merchant)s
"""
_ORDERS: Final = "SELECT count(*) FROM orders WHERE merchant_id = %(merchant)s"
_TOLD: Final[Mapping[str, tuple[list[str], ...]]] = {
    "open": ([],),
    "complete": (["checkout.completed"], ["checkout.expired", "checkout.completed"]),
    "expired": (["checkout.expired"],),
}
"""What the merchant is told of a session, in order, by where it ended."""


@dataclass
class Checkout:
    """A session as its customers have it: an address."""

    shop: Shop
    id: str
    path: str
    amount: int
    currency: str

    async def read(self) -> dict[str, Any]:
        """As the merchant sees it."""
        found: dict[str, Any] = (await self.shop.api.ask("GET", f"/v1/checkout/sessions/{self.id}")).body
        return found

    async def expire(self) -> Answer:
        return await self.shop.api.once("POST", f"/v1/checkout/sessions/{self.id}/expire", {})

    def customer(self, http: aiohttp.ClientSession | None = None) -> Client:
        """Somebody with the address and no credential."""
        return Client(http or self.shop.api.http, self.shop.api.base_url)

    async def page(self, place: str = "") -> Answer:
        return await self.customer().once("GET", f"{self.path}{place}")

    async def press(
        self,
        fields: Mapping[str, str] | None = None,
        *,
        http: aiohttp.ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """What the button sends, with these ``fields`` instead and beside. Raises aiohttp.ClientError, TimeoutError."""
        form = {"attempt": "1", "processor": "stripe", "token": "pm_card_visa", **(fields or {})}
        return await self.customer(http).once(
            "POST", f"{self.path}/pay", raw=urlencode(form).encode(), headers={**FORM, **(headers or {})}
        )

    async def press_until_answered(self, http: aiohttp.ClientSession) -> Answer:
        """As a customer whose browser says that the connection was lost: the same form again. Raises AssertionError."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    answer = await self.press(http=http)
            except (aiohttp.ClientError, OSError, TimeoutError):
                answer = None
            if answer is not None and answer.status < SERVER_ERRORS:
                return answer
            await asyncio.sleep(AGAIN_S)
        raise AssertionError(f"no answer to a press on {self.id} in {PATIENCE_S:g} s")

    async def next_attempt(self) -> str | None:
        """The attempt that the page's form would begin, None when it has no form."""
        found = _ATTEMPT.search((await self.page()).raw)
        return None if found is None else found[1].decode()

    async def payments(self) -> list[dict[str, Any]]:
        """What was asked of the processor for its order."""
        order_id = (await self.read())["orderId"]
        ledger = await self.shop.ledger()
        return [each for each in ledger["payments"] if each["metadata"].get("order_id") == order_id]


async def checkout(shop: Shop, rng: random.Random, **fields: Any) -> Checkout:
    """A new session of the shop. Raises AssertionError."""
    body = {
        "amount": rng.randint(100, AMOUNT_MAX),
        "currency": "USD",
        "successUrl": "https://shop.example/thanks?session={SESSION_ID}",
        "cancelUrl": "https://shop.example/cart",
        **fields,
    }
    answer = await shop.api.ask("POST", "/v1/checkout/sessions", body)
    if answer.status != 201:
        raise AssertionError(f"a session was answered {answer.status}: {answer.raw!r}")
    made = answer.body
    return Checkout(shop, made["id"], urlsplit(made["url"]).path, body["amount"], body["currency"])


def check_sessions(shop: Shop) -> str:
    """What must hold of each session of a shop that sells by checkout alone; call it after ``check``.

    Raises AssertionError.
    """
    wanted = {"merchant": shop.merchant_id}
    with psycopg.connect(shop.service.owner_dsn, autocommit=True) as connection:
        sessions = [_Session(*row) for row in connection.execute(_SESSIONS, wanted)]
        (orders,) = connection.execute(_ORDERS, wanted).fetchone() or (0,)
    problems = [problem for session in sessions for problem in session.problems()]
    placed = sum(session.order_id is not None for session in sessions)
    if placed != orders:
        problems.append(f"{placed} sessions have an order, and there are {orders} orders")
    if problems:
        raise AssertionError("\n".join(problems[:30]))
    ends = Counter(session.end for session in sessions)
    return f"{len(sessions)} sessions: {', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}"


@dataclass
class _Session:
    """A row of _SESSIONS: the session, its order, what was told of it, and two places in the log."""

    id: str
    status: str
    amount: int
    currency: str
    order_id: str | None
    order_status: str | None
    order_amount: int | None
    order_currency: str | None
    captured: int | None
    told: list[str]
    expired_at: int | None
    paid_at: int | None

    @property
    def end(self) -> str:
        return f"{self.status} late" if len(self.told) > 1 else self.status

    def problems(self) -> list[str]:
        problems: list[str] = []
        name = f"session {self.id} ({self.status}, order {self.order_status})"
        asked, ordered = (self.amount, self.currency), (self.order_amount, self.order_currency)
        if self.order_id is not None and ordered != asked:
            problems.append(f"{name} is over {asked}, its order over {ordered}")
        if (self.captured or 0) != (self.amount if self.status == "complete" else 0):
            problems.append(f"{name} is over {asked}, captured {self.captured}")
        if self.told not in _TOLD[self.status]:
            problems.append(f"{name}: the merchant was told {self.told}")
        if self.expired_at is not None and self.paid_at is not None and self.paid_at > self.expired_at:
            problems.append(f"{name}: a payment began at {self.paid_at}, after its end at {self.expired_at}")
        return problems
