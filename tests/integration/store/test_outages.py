"""A database that is away, full or busy, a queue that is full, waiters that go away, a store that closes."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from payloops import embedded_postgres
from payloops.db import Database
from payloops.embedded_postgres import EmbeddedPostgres
from payloops.errors import OutcomeUnknown, Overloaded, Unavailable
from payloops.events.store import Append, EventStore, Outcome
from payloops.events.store.group_commit import Limits
from payloops.migrations.runner import migrate
from payloops.values import new_id
from tests.integration.store.appends import (
    append,
    assert_gapless,
    insert_api_key,
    key_row,
    log,
    outbox_row,
    query,
    streams_of,
)
from tests.integration.store.blocker import Blocker
from tests.integration.store.opening import opened
from tests.integration.store.proxy import Proxy
from tests.postgres_keeper import SETTINGS


async def test_a_full_queue_refuses_at_once_and_keeps_what_it_has(
    database_url: str, database: Database, blocker: Blocker
) -> None:
    async with opened(database_url, queue_max=10) as store:
        await blocker.hold()
        in_flight = asyncio.ensure_future(store.append(append()))
        await blocker.blocked()
        queued = [asyncio.ensure_future(store.append(append())) for _ in range(10)]
        await asyncio.sleep(0)
        assert store.commits.waiting == 10
        for _ in range(3):
            with pytest.raises(Overloaded):
                await store.append(append())
        await blocker.release()
        results = await asyncio.gather(in_flight, *queued)
        assert [result.outcome for result in results] == [Outcome.APPENDED] * 11
    assert await assert_gapless(database) == 11


async def test_a_waiter_that_goes_away_withdraws_what_is_queued_but_not_what_is_in_flight(
    store: EventStore, database: Database, blocker: Blocker
) -> None:
    await blocker.hold()
    in_flight, queued, kept = append(), append(), append()
    waiting = [asyncio.ensure_future(store.append(each)) for each in (in_flight,)]
    await blocker.blocked()
    waiting += [asyncio.ensure_future(store.append(each)) for each in (queued, kept)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.sleep(0)
    await blocker.release()
    assert (await waiting[2]).outcome is Outcome.APPENDED
    assert [row[1] for row in await log(database)] == streams_of([in_flight, kept])
    # Whoever asks again with the same events learns that they are there.
    assert (await store.append(in_flight)).outcome is Outcome.APPENDED
    assert await assert_gapless(database) == 2


async def test_all_waiters_of_a_batch_may_go_away(store: EventStore, database: Database, blocker: Blocker) -> None:
    await blocker.hold()
    waiting = [asyncio.ensure_future(store.append(append())) for _ in range(5)]
    await blocker.blocked()
    waiting += [asyncio.ensure_future(store.append(append())) for _ in range(5)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await blocker.release()
    assert (await store.append(append())).outcome is Outcome.APPENDED
    assert 2 <= await assert_gapless(database) <= 6


async def test_a_listener_that_fails_undoes_no_commit(
    store: EventStore, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_appends: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store.commits, "_committed", broken)
    results = await asyncio.gather(*(store.append(append()) for _ in range(5)))
    assert [result.outcome for result in results] == [Outcome.APPENDED] * 5
    assert await assert_gapless(database) == 5
    assert "listener failed" in caplog.text


async def test_a_fault_of_ours_leaves_nobody_waiting_and_the_next_batch_goes_on(
    store: EventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(store.commits, "_settle", broken)
        results = await asyncio.gather(*(store.append(append()) for _ in range(5)), return_exceptions=True)
    assert {type(result) for result in results} == {OutcomeUnknown}
    assert (await store.append(append())).position == 6
    assert await assert_gapless(database) == 6


async def test_closing_commits_what_is_queued_and_then_takes_no_more(
    database_url: str, database: Database, blocker: Blocker
) -> None:
    async with opened(database_url) as store:
        await blocker.hold()
        waiting = [asyncio.ensure_future(store.append(append())) for _ in range(20)]
        await blocker.blocked()
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await store.append(append())
        await blocker.release()
        await closing
        assert [each.result().outcome for each in waiting] == [Outcome.APPENDED] * 20
        await store.close()
    assert await assert_gapless(database) == 20


async def test_closing_does_not_wait_for_ever(database_url: str, database: Database, blocker: Blocker) -> None:
    async with opened(database_url, limits=Limits(close_for_s=0.3, retry_for_s=60.0)) as store:
        await blocker.hold()
        waiting = [asyncio.ensure_future(store.append(append())) for _ in range(5)]
        await blocker.blocked()
        waiting += [asyncio.ensure_future(store.append(append())) for _ in range(300)]
        await asyncio.sleep(0)
        began_s = time.monotonic()
        await store.close()
        assert time.monotonic() - began_s < 20.0
        kinds = [type(each.exception()) for each in waiting]
        assert kinds.count(OutcomeUnknown) >= 2  # what was in flight
        assert set(kinds) == {OutcomeUnknown, Unavailable}  # the rest was never sent
        await blocker.release()
    assert await assert_gapless(database) <= kinds.count(OutcomeUnknown)


async def test_a_cancelled_committer_leaves_nobody_waiting(store: EventStore, blocker: Blocker) -> None:
    await blocker.hold()
    in_flight = asyncio.ensure_future(store.append(append()))
    await blocker.blocked()
    queued = asyncio.ensure_future(store.append(append()))
    await asyncio.sleep(0)
    task = store.commits._task
    assert task is not None
    task.cancel()
    results = await asyncio.gather(in_flight, queued, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, Unavailable]
    with pytest.raises(RuntimeError):
        await store.append(append())
    await blocker.release()
    store.commits._task = None


async def test_an_idle_connection_that_was_cut_costs_nothing(
    far_store: EventStore, proxy: Proxy, database: Database
) -> None:
    for _ in range(3):
        assert (await far_store.append(append())).outcome is Outcome.APPENDED
        await proxy.cut_all()
    assert await assert_gapless(database) == 3


async def test_a_database_that_is_away_is_waited_for(far_store: EventStore, proxy: Proxy, database: Database) -> None:
    proxy.refusing = True
    made = [append(rows={"outbox": [outbox_row()]}) for _ in range(10)]
    waiting = [asyncio.ensure_future(far_store.append(each)) for each in made]
    await asyncio.sleep(0.3)
    assert not any(each.done() for each in waiting)
    proxy.refusing = False
    results = await asyncio.gather(*waiting)
    assert [result.outcome for result in results] == [Outcome.APPENDED] * 10
    assert await assert_gapless(database) == 10


async def test_a_database_that_stays_away_is_unavailable_within_the_budget(proxy: Proxy, database: Database) -> None:
    async with opened(proxy.dsn, limits=Limits(retry_for_s=2.0)) as store:
        proxy.refusing = True
        began_s = time.monotonic()
        waiting = [asyncio.ensure_future(store.append(append())) for _ in range(1000)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert time.monotonic() - began_s < 7.0  # all batches together, not each in turn
        assert {type(result) for result in results} == {Unavailable}
        proxy.refusing = False
        assert (await store.append(append())).outcome is Outcome.APPENDED
    assert await assert_gapless(database) == 1


async def test_a_query_that_gets_no_answer_is_unavailable(proxy: Proxy) -> None:
    async with opened(proxy.dsn, limits=Limits(answer_timeout_s=1.0)) as store:
        assert await store.load(new_id()) == []
        proxy.silent = True
        began_s = time.monotonic()
        with pytest.raises(Unavailable):
            await store.load(new_id())
        assert time.monotonic() - began_s < 6.0
        proxy.silent = False
        assert await store.load(new_id()) == []


async def test_reading_while_the_database_is_away_is_unavailable(proxy: Proxy) -> None:
    async with opened(proxy.dsn) as store:
        proxy.refusing = True
        await proxy.cut_all()
        with pytest.raises(Unavailable):
            await store.head()


async def test_a_full_disk_is_unavailable_and_passes_by_itself(
    store: EventStore, database: Database, full_disk: psycopg.Connection
) -> None:
    assert (await store.append(append())).position == 1
    full_disk.execute("INSERT INTO disk VALUES (true)")
    began_s = time.monotonic()
    results = await asyncio.gather(
        *(store.append(append(idempotency=key_row())) for _ in range(50)), return_exceptions=True
    )
    assert {type(result) for result in results} == {Unavailable}  # known: nothing was done
    assert time.monotonic() - began_s < 4.0
    assert await query(database, "SELECT count(*) FROM idempotency_keys") == [(0,)]
    full_disk.execute("DELETE FROM disk")
    assert (await store.append(append())).position == 2
    assert await assert_gapless(database) == 2


# ---------------------------------------------------------------------------------------------------- a server's end


class OwnServer:
    """A server of this test's own, which it may kill."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.running: EmbeddedPostgres = embedded_postgres.start(directory, overrides=SETTINGS)

    @property
    def dsn(self) -> str:
        return self.running.app_dsn

    def kill(self) -> None:
        self.running.server.send_signal(signal.SIGKILL)
        self.running.server.wait(10.0)

    def start_again(self) -> None:
        self.running.stop()
        self.running = embedded_postgres.start(self._directory, overrides=SETTINGS)


@pytest.fixture
async def own_server() -> AsyncIterator[OwnServer]:
    directory = Path(tempfile.mkdtemp(prefix="payloops-own-"))
    await asyncio.to_thread(directory.chmod, 0o711)
    server = await asyncio.to_thread(OwnServer, directory)
    await asyncio.to_thread(migrate, server.running.owner_dsn, app_dsn=server.dsn)
    yield server
    await asyncio.to_thread(server.running.stop)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.slow
async def test_a_server_that_is_killed_and_comes_back_loses_and_doubles_nothing(own_server: OwnServer) -> None:
    acknowledged: list[Append] = []
    stop = asyncio.Event()

    async def client(store: EventStore) -> None:
        stream, version = new_id(), 0
        while not stop.is_set():
            version += 1
            made = append(stream, version, rows={"outbox": [outbox_row()]}, idempotency=key_row())
            while True:
                try:
                    outcome = (await store.append(made)).outcome
                except Unavailable:
                    continue  # as a client does: the same request with the same key
                assert outcome is Outcome.APPENDED
                acknowledged.append(made)
                break

    async with asyncio.timeout(90.0), opened(own_server.dsn, limits=Limits(retry_for_s=15.0)) as store:
        clients = [asyncio.ensure_future(client(store)) for _ in range(8)]
        for _ in range(2):
            before = len(acknowledged)
            while len(acknowledged) < before + 50:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(own_server.kill)
            await asyncio.to_thread(own_server.start_again)
        before = len(acknowledged)
        while len(acknowledged) < before + 50:
            await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*clients)

    database = Database(own_server.dsn)
    await database.open(wait_s=5.0)
    try:
        assert await assert_gapless(database) == len(acknowledged)
        assert sorted(row[1:3] for row in await log(database)) == sorted(
            (each.events[0].originator_id, each.events[0].originator_version) for each in acknowledged
        )
        assert await query(database, "SELECT count(*) FROM outbox") == [(len(acknowledged),)]
        assert await query(database, "SELECT count(*) FROM idempotency_keys") == [(len(acknowledged),)]
    finally:
        await database.close()


async def test_failures_are_logged_without_what_was_written(
    store: EventStore, caplog: pytest.LogCaptureFixture, full_disk: psycopg.Connection, database: Database
) -> None:
    caplog.set_level(logging.DEBUG)
    key = await insert_api_key(database)
    full_disk.execute("INSERT INTO disk VALUES (true)")
    with pytest.raises(Unavailable):
        await store.append(append(api_key_id=key, rows={"outbox": [outbox_row(key="s3cret-key")]}))
    assert "s3cret" not in caplog.text
    assert "53100" in caplog.text
