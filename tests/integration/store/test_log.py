"""The log itself: nobody changes it, it has one order without gaps, and who reads along misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from payloops.db import Database
from payloops.events.store import Append, EventStore, Outcome
from payloops.values import new_id
from tests.databases import TestDatabase, TestServer
from tests.integration.store.appends import append, assert_gapless, log, outbox_row, query, stored
from tests.integration.store.blocker import Blocker
from tests.integration.store.opening import opened

ROOT = Path(__file__).resolve().parents[3]


FORBIDDEN = (
    "UPDATE stored_events SET topic = topic",
    "UPDATE stored_events SET topic = topic WHERE false",
    "DELETE FROM stored_events",
    "DELETE FROM stored_events WHERE false",
    "TRUNCATE stored_events",
    "TRUNCATE stored_events CASCADE",
    "INSERT INTO stored_events TABLE stored_events ON CONFLICT (notification_id) DO UPDATE SET topic = 'x'",
    "MERGE INTO stored_events t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_nobody_can_change_the_log(
    store: EventStore, test_database: TestDatabase, postgres_server: TestServer, statement: str
) -> None:
    await store.append(append())
    refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)
    with psycopg.connect(test_database.app_dsn, autocommit=True) as app, pytest.raises(refusals):
        app.execute(statement)
    refusal = pytest.raises(psycopg.errors.RestrictViolation, match="append-only")
    with psycopg.connect(test_database.owner_dsn, autocommit=True) as owner, refusal:
        owner.execute(statement)
    with psycopg.connect(make_conninfo(postgres_server.admin_dsn, dbname=test_database.name), autocommit=True) as admin:
        # Replication's session role skips ordinary triggers; this one is ALWAYS.
        admin.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.RestrictViolation):
            admin.execute(statement)


async def test_the_app_can_not_disable_the_guard(test_database: TestDatabase) -> None:
    if not test_database.separate_roles:
        pytest.skip("the server's one role is the owner")
    with psycopg.connect(test_database.app_dsn, autocommit=True) as app:
        for statement in (
            "ALTER TABLE stored_events DISABLE TRIGGER ALL",
            "DROP TRIGGER stored_events_append_only ON stored_events",
            "DROP TABLE stored_events",
            "CREATE OR REPLACE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)


# --------------------------------------------------------------------------------------------- the library's recorder


@pytest.fixture
def recorder(test_database: TestDatabase) -> Any:
    """The eventsourcing library's own recorder over our table, as the owner; it creates nothing."""
    given = conninfo_to_dict(test_database.owner_dsn)
    datastore = PostgresDatastore(
        dbname=str(given["dbname"]),
        host=str(given["host"]),
        port=str(given["port"]),
        user=str(given["user"]),
        password=str(given.get("password") or ""),
    )
    with datastore:
        yield PostgresApplicationRecorder(datastore, events_table_name="stored_events")


async def test_the_library_s_own_recorder_reads_our_log(
    store: EventStore, database: Database, recorder: PostgresApplicationRecorder
) -> None:
    one, other = new_id(), new_id()
    first = Append([stored(one, 1), stored(one, 2), stored(one, 3)])
    second = Append([stored(other, 1), stored(other, 2)])
    third = Append([stored(one, 4, topic="other.v1")])
    for each in (first, second, third):
        await store.append(each)

    def read() -> None:
        assert recorder.select_events(one) == [*first.events, *third.events]
        assert recorder.select_events(one, gt=1, lte=3) == first.events[1:]
        assert recorder.select_events(one, desc=True, limit=1) == third.events
        assert recorder.select_events(new_id()) == []
        assert recorder.max_notification_id() == 6
        told = recorder.select_notifications(1, 10)
        assert [notification.id for notification in told] == [1, 2, 3, 4, 5, 6]
        assert [StoredEvent(each.originator_id, each.originator_version, each.topic, each.state) for each in told] == [
            *first.events,
            *second.events,
            *third.events,
        ]
        assert [each.id for each in recorder.select_notifications(2, 2, inclusive_of_start=False)] == [3, 4]
        assert [each.id for each in recorder.select_notifications(None, 9, topics=["other.v1"])] == [6]

    await asyncio.to_thread(read)
    assert [row[0] for row in await log(database)] == [1, 2, 3, 4, 5, 6]


async def test_the_library_can_not_write_past_our_append(recorder: PostgresApplicationRecorder) -> None:
    """It numbers by a sequence that our table does not have: nothing can slip in beside the head."""
    with pytest.raises(Exception, match=r"stored_event|notification_id"):
        await asyncio.to_thread(recorder.insert_events, [stored(new_id())])


# ------------------------------------------------------------------------------------------------------ reading along


class Tail:
    """Reads along as a projector does: everything after the last position it saw."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.seen: list[tuple[int, UUID, int]] = []
        self.stopping = False

    @property
    def position(self) -> int:
        return self.seen[-1][0] if self.seen else 0

    async def run(self) -> None:
        while True:
            stopping = self.stopping
            rows = await self._store._fetch("read_log", (self.position, 50))
            positions = [row[0] for row in rows]
            assert positions == list(range(self.position + 1, self.position + 1 + len(rows)))
            self.seen += [(position, stream, version) for position, stream, version, *_ in rows]
            if stopping and not rows:
                return


@contextlib.asynccontextmanager
async def tailing(dsn: str) -> AsyncIterator[Tail]:
    """A reader that runs along; at the end of the block it has read to the end of the log."""
    async with opened(dsn) as store:
        tail = Tail(store)
        task = asyncio.ensure_future(tail.run())
        yield tail
        tail.stopping = True
        async with asyncio.timeout(60.0):
            await task


async def writer(dsn: str, seed: int, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.store.writer", dsn, str(seed), str(count),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def acknowledged_by(process: asyncio.subprocess.Process, into: list[tuple[UUID, int, int]]) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.endswith(b"\n"):
            stream, version, position = line.split()
            into.append((UUID(stream.decode()), int(version), int(position)))


def assert_all_there(acknowledged: list[tuple[UUID, int, int]], entries: list[tuple[int, UUID, int, bytes]]) -> None:
    there = {(stream, version): position for position, stream, version, _ in entries}
    for stream, version, position in acknowledged:
        assert there[stream, version] >= position


@pytest.mark.slow
async def test_writers_in_several_processes_make_one_order_without_gaps(
    database_url: str, database: Database, blocker: Blocker, postgres_server: TestServer
) -> None:
    acknowledged: list[tuple[UUID, int, int]] = []
    async with tailing(database_url) as tail:
        processes = [await writer(database_url, seed, 30) for seed in (1, 2, 3)]
        reading = [asyncio.ensure_future(acknowledged_by(process, acknowledged)) for process in processes]
        for _ in range(4):  # meanwhile commits are held up, and writers' connections die in the middle of them
            goal = len(acknowledged) + 60
            while len(acknowledged) < goal and not all(each.done() for each in reading):
                await asyncio.sleep(0.005)
            await blocker.hold()
            with contextlib.suppress(TimeoutError):
                await asyncio.to_thread(terminate, postgres_server, await blocker.blocked())
            await blocker.release()
        await asyncio.gather(*reading)
        assert [await process.wait() for process in processes] == [0, 0, 0]
    entries = await log(database)
    assert await assert_gapless(database) >= 3 * 12 * 30
    assert tail.seen == [entry[:3] for entry in entries]
    assert_all_there(acknowledged, entries)


@pytest.mark.slow
async def test_a_writer_that_is_killed_leaves_no_gap_and_loses_nothing_it_acknowledged(
    database_url: str, database: Database
) -> None:
    acknowledged: list[tuple[UUID, int, int]] = []
    async with asyncio.timeout(90.0), tailing(database_url) as tail:
        victim, other = await writer(database_url, 4, 100_000), await writer(database_url, 5, 20)
        reading = [asyncio.ensure_future(acknowledged_by(process, acknowledged)) for process in (victim, other)]
        while len(acknowledged) < 200:
            await asyncio.sleep(0.005)
        victim.send_signal(signal.SIGKILL)
        await asyncio.gather(*reading)
        assert [await victim.wait(), await other.wait()] == [-signal.SIGKILL, 0]
    entries = await log(database)
    await assert_gapless(database)
    assert tail.seen == [entry[:3] for entry in entries]
    assert_all_there(acknowledged, entries)


def terminate(server: TestServer, pids: list[int]) -> None:
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        for pid in pids:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


async def test_a_commit_that_is_delayed_is_never_passed(
    database_url: str, database: Database, store: EventStore
) -> None:
    """A reader that saw N has seen all before it, although the writer of N - 1 took its time."""
    async with (
        await psycopg.AsyncConnection.connect(database_url) as slow,  # not autocommit: it commits when told to
        tailing(database_url) as tail,
    ):
        stream = new_id()
        call = (
            "SELECT first_position FROM append_batch(%s::integer[], %s::uuid[], %s::bigint[], %s::text[], %s::bytea[])"
        )
        cursor = await slow.execute(call, ([0], [stream], [1], ["test.v1"], [b"slow"]))
        assert await cursor.fetchall() == [(1,)]
        later = asyncio.ensure_future(store.append(append()))
        assert len(await Blocker(slow).blocked()) == 1  # it waits for its turn rather than passing
        assert tail.position == 0
        await slow.commit()
        assert (await later).position == 2
    assert tail.seen[0][1] == stream
    assert await assert_gapless(database) == 2


async def test_a_batch_that_is_rolled_back_leaves_its_positions_to_the_next(
    database_url: str, database: Database, store: EventStore
) -> None:
    call = "SELECT first_position FROM append_batch(%s::integer[], %s::uuid[], %s::bigint[], %s::text[], %s::bytea[])"
    async with await psycopg.AsyncConnection.connect(database_url) as gone, tailing(database_url) as tail:
        for _ in range(3):
            cursor = await gone.execute(call, ([0, 1], [new_id(), new_id()], [1, 1], ["t", "t"], [b"a", b"b"]))
            assert await cursor.fetchall() == [((await store.head()) + 1,), ((await store.head()) + 2,)]
            later = asyncio.ensure_future(store.append(append()))
            await Blocker(gone).blocked()
            await gone.rollback()
            assert (await later).outcome is Outcome.APPENDED
    assert await assert_gapless(database) == 3
    assert len(tail.seen) == 3


async def heard(listening: psycopg.AsyncConnection[Any], *, count: int) -> list[str]:
    """The next notices, and any that follow at once."""
    payloads = [notice.payload async for notice in listening.notifies(timeout=60.0, stop_after=count)]
    return payloads + [notice.payload async for notice in listening.notifies(timeout=0.1)]


async def test_one_notice_a_batch(database_url: str, store: EventStore) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as listening:
        await listening.execute("LISTEN payloops")
        first = asyncio.ensure_future(store.append(append()))
        await asyncio.sleep(0)
        await asyncio.gather(first, *(store.append(append()) for _ in range(50)))
        assert await heard(listening, count=2) == ["1", "51"]


async def test_a_notice_says_when_a_relay_has_work(database_url: str, store: EventStore) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as listening:
        await listening.execute("LISTEN payloops")
        await store.append(append(rows={"outbox": [outbox_row()]}))
        assert await heard(listening, count=1) == ["1 outbox"]


async def test_recorded_times_follow_the_positions(store: EventStore, database: Database) -> None:
    await asyncio.gather(*(store.append(append()) for _ in range(50)))
    times = [row[0] for row in await query(database, "SELECT recorded_at FROM stored_events ORDER BY notification_id")]
    assert times == sorted(times)
