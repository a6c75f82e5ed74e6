"""A merchant with a long backlog, and what others get beside it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from payloops.db import Database
from payloops.workflows_bridge import outbox_table
from payloops.workflows_bridge.engines.base import Work
from payloops.workflows_bridge.lanes import FullLanes
from payloops.workflows_bridge.outbox_table import OutboxTable
from payloops.workflows_bridge.relay import Relay, RelayOptions
from tests.databases import TestDatabase
from tests.integration.relay.engine import NotingEngine, start_row, until, wake_row, write

QUICK = RelayOptions(concurrency=16, lease_s=3.0, poll_s=0.1, failure_delay_min_s=0.01)
BACKLOG = 100_000
ENDPOINTS = 20
FILL = """
    INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, due_at)
    SELECT gen_random_uuid(), 'a-' || n, 'deliver:a:' || n %% %(endpoints)s, %(kind)s,
        json_build_object('type', 'Test', 'workflowId', 'a-' || n, 'taskQueue', 'q', 'input',
            json_build_object('name', 'a-' || n), 'merchantId', 'a', 'orderId', null, 'version', n),
        'c', now() - interval '1 hour' + n * interval '1 ms'
    FROM generate_series(1, %(count)s) n
"""


LATER = """
    INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, due_at)
    SELECT gen_random_uuid(), 'later-' || n, 'deliver:m' || lpad(n::text, 6, '0') || ':1', 'wake', '{"version": 1}',
        'c', now() + interval '1 day'
    FROM generate_series(1, %(count)s) n
"""


async def fill(database: Database, count: int, kind: str = "start") -> None:
    """Rows of one merchant, for endpoint after endpoint, all due long before anything else."""
    async with database.connection() as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(FILL, {"count": count, "endpoints": ENDPOINTS, "kind": kind})
        await connection.execute("RESET statement_timeout")


@pytest.mark.slow
async def test_a_long_backlog_is_gone_around(database: Database) -> None:
    await fill(database, BACKLOG)
    await write(database, [start_row("b", lane="deliver:b:1"), wake_row(1, key="w", due_at="now")])
    table = OutboxTable(database)
    full = FullLanes((), ("deliver:a",))
    rows, more = await table.claim_around(full, 16, lease_s=60)
    assert {row.key for row in rows} == {"w-b", "w"}
    assert not more
    took_s = []
    for _ in range(3):  # the machine may stand still for one of them
        started_s = time.monotonic()
        assert await table.claim_around(full, 16, lease_s=60) == ([], False)
        took_s.append(time.monotonic() - started_s)
    assert min(took_s) < 1.0
    # Of a merchant of whom one lane has enough, the others are taken as before, the first that is due first.
    lanes = tuple(f"deliver:a:{n}" for n in range(1, ENDPOINTS))
    rows, _ = await table.claim_around(FullLanes(lanes), 16, lease_s=60)
    assert [row.key for row in rows] == [f"a-{n * ENDPOINTS}" for n in range(1, 13)]
    await table.close()


@pytest.mark.slow
async def test_a_merchant_with_many_slow_receivers_does_not_hold_up_another(database: Database) -> None:
    """Its backlog is due first and has 20 lanes; half of the slots is all that it gets."""
    release = asyncio.Event()

    async def black_hole(name: str, _: Work) -> None:
        if name.startswith("a-"):
            await release.wait()

    await fill(database, 5_000)
    engine = NotingEngine(black_hole)
    relay = Relay(database, engine, untaken=engine.nobody, options=replace(QUICK, poll_s=60.0))
    await relay.open()
    try:
        await until(lambda: relay.in_hand >= 8)
        for n in range(20):
            started_s = time.monotonic()
            await write(database, [start_row(f"b{n}", lane=f"deliver:b:{n % 3}")])
            await until(lambda n=n: f"b{n}" in engine.ended)  # type: ignore[misc]
            assert time.monotonic() - started_s < 30.0
        assert engine.most_at_once["all"] <= 8 + QUICK.lane_max + 1
    finally:
        release.set()
        await relay.close(grace_s=1.0)


async def test_every_lane_has_its_turn(database: Database) -> None:
    """More lanes than one claim looks at, behind more rows than it looks at first."""
    await fill(database, 400)
    await write(database, [start_row(f"b{n}", lane=f"deliver:b{n:03}:1") for n in range(200)])
    table, seen, calls = OutboxTable(database), set[str](), 0
    more = True
    while more:
        rows, more = await table.claim_around(FullLanes((), ("deliver:a",)), 16, lease_s=60)
        seen |= {row.lane for row in rows}
        calls += 1
        assert calls < 60
    assert len(seen) >= 200 - 64 * 3 + 48, "a walk goes past every lane, and takes what a claim has room for"
    while len(seen) < 200:
        rows, _ = await table.claim_around(FullLanes((), ("deliver:a",)), 16, lease_s=60)
        seen |= {row.lane for row in rows}
        calls += 1
        assert calls < 60
    assert not {lane for lane in seen if lane.startswith("deliver:a:")}
    await table.close()


async def test_due_timers_behind_many_that_are_not(database: Database) -> None:
    await fill(database, 400, "wake")
    rows = [wake_row(1, key=f"later{n}", due_at="tomorrow") | {"lane": f"deliver:c{n:03}:1"} for n in range(150)]
    await write(database, [*rows, wake_row(1, key="due", due_at="now") | {"lane": "deliver:d:1"}])
    table, found = OutboxTable(database), list[str]()
    for _ in range(6):
        claimed, _ = await table.claim_around(FullLanes((), ("deliver:a",)), 16, lease_s=60)
        found += [row.key for row in claimed]
    assert found == ["due"]
    await table.close()


async def test_a_due_timer_behind_thousands_of_lanes_is_found_soon(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim a quarter of a second looks at a thousand lanes, the others at 64."""
    monkeypatch.setattr(outbox_table, "AROUND_WIDE_EVERY_S", 0.0)
    async with database.connection() as connection:
        await connection.execute(LATER, {"count": 3_000})
    await fill(database, 400, "wake")
    await write(database, [wake_row(1, key="due", due_at="now") | {"lane": "deliver:z:1"}])
    table, found, calls = OutboxTable(database), list[str](), 0
    while not found:
        claimed, _ = await table.claim_around(FullLanes((), ("deliver:a",)), 16, lease_s=60)
        found = [row.key for row in claimed]
        calls += 1
    assert (found, calls) == (["due"], 3)
    await table.close()


async def test_the_order_of_a_key_holds_here_too(database: Database) -> None:
    await write(database, [start_row("first", key="k", lane="x"), start_row("second", key="k", lane="x")])
    await write(database, [start_row("other", lane="full")])
    table = OutboxTable(database)
    (row,), _ = await table.claim_around(FullLanes(("full",)), 16, lease_s=60)
    assert row.payload["input"]["name"] == "first"
    assert (await table.claim_around(FullLanes(("full",)), 16, lease_s=60))[0] == []
    await table.close()


async def test_the_claims_go_by_indexes(database: Database, test_database: TestDatabase) -> None:
    """Also while the planner believes that there is hardly anything."""
    await fill(database, 5_000)
    table = OutboxTable(database)
    rows, _ = await table.claim_around(FullLanes((), ("deliver:a",)), 16, lease_s=60)
    assert rows == []
    assert table._claims is not None
    for setting in ("enable_seqscan", "enable_bitmapscan"):
        cursor = await table._claims.execute(f"SHOW {setting}")
        assert await cursor.fetchone() == ("off",)
    await table.close()
