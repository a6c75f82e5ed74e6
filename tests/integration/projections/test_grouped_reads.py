"""Grouped reads: together when they come together, each with its own answer, and none left waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from payloops.db import Database
from payloops.errors import Overloaded, Unavailable
from payloops.projections import grouped
from payloops.projections.grouped import GroupedReads
from payloops.projections.views import compose
from payloops.values import new_id
from tests.databases import TestDatabase, TestServer

INSERT_ORDER = """
INSERT INTO orders (id, merchant_id, version, test_mode, external_id, amount, currency, status, amount_captured,
    amount_refunded, metadata, capture_method, outcome_unknown, created_at, updated_at)
SELECT id, %s, 1, true, 'x', n, 'USD', 'pending', 0, 0, '{}', 'automatic', false, now(), now()
FROM unnest(%s::uuid[]) WITH ORDINALITY AS u (id, n)
"""


@pytest.fixture
async def reads(database: Database) -> AsyncIterator[GroupedReads]:
    opened = GroupedReads(database, compose("orders_by_id"))
    yield opened
    await opened.close()


def insert(database: TestDatabase, merchant: str, count: int) -> list[str]:
    ids = [str(new_id()) for _ in range(count)]
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(INSERT_ORDER, (merchant, ids))
    return ids


async def test_a_hundred_reads_are_a_few_queries(reads: GroupedReads, test_database: TestDatabase) -> None:
    merchant, other = str(new_id()), str(new_id())
    ids = insert(test_database, merchant, 100)
    answers = await asyncio.gather(*(reads.get(None, merchant, each) for each in ids))
    assert [columns[3] for _, columns in answers] == list(range(1, 101))
    assert [columns[0] for _, columns in answers] == ids
    assert reads.queries <= 5
    (holds, columns), (absent_holds, absent), (same_holds, same) = await asyncio.gather(
        reads.get(None, other, ids[0]), reads.get(None, merchant, str(new_id())), reads.get(None, merchant, ids[0])
    )
    assert (holds, absent_holds, same_holds) == (True, True, True)
    assert (columns[0], absent[0], same[0]) == (None, None, ids[0])


async def test_a_read_right_after_an_answer_is_answered_too(reads: GroupedReads, test_database: TestDatabase) -> None:
    merchant = str(new_id())
    (order,) = insert(test_database, merchant, 1)
    for _ in range(20):
        async with asyncio.timeout(60):
            await reads.get(None, merchant, order)
    assert reads.queries == 20


async def test_many_waiting_reads_are_worth_another_query(
    reads: GroupedReads, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "BATCH_MAX", 8)
    monkeypatch.setattr(grouped, "QUEUE_FOR_ANOTHER", 10)
    merchant = str(new_id())
    ids = insert(test_database, merchant, 60)
    tasks = [asyncio.create_task(reads.get(None, merchant, each)) for each in ids]
    await asyncio.sleep(0)
    assert len(reads._running) == grouped.IN_FLIGHT_MAX
    answers = await asyncio.gather(*tasks)
    assert [columns[0] for _, columns in answers] == ids
    assert reads._in_flight == 0


async def test_an_unknown_key_holds_for_nobody(reads: GroupedReads, test_database: TestDatabase) -> None:
    merchant = str(new_id())
    (order,) = insert(test_database, merchant, 1)
    holds, _ = await reads.get(str(new_id()), merchant, order)
    assert not holds


async def test_more_than_a_batch_is_several(
    reads: GroupedReads, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "BATCH_MAX", 10)
    merchant = str(new_id())
    ids = insert(test_database, merchant, 95)
    answers = await asyncio.gather(*(reads.get(None, merchant, each) for each in ids))
    assert [columns[0] for _, columns in answers] == ids
    assert reads.queries >= 10


async def test_the_queue_is_bounded(reads: GroupedReads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped, "QUEUE_MAX", 3)
    results = await asyncio.gather(
        *(reads.get(None, str(new_id()), str(new_id())) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, Overloaded) for result in results) == 7
    assert sum(isinstance(result, tuple) for result in results) == 3


async def test_a_reader_that_gave_up_disturbs_nobody(reads: GroupedReads, test_database: TestDatabase) -> None:
    merchant = str(new_id())
    ids = insert(test_database, merchant, 20)
    tasks = [asyncio.create_task(reads.get(None, merchant, each)) for each in ids]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks[1::2])
    assert [columns[0] for _, columns in answers] == ids[1::2]


async def test_a_broken_connection_is_replaced_and_the_read_repeated(
    reads: GroupedReads, postgres_server: TestServer, test_database: TestDatabase
) -> None:
    merchant = str(new_id())
    (order,) = insert(test_database, merchant, 1)
    await reads.get(None, merchant, order)
    with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (test_database.name,)
        )
    _, columns = await reads.get(None, merchant, order)
    assert columns[0] == order


async def test_without_a_database_everybody_is_told(test_database: TestDatabase) -> None:
    database = Database(test_database.app_dsn.replace("port=5432", "port=1"), max_size=2)
    await database.open()
    reads = GroupedReads(database, compose("orders_by_id"))
    results = await asyncio.gather(
        *(reads.get(None, str(new_id()), str(new_id())) for _ in range(5)), return_exceptions=True
    )
    assert {type(result) for result in results} == {Unavailable}
    await reads.close()
    await database.close()


async def test_a_fault_of_ours_stays_one(database: Database) -> None:
    reads = GroupedReads(database, "SELECT 1 / 0, $1::uuid[], $2::uuid[], $3::uuid[]")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await reads.get(None, str(new_id()), str(new_id()))
    await reads.close()
