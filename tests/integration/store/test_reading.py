"""Streams and the log as the domain reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from payloops.db import Database
from payloops.events.codec import UnreadableEvent
from payloops.events.merchant import ApiKeyCreated, MerchantRegistered, ProfileChanged
from payloops.events.order import OrderCreated
from payloops.events.store import EventStore
from payloops.events.store.store import PAGE_MAX
from payloops.values import new_id
from tests.integration.handlers.world import MERCHANT, Process, process, rename
from tests.integration.store.appends import append, query


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Process]:
    async with process(database_url) as made:
        yield made


async def test_a_stream_is_read_in_order_from_any_version(here: Process) -> None:
    shop = await here.merchant()
    await here.handler.execute(MERCHANT, shop.merchant_id, rename(shop.merchant_id, "New"))
    events = await here.store.load(shop.merchant_id)
    assert [type(event) for event in events] == [MerchantRegistered, ApiKeyCreated, ProfileChanged]
    assert [event.originator_version for event in events] == [1, 2, 3]
    assert await here.store.load(shop.merchant_id, after_version=2) == events[2:]
    assert await here.store.load(new_id()) == []
    page = await here.store.read_stream(shop.merchant_id, after_version=1, limit=1)
    assert [(logged.position, logged.event) for logged in page] == [(2, events[1])]


async def test_what_is_read_is_what_was_written(here: Process) -> None:
    shop = await here.merchant()
    order_id = await here.order(shop, 2**53 - 1, currency="JPY", metadata={"ü": [1, None, {"x": 0.5}]})
    (event,) = await here.store.load(order_id)
    assert isinstance(event, OrderCreated)
    assert (event.amount, event.currency, event.metadata) == (2**53 - 1, "JPY", {"ü": [1, None, {"x": 0.5}]})
    assert here.store.from_stored(here.store.to_stored(event)) == event


async def test_the_whole_log_is_walked_page_by_page(
    here: Process, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await here.merchant()
    for _ in range(5):
        await here.order(shop)
    entries = [logged async for logged in here.store.walk_log()]
    assert [logged.position for logged in entries] == list(range(1, 8))
    times = await query(database, "SELECT recorded_at FROM stored_events ORDER BY notification_id")
    assert [(logged.recorded_at,) for logged in entries] == times
    assert [logged async for logged in here.store.walk_log(after=4)] == entries[4:]
    assert await here.store.read_log(2, limit=3) == entries[2:5]
    assert await here.store.read_log(7) == []
    monkeypatch.setattr("payloops.events.store.store.PAGE_MAX", 2)
    assert [logged async for logged in here.store.walk_log()] == entries


async def test_a_page_has_a_largest_size(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def fetch(_block: str, parameters: object) -> list[tuple[object, ...]]:
        asked.append(parameters)
        return []

    monkeypatch.setattr(store, "_fetch", fetch)
    await store.read_log(0, limit=10**9)
    await store.read_stream(new_id(), limit=10**9)
    assert [list(parameters)[-1] for parameters in asked if isinstance(parameters, tuple)] == [PAGE_MAX, PAGE_MAX]


async def test_an_event_that_can_not_be_read_is_named_but_not_shown(store: EventStore) -> None:
    made = append()
    await store.append(made)
    with pytest.raises(UnreadableEvent, match=r"test\.happened\.v1") as refused:
        await store.read_log(0)
    assert made.events[0].state.decode() not in str(refused.value)


async def test_a_fault_of_ours_is_not_the_database_s_absence(store: EventStore) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        await store._fetch("load_stream", ("no uuid", 0))
