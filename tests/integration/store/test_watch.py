"""Who waits for a stream is woken: by this process's commits and by others', also after the listener's bad days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest

from payloops.db import Database
from payloops.events.store import EventStore
from payloops.values import new_id
from tests.databases import TestDatabase, TestServer
from tests.integration.store.appends import append
from tests.integration.store.opening import opened
from tests.integration.store.proxy import Proxy


@pytest.fixture
async def listening(database_url: str) -> AsyncIterator[EventStore]:
    async with opened(database_url, listen=True) as made:
        await caught_up(made)
        yield made


async def caught_up(store: EventStore) -> None:
    """Until the store's listener has begun: it wakes everybody then."""
    await woken(store, new_id())


async def woken(store: EventStore, stream: UUID, *, within_s: float = 60.0) -> None:
    with store.watch.stream(stream) as grew:
        async with asyncio.timeout(within_s):
            await grew.wait()


async def is_woken_by(store: EventStore, stream: UUID, other: EventStore, *, version: int = 1) -> None:
    """The store's waiter wakes when the other store appends to the stream."""
    with store.watch.stream(stream) as grew:
        await other.append(append(stream, version))
        async with asyncio.timeout(60.0):
            await grew.wait()


async def test_its_own_commit_wakes_a_waiter_without_any_listener(store: EventStore) -> None:
    await is_woken_by(store, new_id(), store)


async def test_another_process_s_commit_wakes_a_waiter(listening: EventStore, store: EventStore) -> None:
    await is_woken_by(listening, new_id(), store)


async def test_other_streams_do_not_wake_it(listening: EventStore, store: EventStore) -> None:
    stream, marker = new_id(), new_id()
    await is_woken_by(listening, marker, store)
    with listening.watch.stream(stream) as grew:
        await asyncio.gather(*(store.append(append()) for _ in range(20)))
        await is_woken_by(listening, new_id(), store)  # notices come in order: those before were seen
        assert not grew.is_set()
        await is_woken_by(listening, stream, store)
        assert grew.is_set()


async def test_all_waiters_of_a_stream_wake_and_none_stays_behind(listening: EventStore, store: EventStore) -> None:
    stream = new_id()
    waiting = [asyncio.ensure_future(woken(listening, stream)) for _ in range(10)]
    await asyncio.sleep(0)
    await store.append(append(stream))
    await asyncio.gather(*waiting)
    assert listening.watch.watched == []


async def test_a_waiter_is_woken_by_what_came_in_the_middle_of_many(listening: EventStore, store: EventStore) -> None:
    """One notice stands for a batch, and a listener may see several batches at once."""
    streams = [new_id() for _ in range(300)]
    waiting = [asyncio.ensure_future(woken(listening, stream)) for stream in streams]
    await asyncio.sleep(0)
    await asyncio.gather(*(store.append(append(stream)) for stream in streams))
    await asyncio.gather(*waiting)


async def test_a_listener_that_lost_its_connection_wakes_everybody_when_it_is_back(
    listening: EventStore, store: EventStore, test_database: TestDatabase, postgres_server: TestServer
) -> None:
    stream = new_id()
    waiting = asyncio.ensure_future(woken(listening, stream))
    await asyncio.sleep(0)
    with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'",
            (test_database.name,),
        )
    await store.append(append(stream))  # its notice may be lost
    await waiting
    await is_woken_by(listening, new_id(), store)


async def test_strange_notices_do_no_harm(listening: EventStore, store: EventStore, database: Database) -> None:
    async with database.connection() as connection:
        for payload in ("", "nonsense", "-1", "9" * 40, "½", "5 outbox", "1 2 3"):
            await connection.execute("SELECT pg_notify('payloops', %s)", (payload,))
    await is_woken_by(listening, new_id(), store)
    await is_woken_by(listening, new_id(), store)


async def test_a_listener_whose_queries_fail_wakes_everybody_instead(
    listening: EventStore, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> list[tuple[object, ...]]:
        raise psycopg.errors.UndefinedTable("it is gone")

    monkeypatch.setattr(listening, "_fetch", failing)
    await is_woken_by(listening, new_id(), store)
    await is_woken_by(listening, new_id(), store)


async def test_a_listener_that_fails_begins_again(
    listening: EventStore, store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = listening._noticed
    failures = iter([ZeroDivisionError()])

    async def failing_once(payload: str) -> None:
        for failure in failures:
            raise failure
        await real(payload)

    monkeypatch.setattr(listening, "_noticed", failing_once)
    stream = new_id()
    await is_woken_by(listening, stream, store)
    assert "beginning again" in caplog.text


async def test_a_first_notice_after_a_long_log_looks_through_none_of_it(
    database_url: str, store: EventStore, proxy: Proxy
) -> None:
    """Where it has not followed yet, a listener wakes everybody rather than search the log from its beginning."""
    await asyncio.gather(*(store.append(append()) for _ in range(100)))
    async with opened(proxy.dsn, listen=True) as late:
        await caught_up(late)
        assert late._seen is None
        await is_woken_by(late, new_id(), store)
        assert late._seen == 101
