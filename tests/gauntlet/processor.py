"""A processor as the sender of events: signs them as the merchant's own, repeats them, and damages what it sends."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
import psycopg

from tests.gauntlet.client import Answer
from tests.gauntlet.shop import Shop
from tests.inbox.signing import razorpay_header, stripe_header

VERDICT_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
PAGE: Final = 100
VERDICTS: Final = frozenset({"processed", "ignored", "quarantined", "failed"})

Json = dict[str, Any]


@dataclass
class Processor:
    """One account of a shop at a processor. Nothing is sent by the simulator unless ``listen`` asks for it."""

    shop: Shop
    name: str
    account: str
    secret: str

    @classmethod
    async def stripe(cls, shop: Shop) -> Self:
        """The shop's own account, with a webhook secret that was saved by hand."""
        made = cls(shop, "stripe", shop.account, f"whsec_{secrets.token_hex(16)}")
        await made._save({"secretKey": made.account, "webhookSecret": made.secret})
        return made

    @classmethod
    async def razorpay(cls, shop: Shop) -> Self:
        made = cls(shop, "razorpay", f"rzp_test_x{secrets.token_hex(7)}", secrets.token_hex(16))
        await made._save({"keyId": made.account, "keySecret": secrets.token_hex(12), "webhookSecret": made.secret})
        return made

    async def _save(self, credentials: Mapping[str, str]) -> None:
        path, body = f"/api/processors/{self.name}", {"credentials": dict(credentials)}
        answer = await self.shop.dashboard.ask("POST", path, body)
        if answer.status != 200:
            raise AssertionError(f"{path} was answered {answer.status}: {answer.raw!r}")

    @property
    def path(self) -> str:
        return f"/webhooks/{self.name}/{self.shop.merchant_id}"

    def signed(self, body: bytes, **named: Any) -> dict[str, str]:
        """The headers with which this processor sends ``body``."""
        sign = stripe_header if self.name == "stripe" else razorpay_header
        return sign(self.secret, body, **named)

    async def send(self, event: Json | bytes, *, path: str | None = None, **named: Any) -> Answer:
        """Send it as the processor does."""
        body = event if isinstance(event, bytes) else orjson.dumps(event)
        return await self.deliver(body, self.signed(body, **named), path=path)

    async def deliver(self, body: bytes, headers: Mapping[str, str], *, path: str | None = None) -> Answer:
        """Send these bytes with these headers, whatever they are worth."""
        http = self.shop.api.http
        async with http.post(
            self.shop.api.base_url + (path or self.path),
            data=body,
            headers={"Content-Type": "application/json", **headers},
        ) as response:
            return Answer(response.status, await response.read(), response.headers.copy())

    async def listen(self, **manners: Any) -> None:
        """The simulator sends its events to the API from now on, as badly as told."""
        url = self.shop.api.base_url + self.path
        body = {"account": self.account, "url": url, "secret": self.secret, **manners}
        async with self.shop.api.http.post(
            f"{self.shop.service.sandbox_url}/_sandbox/webhook-endpoints", json=body
        ) as answer:
            if answer.status not in {200, 201}:
                raise AssertionError(await answer.text())

    async def events_of(self, payment_id: str) -> list[Json]:
        """What Stripe's simulator has to tell of a payment, oldest first; however much it has to tell of others."""
        found: list[Json] = []
        cursor = ""
        while True:
            async with self.shop.api.http.get(
                f"{self.shop.service.sandbox_url}/v1/events?limit={PAGE}{cursor}",
                headers={"Authorization": f"Bearer {self.account}"},
            ) as answer:
                page = await answer.json()
            found += page["data"]
            if not page["has_more"]:
                break
            cursor = f"&starting_after={page['data'][-1]['id']}"
        things = ((event, event["data"]["object"]) for event in reversed(found))
        return [event for event, thing in things if payment_id in (thing["id"], thing.get("payment_intent"))]

    async def inbox(self) -> list[Json]:
        """The shop's inbox, all pages."""
        found: list[Json] = []
        cursor = ""
        while True:
            page = (await self.shop.dashboard.ask("GET", f"/api/processor-events?limit={PAGE}{cursor}")).body
            found += page["data"]
            if not page["hasMore"]:
                return found
            cursor = f"&cursor={page['nextCursor']}"

    async def verdicts(self, their_ids: set[str]) -> dict[str, str]:
        """The verdict of each of these events, once all have one. Raises AssertionError."""
        deadline_s = time.monotonic() + VERDICT_WITHIN_S
        while True:
            seen = {one["processorEventId"]: one["status"] for one in await self.inbox()}
            judged = {name: seen[name] for name in their_ids if seen.get(name) in VERDICTS}
            if judged.keys() == their_ids:
                return judged
            if time.monotonic() > deadline_s:
                raise AssertionError(f"no verdict within {VERDICT_WITHIN_S:g} s: {their_ids - judged.keys()}")
            await asyncio.sleep(LOOK_EVERY_S)


def inbox_rows(shop: Shop) -> int:
    """All events of all merchants that were ever taken in, and the work that waits for them."""
    with psycopg.connect(shop.service.owner_dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM processor_events) + (SELECT count(*) FROM outbox WHERE kind = 'process')"
        ).fetchone()
    return 0 if row is None else int(row[0])
