"""What a relay that lost its lease, or its race, can still write: nothing. And sealed values belong to their row."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from payloops.crypto import DecryptionError, KeyRing
from payloops.db import Database
from payloops.projections.personal_data import CUSTOMER_EMAIL, PersonalData
from payloops.values import new_id
from payloops.workflows_bridge.engines.base import Advance
from payloops.workflows_bridge.outbox_table import ClaimedRow, Done, OutboxTable, PutBack

LEASE_S = 30.0
INSERT = """
INSERT INTO outbox (id, key, kind, payload, correlation_id) VALUES (%s, %s, 'start', '{}', 'c') RETURNING seq
"""


@pytest.fixture
def table(database: Database) -> OutboxTable:
    return OutboxTable(database)


async def rows(database: Database, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return await (await connection.execute(statement, values)).fetchall()


async def put(database: Database, key: str = "key") -> int:
    ((seq,),) = await rows(database, INSERT, new_id(), key)
    return int(seq)


async def lapse(database: Database) -> None:
    """All leases have run out."""
    await rows(
        database,
        "UPDATE outbox SET lease_until = now() - interval '1 s', due_at = now() - interval '1 s' RETURNING seq",
    )


async def lost_and_current(table: OutboxTable, database: Database) -> tuple[ClaimedRow, ClaimedRow]:
    """A row as the relay has it that lost it, and as the one has it that took it over."""
    await put(database)
    (lost,) = await table.claim(10, lease_s=LEASE_S)
    await lapse(database)
    (current,) = await table.claim(10, lease_s=LEASE_S)
    assert (lost.seq, lost.token) != (current.seq, current.token)
    return lost, current


def saved(version: int, **state: Any) -> Advance:
    return Advance("PaymentWorkflow", state, version, finished=False)


async def test_a_row_in_hand_is_nobody_elses_until_its_lease_ends(table: OutboxTable, database: Database) -> None:
    await put(database)
    assert len(await table.claim(10, lease_s=LEASE_S)) == 1
    assert await table.claim(10, lease_s=LEASE_S) == []
    await lapse(database)
    assert len(await table.claim(10, lease_s=LEASE_S)) == 1
    await table.close()


async def test_who_lost_a_row_can_not_finish_it(table: OutboxTable, database: Database) -> None:
    lost, current = await lost_and_current(table, database)
    assert await table.settle([Done(lost, saved(0, by="lost"))]) == {}
    assert await rows(database, "SELECT count(*) FROM workflow_runs") == [(0,)]
    assert (await table.settle([Done(current, saved(0, by="current"))]))[current.seq].done
    assert await rows(database, "SELECT state ->> 'by' FROM workflow_runs") == [("current",)]
    assert await rows(database, "SELECT count(*) FROM outbox") == [(0,)]
    await table.close()


async def test_who_lost_a_row_can_not_keep_it(table: OutboxTable, database: Database) -> None:
    lost, current = await lost_and_current(table, database)
    assert await table.extend([lost], lease_s=LEASE_S) == set()
    assert await table.extend([current], lease_s=LEASE_S) == {current.seq}
    await table.close()


async def test_who_lost_a_row_can_not_put_it_back(table: OutboxTable, database: Database) -> None:
    lost, current = await lost_and_current(table, database)
    assert await table.put_back([PutBack(lost, 0.0, failed=True, error="mine", park=True)]) == set()
    assert await rows(database, "SELECT attempts, parked_at, last_error FROM outbox") == [(0, None, None)]
    assert await table.put_back([PutBack(current, 0.0)]) == {current.seq}
    await table.close()


async def test_rows_of_a_key_come_one_after_the_other(table: OutboxTable, database: Database) -> None:
    first, second = await put(database), await put(database)
    other = await put(database, "another key")
    claimed = await table.claim(10, lease_s=LEASE_S)
    assert [row.seq for row in claimed] == [first, other]
    assert await table.claim(10, lease_s=LEASE_S) == []
    assert (await table.settle([Done(claimed[0])]))[first].more
    assert [row.seq for row in await table.claim(10, lease_s=LEASE_S)] == [second]
    await table.close()


async def test_a_workflow_that_has_moved_on_is_not_saved_over(table: OutboxTable, database: Database) -> None:
    await put(database)
    (first,) = await table.claim(1, lease_s=LEASE_S)
    await table.settle([Done(first, saved(0, step=1))])
    await put(database)
    (second,) = await table.claim(1, lease_s=LEASE_S)
    assert second.run is not None
    assert second.run.version == 1
    await rows(database, """UPDATE workflow_runs SET version = 2, state = '{"step": 2}' RETURNING version""")
    settled = await table.settle([Done(second, saved(1, step="late"))])
    assert not settled[second.seq].done
    assert await rows(database, "SELECT version, state ->> 'step' FROM workflow_runs") == [(2, "2")]
    assert await rows(database, "SELECT count(*) FROM outbox") == [(1,)]
    await table.close()


async def test_a_sealed_value_does_not_open_in_another_row(database: Database) -> None:
    personal = PersonalData(database, KeyRing.from_setting("k" * 40))
    key, _ = personal.new_key(new_id())
    here, there = new_id(), new_id()
    sealed = key.seal(CUSTOMER_EMAIL, here, "a@example.com")
    assert key.open(CUSTOMER_EMAIL, here, sealed) == "a@example.com"
    with pytest.raises(DecryptionError):
        key.open(CUSTOMER_EMAIL, there, sealed)


async def test_the_log_refuses_changes_by_the_application(database: Database) -> None:
    async with database.connection() as connection:
        for statement in ("UPDATE stored_events SET topic = 'x'", "DELETE FROM stored_events"):
            with pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)):
                await connection.execute(statement)
