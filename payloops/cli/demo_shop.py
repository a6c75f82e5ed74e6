"""The demo's merchant: an account, an API key, both processors, and what it did so far."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import httpx

from payloops.cli.demo_receiver import Receiver
from payloops.cli.demo_story import Story
from payloops.client import AsyncDashboard, AsyncPayLoops
from payloops.client.models import Order, Payment

OUTCOME_TIMEOUT_S: Final = 40
_ASK_EVERY_S: Final = 0.1
_BEGAN: Final = "began"

SHOWN: Final = (
    ("POST /api/auth/register", ("token",)),
    ("POST /api/api-keys", ("secret",)),
    ("POST /api/webhook-endpoints", ("url", "eventTypes", "enabled", "secret")),
    ("POST /api/processors/*", ("processor", "enabled", "priority", "testMode")),
    ("POST /v1/orders", ("id", "amount", "currency", "status")),
    ("POST /v1/orders/*/pay", ("status", "processor", "workflowId", "redirectUrl")),
    ("POST /v1/orders/*/capture", ("id", "status", "amount", "amountCaptured")),
    ("POST /v1/orders/*/cancel", ("id", "status")),
    ("POST /v1/orders/*/refund", ("refundId", "amount", "status")),
    ("GET /v1/checkout/sessions/*", ("status", "amount", "currency", "orderId", "completedAt")),
)
"""What of a call's answer the story is about; all of it, where a call is not named."""


class DemoFailed(Exception):
    """An answer was not what the story tells."""


class Shop:
    """``client`` is the merchant's server, and every call of it is told; ``quiet`` is the same, and nothing is told."""

    def __init__(self, base_url: str, sandbox_url: str, story: Story, receiver: Receiver) -> None:
        self.base_url = base_url
        self.sandbox_url = sandbox_url
        self.story = story
        self.receiver = receiver
        self.stripe_account = f"sk_test_{secrets.token_hex(12)}"
        self.orders: list[tuple[str, str]] = []
        """What each was for, and its id."""
        self.client: AsyncPayLoops
        self.quiet: AsyncPayLoops
        self.browser: httpx.AsyncClient
        """The customer's; it follows no redirect by itself."""
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.browser = await self._opened.enter_async_context(httpx.AsyncClient(timeout=60))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def open(self) -> None:
        """Register, make a key, say where webhooks go, configure the processors."""
        story = self.story
        story.chapter("A merchant signs up, makes an API key, says where webhooks go and configures its processors")
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._tell_request], "response": [self._tell_answer]}
        told = await self._opened.enter_async_context(httpx.AsyncClient(event_hooks=hooks))
        dashboard = await AsyncDashboard.register(
            name="Demo Shop",
            email=f"demo-{secrets.token_hex(4)}@example.com",
            password=secrets.token_urlsafe(12),
            base_url=self.base_url,
            http_client=told,
        )
        key = await dashboard.api_keys.create("demo")
        self.client = AsyncPayLoops(key.secret, base_url=self.base_url, http_client=told)
        self.quiet = AsyncPayLoops(key.secret, base_url=self.base_url)
        self._opened.push_async_callback(self.quiet.aclose)
        self.receiver.secret = (await dashboard.webhook_endpoints.create(self.receiver.url)).secret
        stripe = await dashboard.processors.configure_stripe(secret_key=self.stripe_account, priority=1)
        story.say(f"Stripe's webhooks need no clicks: {stripe.webhook.status} at {stripe.webhook.url}")
        await dashboard.processors.configure_razorpay(
            key_id=f"rzp_test_x{secrets.token_hex(7)}", key_secret=secrets.token_hex(12), priority=2
        )

    async def order(self, what: str, amount: int, **options: Any) -> str:
        """Create an order and remember it for the ledger."""
        order = await self.client.orders.create(amount, **options)
        self.orders.append((what, order.id))
        return order.id

    async def pay(self, order_id: str, token: str) -> Payment:
        """Pay with a test token."""
        return await self.client.orders.pay(order_id, token=token)

    async def until(self, order_id: str, *statuses: str) -> Order:
        """Ask for the order until it has one of the statuses."""
        deadline = time.monotonic() + OUTCOME_TIMEOUT_S
        while True:
            order = await self.quiet.orders.get(order_id)
            if order.status in statuses:
                return order
            if time.monotonic() > deadline:
                raise DemoFailed(f"order {order_id} is {order.status}, not {' or '.join(statuses)}")
            await asyncio.sleep(_ASK_EVERY_S)

    async def timeline(self, order_id: str) -> None:
        """Print the order's events."""
        page = await self.quiet.orders.events(order_id, limit=50).first_page()
        self.story.timeline(sorted(page.data, key=lambda entry: entry.stream_version))

    async def webhooks(self, order_id: str, status: str, event_type: str | None = None) -> None:
        """Print the order's webhooks, once the one has come that tells of that status, and is of that type."""
        try:
            came = await self.receiver.until(order_id, status, event_type, within_s=OUTCOME_TIMEOUT_S)
        except TimeoutError:
            what = f"that {order_id} is {status}" if event_type is None else f"of {event_type} of {order_id}"
            raise DemoFailed(f"within {OUTCOME_TIMEOUT_S} s no webhook told {what}") from None
        self.story.webhooks(came)

    # ------------------------------------------------------------------------------------------------------- telling

    async def _tell_request(self, request: httpx.Request) -> None:
        body = json.loads(request.content) if request.content else None
        self.story.call(request.method, request.url.raw_path.decode(), body)
        request.extensions[_BEGAN] = time.monotonic()

    async def _tell_answer(self, response: httpx.Response) -> None:
        raw = await response.aread()
        request = response.request
        took_ms = (time.monotonic() - request.extensions[_BEGAN]) * 1000
        call = f"{request.method} {request.url.path}"
        named = next((fields for pattern, fields in SHOWN if fnmatch.fnmatchcase(call, pattern)), ())
        fields = named if response.is_success else ()
        self.story.answer(response.status_code, json.loads(raw) if raw else None, fields, took_ms)
