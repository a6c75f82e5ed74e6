"""Public events of the merchants that are named, each of an order of its own: at a pace, or as fast as they arrive.

``per_s`` paces them, and what is answered is when the commit of each was asked for. Without it this process is the
receiver too (``port``): it keeps OUTSTANDING_MAX deliveries under way and counts those that come.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from uuid import UUID

from bench import pacing, sample_order, worker
from bench.samples import Count, Window
from bench.subjects.receiver import listening
from payloops.bootstrap.core import order_aggregate
from payloops.commands.handlers import CommandHandler
from payloops.commands.idempotency import ResponseKeeper
from payloops.commands.order_reports import PublishEvent
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.events.base import Actor, Meta
from payloops.events.public_events import public_event_id
from payloops.events.store import EventStore
from payloops.values import SystemClock, new_id

OUTSTANDING_MAX: Final = 256
MAKERS: Final = 32
PREPARED_PER_S: Final = 400
"""Orders made before a window; what goes beyond makes its own within it."""
DRAIN_S: Final = 30.0


class Events:
    """Makes public events of the merchants in turn."""

    def __init__(self, handler: CommandHandler, merchants: list[str]) -> None:
        self._handler = handler
        self._orders = order_aggregate()
        self._merchants = itertools.cycle(merchants)
        self._clock = SystemClock()
        self._made: list[tuple[str, UUID]] = []

    async def prepare(self, count: int) -> None:
        """Orders that have no event yet, so that publishing one is one append."""
        missing = count - len(self._made)
        for first in range(0, missing, MAKERS):
            await asyncio.gather(*(self._order() for _ in range(min(MAKERS, missing - first))))

    async def _order(self) -> None:
        merchant = next(self._merchants)
        command = sample_order.command(self._clock, UUID(merchant), new_id())
        await self._handler.execute(self._orders, command.order_id, command, new=True)
        self._made.append((merchant, command.order_id))

    async def publish(self) -> str:
        """One event; ``<merchant> <event id>``."""
        if not self._made:
            await self._order()
        merchant, order_id = self._made.pop()
        meta = Meta(new_id(), Actor("system", "bench"), str(new_id()))
        command = PublishEvent(order_id, self._clock.now(), meta, "payment.captured", None)
        done = await self._handler.execute(self._orders, order_id, command)
        return f"{merchant} {public_event_id(order_id, done.events[0].originator_version)}"


@asynccontextmanager
async def open_writer(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    async with AsyncExitStack() as stack:
        database = Database(config["dsn"], application_name="payloops-bench-writer")
        await database.open(wait_s=5.0)
        stack.push_async_callback(database.close)
        store = EventStore(database)
        await store.open(listen=False)
        stack.push_async_callback(store.close)
        keeper = ResponseKeeper(KeyRing.from_setting(str(new_id()) * 2))
        events = Events(CommandHandler(store, keeper), config["merchants"])
        if "per_s" in config:
            yield _paced(events, config["per_s"])
        else:
            flow = _Flow(events)
            await stack.enter_async_context(listening(config["port"], flow.came))
            yield flow.measure


def _paced(events: Events, per_s: float) -> worker.Measure:
    async def measure(window: Window) -> Mapping[str, Any]:
        await events.prepare(round(per_s * (window.warmup_s + window.seconds)))
        marks, begin_s = await pacing.run(events.publish, per_s, window)
        return {"marks": marks, "begin_s": begin_s}

    return measure


class _Flow:
    """As many events as are delivered: what arrives makes room for the next one."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._room = asyncio.Semaphore(OUTSTANDING_MAX)
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._count: Count | None = None

    def came(self, _name: str, at_s: float) -> None:  # noqa: ARG002 - the receiver's interface
        self._under_way -= 1
        self._room.release()
        if self._under_way <= 0:
            self._quiet.set()
        if self._count is not None and self._count.ended(time.perf_counter()):
            self._done.set_result(self._count)
            self._count = None

    async def measure(self, window: Window) -> Mapping[str, Any]:
        """How many arrive in the window; what is still under way then is waited for."""
        await self._events.prepare(round(PREPARED_PER_S * (window.warmup_s + window.seconds)))
        self._done: asyncio.Future[Count] = asyncio.get_running_loop().create_future()
        self._quiet.clear()
        self._count = Count(window)
        async with asyncio.TaskGroup() as tasks:
            makers = [tasks.create_task(self._make()) for _ in range(MAKERS)]
            async with asyncio.timeout(window.warmup_s + window.seconds + DRAIN_S):
                count = await self._done
            for maker in makers:
                maker.cancel()
        if self._under_way > 0:
            async with asyncio.timeout(DRAIN_S):
                await self._quiet.wait()
        sample = count.sample().to_json()
        return {**sample, "p50_ms": 0.0, "p99_ms": 0.0}

    async def _make(self) -> None:
        while True:
            await self._room.acquire()
            self._under_way += 1
            # Begun, it is made to its end: what is under way is counted down by its arrival only.
            await asyncio.shield(self._events.publish())


if __name__ == "__main__":
    worker.serve(open_writer)
