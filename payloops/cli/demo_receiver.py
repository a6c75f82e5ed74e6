"""The demo's own server for webhooks: what a shop would write. It believes nothing that is not signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from payloops.client import SignatureInvalid
from payloops.client.webhooks import Event, verify

BODY_BYTES_MAX: Final = 1024 * 1024


class Receiver:
    """``secret`` is the endpoint's, once that is known; ``url`` is where it listens."""

    def __init__(self) -> None:
        self.secret = ""
        self.url = ""
        self.refused = 0
        self.repeated = 0
        self._came = asyncio.Condition()
        self._seen: set[str] = set()
        self.orders: dict[str, list[Event]] = {}

    async def take(self, request: web.Request) -> web.Response:
        """One webhook: check it, note it, answer at once."""
        try:
            event = verify(await request.read(), request.headers, self.secret)
        except SignatureInvalid:
            self.refused += 1
            return web.Response(status=400)
        async with self._came:
            # Deliveries are made at least once: the id tells a repeat.
            if event.id in self._seen:
                self.repeated += 1
            else:
                self._seen.add(event.id)
                self.orders.setdefault(event.order_id or event.id, []).append(event)
            self._came.notify_all()
        return web.Response(status=204)

    async def until(self, order_id: str, status: str, event_type: str | None = None, *, within_s: float) -> list[Event]:
        """The order's events in the order in which they came, once the newest shows the order in that status.

        With a type, once the newest is of that type, too. Raises TimeoutError.
        """

        def arrived() -> bool:
            events = self.orders.get(order_id, [])
            return bool(events) and events[-1].status == status and event_type in {None, events[-1].type}

        async with asyncio.timeout(within_s), self._came:
            await self._came.wait_for(arrived)
        return list(self.orders[order_id])


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of loopback, for the length of the block."""
    receiver = Receiver()
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_post("/webhooks", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
        yield receiver
    finally:
        await runner.cleanup()
