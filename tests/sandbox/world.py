"""What the sandbox's tests share: a started sandbox, clients for it, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import stripe
from aiohttp import web

from payloops.sandbox.app import Sandbox

_numbers = itertools.count(1)
PATIENCE_S = 60.0


def new_key(prefix: str = "sk_test") -> str:
    """An account that no other test uses."""
    return f"{prefix}_account{next(_numbers)}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: Any


@dataclass(frozen=True)
class Received:
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


class Receiver:
    """A merchant's webhook endpoint: keeps what it gets, answers as it is told (200 when it is told nothing)."""

    def __init__(self) -> None:
        self.answers: deque[int] = deque()
        self.url = ""
        self._got: asyncio.Queue[Received] = asyncio.Queue()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        app.router.add_post("/elsewhere", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self._got.put_nowait(Received(request.headers.copy(), await request.read()))
        status = self.answers.popleft() if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    async def next(self) -> Received:
        async with asyncio.timeout(PATIENCE_S):
            return await self._got.get()

    async def take(self, count: int) -> list[Received]:
        return [await self.next() for _ in range(count)]

    async def until(self, event_type: str) -> Received:
        """The next webhook of a type; the others are passed over."""
        while True:
            received = await self.next()
            if event_type in {received.body.get("type"), received.body.get("event")}:
                return received

    @property
    def waiting(self) -> int:
        return self._got.qsize()


@dataclass
class World:
    sandbox: Sandbox
    session: aiohttp.ClientSession
    receiver: Receiver
    stripe_account: str = field(default_factory=new_key)
    razorpay_account: str = field(default_factory=lambda: new_key("rzp_test"))

    def stripe(self, key: str | None = None) -> stripe.StripeClient:
        """The official client, unchanged but for the base URL."""
        return stripe.StripeClient(
            key or self.stripe_account,
            base_addresses={"api": self.sandbox.stripe_url},
            http_client=stripe.AIOHTTPClient(session=self.session),
        )

    async def request(self, method: str, url: str, **options: Any) -> Answer:
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(
                response.status, response.headers.copy(), orjson.loads(raw) if raw and is_json else raw.decode()
            )

    async def stripe_call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.stripe_account}"} | (headers or {})
        return await self.request(method, f"{self.sandbox.stripe_url}/v1{path}", headers=sent, **options)

    async def razorpay(self, method: str, path: str, *, secret: str = "the-secret", **options: Any) -> Answer:
        sent = {"Authorization": aiohttp.encode_basic_auth(self.razorpay_account, secret)} | options.pop("headers", {})
        return await self.request(method, f"{self.sandbox.razorpay_url}/v1{path}", headers=sent, **options)

    async def control(self, method: str, path: str, body: Any = None, *, razorpay_port: bool = False) -> Answer:
        base = self.sandbox.razorpay_url if razorpay_port else self.sandbox.stripe_url
        options = {} if body is None else {"json": body}
        return await self.request(method, f"{base}/_sandbox{path}", **options)

    async def act(self, payment_id: str, what: str, body: Any = None) -> Any:
        answer = await self.control("POST", f"/payments/{payment_id}/{what}", body)
        assert answer.status == 200, answer
        return answer.body

    async def ledger(self, account: str | None = None) -> Any:
        answer = await self.control("GET", f"/ledger?account={account or self.stripe_account}")
        assert answer.status == 200, answer
        return answer.body

    async def arrival(self, account: str, operation: str) -> None:
        """Wait until an operation has arrived at the processor."""
        async with asyncio.timeout(PATIENCE_S):
            while operation not in (await self.ledger(account))["calls"]:
                continue

    async def fault(self, operation: str, mode: str, *, account: str | None = None, **more: Any) -> None:
        body = {"account": account or self.stripe_account, "operation": operation, "mode": mode, **more}
        assert (await self.control("POST", "/faults", body)).status == 201

    async def listen(self, account: str | None = None, secret: str = "whsec_for_tests", **manners: Any) -> None:
        """Send an account's webhooks to the receiver."""
        body = {"account": account or self.stripe_account, "url": self.receiver.url, "secret": secret, **manners}
        answer = await self.control("POST", "/webhook-endpoints", body)
        assert answer.status in {200, 201}, answer

    async def razorpay_order(self, **fields: Any) -> Any:
        answer = await self.razorpay("POST", "/orders", json={"amount": 50_000, "currency": "INR", **fields})
        assert answer.status == 200, answer
        return answer.body
