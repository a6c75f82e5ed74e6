"""The courier: brings events to webhook endpoints, signed, in the background, with bounded retries."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import aiohttp
import orjson

from payloops.sandbox.engine import Engine
from payloops.sandbox.store import Account, Delivery, StoredDocument

_log = logging.getLogger(__name__)

RETRY_DELAYS_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Much shorter than the real processors' hours: a developer waits for them."""
ATTEMPT_TIMEOUT_S: Final = 10.0
_PER_ENDPOINT_MAX: Final = 8
_IN_FLIGHT_MAX: Final = 128
_LONGEST_WAIT_S: Final = 60.0
_SUCCESS: Final = range(200, 300)

Headers = Callable[[StoredDocument, StoredDocument, bytes, int], dict[str, str]]
"""Signs: (event, endpoint, body, Unix seconds) -> headers."""


@dataclass(slots=True)
class _Lane:
    """One endpoint's share of the courier, so that a dead endpoint does not hold up the others."""

    busy: int = 0
    waiting: deque[Delivery] = field(default_factory=deque)


class Courier:
    """Sends what the store says is to be sent. At least once: a crash in the middle sends again."""

    def __init__(
        self, engine: Engine, headers: dict[str, Headers], *, retry_delays_s: Sequence[float] = RETRY_DELAYS_S
    ) -> None:
        """``headers`` is the signing function of each processor."""
        self._engine = engine
        self._headers = headers
        self._retry_delays_s = retry_delays_s
        self._due: list[Delivery] = []
        self._lanes: dict[str, _Lane] = {}
        self._in_flight: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Begin, with what an earlier process left unsent."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=_IN_FLIGHT_MAX),
            trust_env=False,
        )
        self.push(self._engine.store.pending_deliveries())
        self._task = asyncio.create_task(self._run())

    def push(self, deliveries: Sequence[Delivery], /) -> None:
        """Take over deliveries that are committed."""
        for delivery in deliveries:
            heapq.heappush(self._due, delivery)
        if deliveries:
            self._changed.set()

    async def stop(self) -> None:
        """End at once; what is unsent stays in the store."""
        tasks = [task for task in (self._task, *self._in_flight) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._launch_due()
            wait_s = _LONGEST_WAIT_S
            if self._due and len(self._in_flight) < _IN_FLIGHT_MAX:
                wait_s = min(wait_s, max(0.0, (self._due[0].due_ms - self._engine.now_ms()) / 1000))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _launch_due(self) -> None:
        now_ms = self._engine.now_ms()
        while self._due and self._due[0].due_ms <= now_ms and len(self._in_flight) < _IN_FLIGHT_MAX:
            delivery = heapq.heappop(self._due)
            lane = self._lanes.setdefault(delivery.endpoint_id, _Lane())
            if lane.busy >= _PER_ENDPOINT_MAX:
                lane.waiting.append(delivery)
                continue
            lane.busy += 1
            task = asyncio.create_task(self._deliver(delivery))
            self._in_flight.add(task)
            task.add_done_callback(partial(self._landed, delivery.endpoint_id))

    def _landed(self, endpoint_id: str, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        lane = self._lanes[endpoint_id]
        lane.busy -= 1
        if lane.waiting:
            heapq.heappush(self._due, lane.waiting.popleft())
        elif not lane.busy:
            del self._lanes[endpoint_id]
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a webhook delivery of the sandbox failed unexpectedly", exc_info=error)

    async def _deliver(self, delivery: Delivery) -> None:
        store = self._engine.store
        attempt = store.delivery_attempt(delivery.seq)
        event, endpoint = store.document(delivery.event_id), store.document(delivery.endpoint_id)
        account = store.account(event.account) if event else None
        if attempt is None or event is None or endpoint is None or account is None:
            self._done(delivery)
            return
        if await self._send(account, event, endpoint):
            self._done(delivery)
            return
        if attempt >= len(self._retry_delays_s):
            _log.info("webhook endpoint %s never took event %s: given up", endpoint.id, event.id)
            self._done(delivery)
            return
        due_ms = self._engine.now_ms() + int(self._retry_delays_s[attempt] * 1000)
        with store.transaction():
            store.postpone_delivery(delivery.seq, attempt + 1, due_ms)
        self.push([Delivery(due_ms, delivery.seq, delivery.event_id, delivery.endpoint_id)])

    def _done(self, delivery: Delivery) -> None:
        with self._engine.store.transaction():
            self._engine.store.delete_delivery(delivery.seq)

    async def _send(self, account: Account, event: StoredDocument, endpoint: StoredDocument) -> bool:
        """Whether the endpoint took it: any 2xx, and no redirect is followed."""
        if self._session is None:
            return False
        body = orjson.dumps(event.body)
        signed = self._headers[account.processor](event, endpoint, body, self._engine.now_ms() // 1000)
        try:
            async with self._session.post(
                endpoint.body["url"],
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"} | signed,
                allow_redirects=False,
            ) as response:
                return response.status in _SUCCESS
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.debug("webhook endpoint %s did not answer: %s", endpoint.id, type(error).__name__)
            return False
