"""Finishing rows in batches, and what becomes of workflows with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from payloops.db import Database
from payloops.errors import Unavailable
from payloops.workflows_bridge import settling
from payloops.workflows_bridge.engines.base import Advance
from payloops.workflows_bridge.lanes import FullLanes
from payloops.workflows_bridge.outbox_table import Done, OutboxTable, PutBack, Settled
from payloops.workflows_bridge.settling import Settler
from tests.integration.relay.engine import left, signal_row, start_row, wake_row, write

RUNNING = Advance("PaymentWorkflow", {"v": 1}, 0, finished=False, wake_at_s=4e9)


@pytest.fixture
async def table(database: Database) -> AsyncIterator[OutboxTable]:
    made = OutboxTable(database)
    yield made
    await made.close()


@pytest.fixture
async def settler(table: OutboxTable) -> AsyncIterator[Settler]:
    made = Settler(table)
    made.open()
    yield made
    await made.close()


async def all_rows(database: Database, sql: str) -> list[Any]:
    async with database.connection() as connection:
        return await (await connection.execute(sql.encode())).fetchall()


async def test_a_state_and_its_wake_come_with_the_rows_end(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row("a", key="k", lane="there")])
    (row,) = await table.claim(1, lease_s=60)
    answers = await table.settle([Done(row, RUNNING)])
    assert answers == {row.seq: Settled(done=True, more=False)}
    assert await all_rows(database, "SELECT workflow_id, type, version, status FROM workflow_runs") == [
        ("k", "PaymentWorkflow", 1, "running")
    ]
    ((kind, key, lane, payload, correlation_id, late),) = await all_rows(
        database, "SELECT kind, key, lane, payload, correlation_id, due_at > now() FROM outbox"
    )
    assert (kind, key, lane, payload, correlation_id, late) == ("wake", "k", "there", {"version": 1}, "c-k", True)


async def test_a_state_of_another_version_is_not_overwritten(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row("a", key="k"), signal_row("b", key="k"), signal_row("c", key="k")])
    (row,) = await table.claim(5, lease_s=60)
    assert (await table.settle([Done(row, RUNNING)]))[row.seq] == Settled(done=True, more=True)
    (row,) = await table.claim(5, lease_s=60)
    assert row.run is not None
    assert (row.run.version, row.run.state) == (1, {"v": 1})
    stale = replace(RUNNING, expected_version=7)
    assert (await table.settle([Done(row, stale)]))[row.seq].done is False
    again = replace(RUNNING, expected_version=0)
    assert (await table.settle([Done(row, again)]))[row.seq].done is False
    finished = Advance("PaymentWorkflow", {"result": {}}, 1, finished=True)
    assert (await table.settle([Done(row, finished)]))[row.seq] == Settled(done=True, more=True)
    (row,) = await table.claim(5, lease_s=60)
    assert row.run is not None
    assert (row.run.finished, row.run.version) == (True, 2)
    # The timer of the first state went with it.
    assert await all_rows(database, "SELECT count(*) FROM outbox WHERE kind = 'wake'") == [(0,)]


async def test_a_new_wait_takes_the_place_of_the_old_one(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row("a", key="k")])
    (row,) = await table.claim(1, lease_s=60)
    await table.settle([Done(row, RUNNING)])
    for version in (1, 2, 3):
        await write(database, [signal_row(f"s{version}", key="k")])
        (row,) = await table.claim(1, lease_s=60)
        await table.settle([Done(row, replace(RUNNING, expected_version=version))])
    assert await all_rows(database, "SELECT payload ->> 'version' FROM outbox") == [("4",)]


async def test_many_are_finished_at_once(database: Database, table: OutboxTable, settler: Settler) -> None:
    await write(database, [start_row(f"{n}") for n in range(300)])
    rows = await table.claim(300, lease_s=60)
    assert len({row.token for row in rows}) == 1
    answers = await asyncio.gather(*(settler.settle(Done(row)) for row in rows))
    assert answers == [Settled(done=True, more=False)] * 300
    assert await left(database) == 0
    assert await settler.settle(Done(rows[0])) is None


async def test_only_the_item_that_the_database_refuses_fails(
    database: Database, table: OutboxTable, settler: Settler
) -> None:
    await write(database, [start_row(f"{n}") for n in range(9)])
    rows = await table.claim(9, lease_s=60)
    spoilt = replace(RUNNING, type="x\x00")
    items = [Done(row, spoilt if number == 4 else None) for number, row in enumerate(rows)]
    answers = await asyncio.gather(*(settler.settle(item) for item in items), return_exceptions=True)
    assert isinstance(answers.pop(4), psycopg.Error)
    assert answers == [Settled(done=True, more=False)] * 8
    assert await left(database) == 1


class Flaky(OutboxTable):
    """Loses the answers of its first settlements, after or before they were carried out."""

    def __init__(self, database: Database, *, lost: int, executed: bool) -> None:
        super().__init__(database)
        self._lost = lost
        self._executed = executed

    async def settle(self, items: Sequence[Done]) -> dict[int, Settled]:
        if self._lost > 0:
            self._lost -= 1
            if self._executed:
                await super().settle(items)
            raise Unavailable("The connection broke.")
        return await super().settle(items)


@pytest.mark.parametrize("executed", (True, False))
async def test_a_settlement_whose_answer_was_lost_is_made_again(database: Database, executed: bool) -> None:
    table = Flaky(database, lost=2, executed=executed)
    settler = Settler(table)
    settler.open()
    await write(database, [start_row("a")])
    (row,) = await table.claim(1, lease_s=60)
    settled = await settler.settle(Done(row))
    assert settled is not None
    assert settled.done
    assert await left(database) == 0
    await settler.close()
    await table.close()


async def test_it_is_given_up_in_the_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "RETRY_FOR_S", 0.1)
    table = Flaky(database, lost=1000, executed=False)
    settler = Settler(table)
    settler.open()
    await write(database, [start_row("a")])
    (row,) = await table.claim(1, lease_s=60)
    with pytest.raises(Unavailable):
        await settler.settle(Done(row))
    await settler.close()
    await table.close()


async def test_full_lanes_are_left_alone(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row("a", lane="x"), start_row("b", lane="y"), start_row("c")])
    rows, more = await table.claim_around(FullLanes(("x",)), 5, lease_s=60)
    assert not more
    assert [row.lane for row in rows] == ["y", ""]


async def test_put_back_keeps_the_count_of_failures(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row("a")])
    for attempt in range(3):
        (row,) = await table.claim(1, lease_s=60)
        assert (row.attempts, row.claims) == (attempt, attempt + 1)
        assert await table.put_back([PutBack(row, 0, failed=True, error="E" * 900)]) == {row.seq}
    (row,) = await table.claim(1, lease_s=60)
    await table.put_back([PutBack(row, 0)])
    (row,) = await table.claim(1, lease_s=60)
    assert (row.attempts, row.claims) == (3, 5)
    await table.put_back([PutBack(row, 0, failed=True, park=True)])
    (parked,) = await table.list_parked()
    assert parked.last_error == "E" * 500


async def test_the_backlog_is_what_is_due(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row("a"), wake_row(1, key="k", due_at="infinity")])
    await write(database, [wake_row(1, key="j", due_at="2000-01-01")])
    backlog = await table.backlog()
    assert (backlog.due, backlog.parked) == (2, 0)
    assert backlog.overdue_s > 3600


async def test_finished_workflows_are_forgotten_after_a_while(database: Database, table: OutboxTable) -> None:
    await write(database, [start_row(f"{n}", key=f"k{n}") for n in range(3)])
    rows = await table.claim(3, lease_s=60)
    await table.settle([Done(row, replace(RUNNING, finished=row.key != "k0")) for row in rows])
    await table.prune_runs(keep_s=60, limit=10)
    assert await all_rows(database, "SELECT count(*) FROM workflow_runs") == [(3,)]
    await table.prune_runs(keep_s=-1, limit=10)
    assert await all_rows(database, "SELECT workflow_id FROM workflow_runs") == [("k0",)]
