"""P1's subject: 64 callers of the append path in one process.

``what`` is ``command`` (decide, fold, encode, append the event with its read row and the API key's check) or ``append``
(only hand a ready-made stored event to the store, which is what the baseline does too).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from eventsourcing.persistence import StoredEvent

from bench import closed_loop, sample_order, worker
from bench.samples import Window
from payloops.commands import aggregates, merchant
from payloops.commands.handlers import CommandHandler, Guard
from payloops.commands.idempotency import ResponseKeeper
from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.events.base import Actor, Meta, Sealed
from payloops.events.store import Append, EventStore
from payloops.projections.merchants import API_KEYS, MERCHANTS, PROCESSOR_CONFIGS
from payloops.projections.order_stats import ORDER_STATS
from payloops.projections.orders import ORDERS
from payloops.projections.refunds import REFUNDS
from payloops.projections.transactions import TRANSACTIONS
from payloops.values import SystemClock, new_id

Call = Callable[[], Awaitable[object]]


@asynccontextmanager
async def open_append(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    database = Database(config["dsn"], application_name="payloops-bench")
    await database.open(wait_s=5.0)
    store = EventStore(database)
    await store.open()
    call = await _command_call(store) if config["what"] == "command" else _append_call(store)

    async def measure(window: Window) -> Mapping[str, Any]:
        sample = await closed_loop.run(call, config["callers"], window)
        return sample.to_json()

    try:
        yield measure
    finally:
        await store.close()
        await database.close()


def _append_call(store: EventStore) -> Call:
    topic, state = sample_order.stored_state()

    async def call() -> None:
        await store.append(Append([StoredEvent(new_id(), 1, topic, state)]))

    return call


async def _command_call(store: EventStore) -> Call:
    clock = SystemClock()
    handler = CommandHandler(store, ResponseKeeper(KeyRing.from_setting(str(new_id()) * 2)))
    orders = aggregates.orders(ORDERS, TRANSACTIONS, REFUNDS, ORDER_STATS)
    guard = await _merchant(handler)

    async def call() -> None:
        command = sample_order.command(clock, guard.merchant_id, guard.api_key_id or guard.merchant_id)
        await handler.execute(orders, command.order_id, command, guard=guard, new=True)

    return call


async def _merchant(handler: CommandHandler) -> Guard:
    """A merchant with an API key, so that each append has a key to check."""
    merchants = aggregates.merchants(MERCHANTS, API_KEYS, PROCESSOR_CONFIGS)
    merchant_id, key_id, now = new_id(), new_id(), SystemClock().now()
    meta = Meta(new_id(), Actor("system", "bench"), str(new_id()))
    sealed = Sealed("sealed")
    await handler.execute(
        merchants,
        merchant_id,
        merchant.RegisterMerchant(merchant_id, now, meta, "Bench", sealed, str(merchant_id), sealed),
        new=True,
    )
    await handler.execute(
        merchants,
        merchant_id,
        merchant.CreateApiKey(
            merchant_id,
            now,
            Meta(new_id(), meta.actor, meta.correlation_id),
            key_id,
            str(key_id),
            "sk_test",
            "bench",
            sealed,
            live=False,
        ),
    )
    return Guard(merchant_id, key_id)


if __name__ == "__main__":
    worker.serve(open_append)
