"""A shop that sells through the hosted checkout: the API, a relay and the simulated processors, on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import aiohttp

from payloops.bootstrap.api import services as open_services
from payloops.bootstrap.relaying import relay as open_relay
from payloops.config import Settings
from payloops.crypto import HashingPool
from payloops.events.base import Event
from payloops.events.checkout_session_state import CheckoutSessionState, order_id_of
from payloops.events.order_states import Absent, OrderState, Processing, status
from payloops.http.app import build_app
from payloops.http.server import HttpServer
from payloops.sandbox.app import Sandbox
from payloops.values import Clock
from tests.clock import CLOCK
from tests.databases import TestDatabase
from tests.integration.http.world import SETTINGS, Answer, Api, Merchant

WAIT_S = 60.0
SUCCESS_URL = "https://shop.example/thanks?session={SESSION_ID}&from=checkout"
CANCEL_URL = "https://shop.example/cart?step=1"
STRIPE_ACCOUNT = "sk_test_123456789"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class SlowClock:
    """A clock that is behind, so that what it dates half an hour ahead is due soon by the database's."""

    def __init__(self, behind: timedelta) -> None:
        self._behind = behind
        self._clock = CLOCK

    def now(self) -> datetime:
        return self._clock.now() - self._behind


@dataclass
class Shop:
    """One merchant with both processors."""

    api: Api
    sandbox: Sandbox
    merchant: Merchant
    base_url: str

    # ------------------------------------------------------------------------------------------------ the merchant

    async def session(self, **fields: object) -> Any:
        """A new session: ``{id, url, expiresAt}``."""
        body = {"amount": 2599, "successUrl": SUCCESS_URL, "cancelUrl": CANCEL_URL, **fields}
        made = (await self.api.call("POST", "/v1/checkout/sessions", body, key=self.merchant.api_key)).must(201)
        return {**made, "path": urlsplit(made["url"]).path}

    async def read(self, session_id: str) -> Any:
        """The session as the merchant sees it."""
        answer = await self.api.call("GET", f"/v1/checkout/sessions/{session_id}", key=self.merchant.api_key)
        return answer.must(200)

    async def expire(self, session_id: str, **headers: str) -> Answer:
        return await self.api.call(
            "POST", f"/v1/checkout/sessions/{session_id}/expire", key=self.merchant.api_key, headers=headers
        )

    async def order(self, session_id: str) -> Any:
        return await self.api.order(self.merchant, str(order_id_of(UUID(session_id))))

    async def public_events(self, session_id: str) -> list[tuple[str, int]]:
        """Type and sequence of what the merchant is told of the session and its order."""
        streams = [UUID(session_id), order_id_of(UUID(session_id))]
        sql = "SELECT type, sequence FROM public_events WHERE stream_id = ANY (%s) ORDER BY position"
        return await self.rows(sql, streams)

    async def rows(self, sql: str, *parameters: object) -> list[Any]:
        database = self.api.services.checkout_views._database
        async with database.connection() as connection:
            return await (await connection.execute(sql, parameters)).fetchall()

    # ------------------------------------------------------------------------------------------------ the customer

    async def page(self, path: str) -> Answer:
        return await self.api.call("GET", path)

    async def press_pay(
        self, session: Mapping[str, Any], *, headers: Mapping[str, str] | None = None, **fields: str
    ) -> Answer:
        """What the page's form sends."""
        form = {"attempt": "1", "processor": "stripe", "token": "pm_card_visa", **fields}
        data = urlencode({name: value for name, value in form.items() if value}).encode()
        return await self.api.call("POST", f"{session['path']}/pay", data=data, headers={**FORM, **(headers or {})})

    async def authenticate(self, session_id: str, result: str) -> None:
        """The customer's answer on the bank's page."""
        order_id = str(order_id_of(UUID(session_id)))
        ledger = await self.control("GET", f"/ledger?account={STRIPE_ACCOUNT}")
        (payment,) = [one for one in ledger["payments"] if one["metadata"].get("order_id") == order_id]
        await self.control("POST", f"/payments/{payment['id']}/authenticate", {"result": result})

    async def control(self, method: str, path: str, body: object = None) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.sandbox.stripe_url}/_sandbox{path}", json=body) as reply,
        ):
            assert reply.status < 300, await reply.text()
            return await reply.json(content_type=None)

    async def slow_charge(self, duration_s: float) -> None:
        """Stripe takes its time with the next charge."""
        fault = {"account": STRIPE_ACCOUNT, "operation": "payment.create", "mode": "slow", "times": 1}
        await self.control("POST", "/faults", fault | {"ms": int(duration_s * 1000)})

    async def lose_charge(self) -> None:
        """The next charge is made, and Stripe's answer to it is lost, like those to the questions about it."""
        fault = {"account": STRIPE_ACCOUNT, "mode": "reset_after", "times": 1}
        await self.control("POST", "/faults", fault | {"operation": "payment.create", "times": 3})
        await self.control("POST", "/faults", fault | {"operation": "payment.get", "times": 3})

    async def payments(self) -> list[Any]:
        """What the customers paid at Stripe."""
        return list((await self.control("GET", f"/ledger?account={STRIPE_ACCOUNT}"))["payments"])

    # ------------------------------------------------------------------------------------------------- what happens

    async def until(self, session_id: str, *wanted: str) -> CheckoutSessionState:
        """The session once its status is one of these."""
        services = self.api.services

        def there(state: CheckoutSessionState) -> bool:
            return type(state).__name__.lower() in wanted

        state = await services.handler.wait_for(services.checkout_sessions, UUID(session_id), there, timeout_s=WAIT_S)
        assert there(state), f"{type(state).__name__} after {WAIT_S} s, wanted {wanted}"
        return state

    async def until_order(self, session_id: str, *wanted: str) -> OrderState:
        """The session's order once its status is one of these."""
        services = self.api.services

        def there(state: OrderState) -> bool:
            return not isinstance(state, Absent) and status(state) in wanted

        order_id = order_id_of(UUID(session_id))
        state = await services.handler.wait_for(services.orders, order_id, there, timeout_s=WAIT_S)
        assert there(state), f"{type(state).__name__} after {WAIT_S} s, wanted {wanted}"
        return state

    async def until_unknown(self, session_id: str) -> None:
        """Until the outcome of the order's payment is unknown."""
        services = self.api.services

        def there(state: OrderState) -> bool:
            return isinstance(state, Processing) and state.outcome_unknown

        order_id = order_id_of(UUID(session_id))
        state = await services.handler.wait_for(services.orders, order_id, there, timeout_s=WAIT_S)
        assert there(state), f"{type(state).__name__} after {WAIT_S} s"

    async def history(self, stream_id: UUID) -> list[Event]:
        return list(await self.api.services.handler._store.load(stream_id))


def text_of(answer: Answer) -> str:
    """What a page says, without its tags."""
    body = re.sub(r"<(noscript|title)>.*?</\1>", " ", answer.raw.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def refresh_of(answer: Answer) -> str:
    """Where a page sends the browser by itself."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', answer.raw.decode())
    assert found is not None, answer.raw
    return html.unescape(found[1])


@asynccontextmanager
async def open_shop(
    database: TestDatabase,
    sandbox: Sandbox,
    settings: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    relaying: bool = True,
    pages: Mapping[str, str] | None = None,
) -> AsyncIterator[Shop]:
    """A shop with one merchant; ``relaying`` false: nobody carries out what the API asks for.

    ``pages`` are settings of the API alone.
    """
    hashing = HashingPool(secret_cost=4, password_cost=4)
    server = HttpServer(None)  # type: ignore[arg-type]
    port = await server.start("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{port}"
    given = {
        "CHECKOUT_BASE_URL": base_url,
        "STRIPE_API_BASE": sandbox.stripe_url,
        "RAZORPAY_API_BASE": sandbox.razorpay_url,
        "PAY_WAIT_S": "5",
    }
    of_all = {**SETTINGS, **given, **(settings or {})}
    wanted, of_api = (
        Settings.from_env(each).with_database(database.app_dsn, database.owner_dsn)
        for each in (of_all, {**of_all, **(pages or {})})
    )
    try:
        async with open_services(of_api, clock=clock or CLOCK) as made:
            services = dataclasses.replace(made, hashing=hashing)
            server.responder = build_app(services)
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                api = Api(services, server, port, session)
                shop = Shop(api, sandbox, await _merchant(api), base_url)
                if relaying:
                    async with open_relay(wanted, clock=CLOCK):
                        yield shop
                else:
                    yield shop
            services.stopping.set()
            await server.stop(grace_s=0.5)
    finally:
        hashing.close()


async def _merchant(api: Api) -> Merchant:
    merchant = await api.merchant()
    await api.with_stripe(merchant)
    body = {"credentials": {"keyId": "rzp_test_checkout", "keySecret": "secret"}, "priority": 2}
    (await api.call("POST", "/api/processors/razorpay", body, token=merchant.token)).must(200)
    return merchant


async def quiet(shop: Shop) -> None:
    """Nothing is due or in hand any more."""
    sql = "SELECT seq FROM outbox WHERE parked_at IS NULL AND (due_at <= now() OR lease_until > now())"
    async with asyncio.timeout(WAIT_S):
        while await shop.rows(sql):
            await asyncio.sleep(0.02)
