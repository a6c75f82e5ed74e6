"""``payloops demo``: start everything, take real payments over HTTP, show what happened, stop.

It knows only what a merchant knows: the HTTP API, and the sandbox's control page that stands for the customer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from payloops.cli.demo_story import Story
from payloops.config import Settings

START_TIMEOUT_S: Final = 60
OUTCOME_TIMEOUT_S: Final = 40
STOP_TIMEOUT_S: Final = 15

ORDER_FIELDS: Final = ("id", "amount", "currency", "status")


class DemoFailed(Exception):
    """An answer was not what the story tells."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments: none."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - every command has them
    """Run the demo. Returns the exit status: 0 when every step went as told."""
    try:
        return asyncio.run(_demo(settings))
    except DemoFailed as problem:
        print(f"demo failed: {problem}", file=sys.stderr)
        return 1


async def _demo(settings: Settings) -> int:
    began = time.monotonic()
    async with _everything_up() as base_url:
        story = Story()
        story.say(f"Everything is up at {base_url} after {time.monotonic() - began:.1f} s.")
        sandbox_url = f"http://{settings.host}:{settings.sandbox_port}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            shop = Shop(http, base_url, sandbox_url, story)
            await shop.open()
            await take_payment(shop)
            await declined_payment(shop)
            await three_d_secure(shop)
            await manual_capture(shop)
            await refunds(shop)
            await compare_ledgers(shop)
        story.say("")
        story.good(f"done in {time.monotonic() - began:.1f} s; now stopping everything")
    return 0


@asynccontextmanager
async def _everything_up() -> AsyncIterator[str]:
    """``payloops up`` as a child for the length of the block; gives its base URL."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "payloops",
        "up",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "LOG_LEVEL": "warning"},
    )
    try:
        yield await asyncio.wait_for(_ready_url(child), START_TIMEOUT_S)
    except TimeoutError:
        raise DemoFailed(f"the service was not ready after {START_TIMEOUT_S} s") from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _ready_url(child: asyncio.subprocess.Process) -> str:
    if child.stdout is None:
        raise DemoFailed("the service's output is not readable")
    while line := (await child.stdout.readline()).decode().strip():
        if line.startswith("ready "):
            # What it prints from now on must not fill the pipe.
            child_output = asyncio.create_task(child.stdout.read())
            child_output.add_done_callback(lambda task: task.cancelled() or task.exception())
            return line.removeprefix("ready ")
    raise DemoFailed(f"the service stopped before it was ready (exit status {await child.wait()})")


@dataclass
class Shop:
    """A merchant with an API key and both processors configured, and what it did so far."""

    http: aiohttp.ClientSession
    base_url: str
    sandbox_url: str
    story: Story
    api_key: str = ""
    token: str = ""
    stripe_account: str = ""
    orders: list[tuple[str, str]] | None = None

    async def open(self) -> None:
        """Register, make a key, configure the processors."""
        story = self.story
        story.chapter("A merchant signs up, makes an API key and configures its processors")
        email = f"demo-{secrets.token_hex(4)}@example.com"
        registered = await self.ask(
            "POST",
            "/api/auth/register",
            {"name": "Demo Shop", "email": email, "password": secrets.token_urlsafe(12)},
            expect=201,
            show=("token",),
        )
        self.token = registered["token"]
        key = await self.ask("POST", "/api/api-keys", {"name": "demo"}, expect=201, show=("secret",))
        self.api_key = key["secret"]
        self.stripe_account = f"sk_test_{secrets.token_hex(12)}"
        await self.ask(
            "POST",
            "/api/processors/stripe",
            {"credentials": {"secretKey": self.stripe_account}, "priority": 1},
            show=("processor", "enabled", "priority", "testMode"),
        )
        await self.ask(
            "POST",
            "/api/processors/razorpay",
            {
                "credentials": {"keyId": f"rzp_test_{secrets.token_hex(7)}", "keySecret": secrets.token_hex(12)},
                "priority": 2,
            },
            show=("processor", "enabled", "priority", "testMode"),
        )
        self.orders = []

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        expect: int = 200,
        show: tuple[str, ...] = (),
        quiet: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One call of our API with the right credential. Raises DemoFailed for another status than ``expect``."""
        credential = (
            {"X-API-Key": self.api_key} if path.startswith("/v1/") else {"Authorization": f"Bearer {self.token}"}
        )
        if not quiet:
            self.story.call(method, path, body)
        began = time.monotonic()
        async with self.http.request(
            method, self.base_url + path, json=body, headers={**credential, **(headers or {})}
        ) as response:
            answer = await response.json() if response.status != HTTPStatus.NO_CONTENT else None
        if not quiet:
            self.story.answer(
                response.status,
                answer,
                show if response.status < HTTPStatus.BAD_REQUEST else (),
                (time.monotonic() - began) * 1000,
            )
        if response.status != expect:
            raise DemoFailed(f"{method} {path} answered {response.status}, not {expect}: {answer}")
        return answer

    async def order(self, what: str, amount: int, **options: Any) -> str:
        """Create an order and remember it for the ledger."""
        order = await self.ask("POST", "/v1/orders", {"amount": amount, **options}, expect=201, show=ORDER_FIELDS)
        if self.orders is not None:
            self.orders.append((what, order["id"]))
        return str(order["id"])

    async def pay(self, order_id: str, token: str, **options: Any) -> dict[str, Any]:
        """Pay with a test token."""
        paid: dict[str, Any] = await self.ask(
            "POST",
            f"/v1/orders/{order_id}/pay",
            {"paymentMethod": {"type": "card", "token": token}, **options},
            show=("status", "processor", "workflowId", "redirectUrl"),
        )
        return paid

    async def until(self, order_id: str, *statuses: str) -> dict[str, Any]:
        """Ask for the order until it has one of the statuses."""
        deadline = time.monotonic() + OUTCOME_TIMEOUT_S
        while True:
            order: dict[str, Any] = await self.ask("GET", f"/v1/orders/{order_id}", quiet=True)
            if order["status"] in statuses:
                return order
            if time.monotonic() > deadline:
                raise DemoFailed(f"order {order_id} is {order['status']}, not {' or '.join(statuses)}")
            await asyncio.sleep(0.1)

    async def timeline(self, order_id: str) -> None:
        """Print the order's events."""
        trail = await self.ask("GET", f"/v1/orders/{order_id}/events?limit=50", quiet=True)
        self.story.timeline(sorted(trail["data"], key=lambda entry: entry["streamVersion"]))

    async def customer_authenticates(self, payment_id: str) -> None:
        """The customer passes the bank's 3-D Secure page."""
        path = f"/_sandbox/payments/{payment_id}/authenticate"
        self.story.call("POST", f"(sandbox) {path}", {"result": "succeed"})
        async with self.http.post(self.sandbox_url + path, json={"result": "succeed"}) as response:
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise DemoFailed(f"the sandbox answered {response.status}: {await response.text()}")

    async def ledger(self) -> dict[str, Any]:
        """The processor's own books."""
        async with self.http.get(
            f"{self.sandbox_url}/_sandbox/ledger", params={"account": self.stripe_account}
        ) as response:
            books: dict[str, Any] = await response.json()
            return books


async def take_payment(shop: Shop) -> None:
    """A card that simply works."""
    shop.story.chapter("A payment")
    order_id = await shop.order("a payment", 2599, currency="USD", description="Two tickets")
    await shop.pay(order_id, "pm_card_visa")
    order = await shop.until(order_id, "captured")
    await shop.timeline(order_id)
    shop.story.good(f"captured {order['amountCaptured']} {order['currency']} (minor units)")


async def declined_payment(shop: Shop) -> None:
    """A card without the money, then another one."""
    shop.story.chapter("A declined payment, and a second try with another card")
    order_id = await shop.order("declined, then paid", 4200, currency="EUR")
    await shop.pay(order_id, "pm_card_visa_chargeDeclinedInsufficientFunds")
    failed = await shop.until(order_id, "failed")
    failure = failed["failure"]
    shop.story.good(f"failed: {failure['code']} / {failure['declineCode']}: {failure['message']}")
    await shop.pay(order_id, "pm_card_visa")
    await shop.until(order_id, "captured")
    await shop.timeline(order_id)


async def three_d_secure(shop: Shop) -> None:
    """A card whose bank wants to see the customer."""
    shop.story.chapter("A payment with 3-D Secure")
    order_id = await shop.order("3-D Secure", 9900, currency="GBP", returnUrl="https://shop.example/thanks")
    await shop.pay(order_id, "pm_card_authenticationRequired")
    order = await shop.until(order_id, "requires_action")
    shop.story.say("The customer is sent to the bank's page and answers it:")
    await shop.customer_authenticates(order["processorOrderId"])
    shop.story.say("Our workflow asks the processor 10 s after the customer left, should no webhook tell it before.")
    await shop.until(order_id, "captured")
    await shop.timeline(order_id)


async def manual_capture(shop: Shop) -> None:
    """Hold now, take a part later, release the rest; and one that is voided."""
    shop.story.chapter("Authorize now, capture less later; and one that is cancelled")
    order_id = await shop.order("authorized, captured in part", 10000, currency="USD", captureMethod="manual")
    await shop.pay(order_id, "pm_card_visa")
    await shop.until(order_id, "authorized")
    await shop.ask(
        "POST", f"/v1/orders/{order_id}/capture", {"amount": 8000}, show=("id", "status", "amount", "amountCaptured")
    )
    await shop.until(order_id, "captured")
    await shop.timeline(order_id)
    voided = await shop.order("authorized, cancelled", 5000, currency="USD", captureMethod="manual")
    await shop.pay(voided, "pm_card_visa")
    await shop.until(voided, "authorized")
    await shop.ask("POST", f"/v1/orders/{voided}/cancel", {"reason": "out of stock"}, show=("id", "status"))
    await shop.until(voided, "cancelled")
    await shop.timeline(voided)


async def refunds(shop: Shop) -> None:
    """A part goes back, then the rest, and not a cent more."""
    shop.story.chapter("A partial refund, then the rest, then one too many")
    order_id = await shop.order("refunded in two steps", 3000, currency="JPY")
    await shop.pay(order_id, "pm_card_visa")
    await shop.until(order_id, "captured")
    refund_fields = ("refundId", "amount", "status")
    await shop.ask(
        "POST",
        f"/v1/orders/{order_id}/refund",
        {"amount": 1200, "reason": "one came back"},
        expect=201,
        show=refund_fields,
    )
    await shop.until(order_id, "partially_refunded")
    await shop.ask("POST", f"/v1/orders/{order_id}/refund", expect=201, show=refund_fields)
    await shop.until(order_id, "refunded")
    await shop.ask("POST", f"/v1/orders/{order_id}/refund", {"amount": 1}, expect=400)
    await shop.timeline(order_id)


async def compare_ledgers(shop: Shop) -> None:
    """What we say was taken and given back, beside what the processor says."""
    shop.story.chapter("Our books beside the processor's")
    books = await shop.ledger()
    taken: dict[str, list[int]] = {}
    for payment in books["payments"]:
        sums = taken.setdefault(payment["metadata"].get("order_id", ""), [0, 0])
        sums[0] += payment["amountCaptured"]
        sums[1] += payment["amountRefunded"]
    rows = []
    for what, order_id in shop.orders or []:
        order = await shop.ask("GET", f"/v1/orders/{order_id}", quiet=True)
        captured, refunded = taken.get(order_id, [0, 0])
        ours = f"captured {order['amountCaptured']}, refunded {order['amountRefunded']}"
        rows.append((what, ours, f"captured {captured}, refunded {refunded}"))
    shop.story.ledgers(rows)
    if any(ours != theirs for _, ours, theirs in rows):
        raise DemoFailed("the two ledgers differ")
    shop.story.good(f"{len(rows)} orders, the same amounts on both sides")
