"""Relays: order, concurrency, leases and fences, failures, and going away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from payloops.db import Database
from payloops.errors import Unavailable
from payloops.projections import reading
from payloops.workflows_bridge import outbox_table
from payloops.workflows_bridge.engines.base import NotTaken, Work
from payloops.workflows_bridge.outbox_table import Done, OutboxTable, PutBack
from payloops.workflows_bridge.relay import Relay, RelayOptions, TryLater
from tests.databases import TestDatabase
from tests.integration.relay.engine import NotingEngine, left, signal_row, start_row, until, wake_row, write
from tests.integration.store.proxy import proxied

QUICK = RelayOptions(concurrency=16, lease_s=3.0, poll_s=0.1, failure_delay_min_s=0.01)
UNHURRIED = replace(QUICK, poll_s=600.0)
"""Nothing is found by polling."""


@asynccontextmanager
async def relaying(database: Database, engine: NotingEngine, options: RelayOptions = QUICK) -> AsyncIterator[Relay]:
    relay = Relay(database, engine, untaken=engine.nobody, options=options)
    await relay.open()
    yield relay
    await relay.close(grace_s=1.0)


def drained(database: Database) -> Callable[[], Any]:
    async def look() -> bool:
        return await left(database) == 0

    return look


async def test_rows_are_dispatched_and_gone(database: Database) -> None:
    engine = NotingEngine()
    async with relaying(database, engine) as relay:
        await write(database, [start_row(f"{n}") for n in range(50)])
        await until(drained(database))
    assert sorted(engine.ended, key=int) == [f"{n}" for n in range(50)]
    assert (relay.counters.dispatched, relay.counters.lost, relay.counters.failed) == (50, 0, 0)


async def test_a_commit_wakes_the_relay_without_a_poll(database: Database) -> None:
    engine = NotingEngine()
    async with relaying(database, engine, UNHURRIED):
        await write(database, [start_row("before the listener")], announce=False)
        for n in range(5):
            await write(database, [start_row(f"{n}")])
            await until(lambda n=n: f"{n}" in engine.ended)  # type: ignore[misc]


async def test_a_poll_finds_what_was_not_announced(database: Database) -> None:
    engine = NotingEngine()
    async with relaying(database, engine):
        await write(database, [start_row("silent")], announce=False)
        await until(drained(database))


async def test_rows_of_one_key_go_one_after_the_other_in_order(database: Database) -> None:
    async def pause(_: str, __: Work) -> None:
        await asyncio.sleep(0.002)

    engine = NotingEngine(pause)
    rows = [start_row("k0-0", key="k0"), start_row("k1-0", key="k1")]
    rows += [signal_row(f"k{k}-{n}", key=f"k{k}") for n in range(1, 15) for k in range(2)]
    async with relaying(database, engine), relaying(database, engine), relaying(database, engine, UNHURRIED):
        await write(database, rows)
        await until(drained(database))
    for key in ("k0", "k1"):
        assert [name for name in engine.begun if name.startswith(key)] == [f"{key}-{n}" for n in range(15)]
        assert engine.most_at_once[key] == 1


async def test_a_failing_row_holds_up_its_key_and_nothing_else(database: Database) -> None:
    failures = 0

    async def fail_twice(name: str, _: Work) -> None:
        nonlocal failures
        if name == "first" and failures < 2:
            failures += 1
            raise ValueError("not yet")

    engine = NotingEngine(fail_twice)
    async with relaying(database, engine, UNHURRIED):
        await write(database, [start_row("first", key="k"), signal_row("second", key="k"), start_row("other")])
        await until(drained(database))
    assert engine.ended == ["other", "first", "second"] or engine.ended.index("first") < engine.ended.index("second")
    assert engine.begun.count("first") == 3


async def test_a_slow_lane_leaves_room_for_the_others(database: Database) -> None:
    release = asyncio.Event()

    async def black_hole(name: str, _: Work) -> None:
        if name.startswith("dead"):
            await release.wait()

    engine = NotingEngine(black_hole)
    async with relaying(database, engine, UNHURRIED):
        await write(database, [start_row(f"dead{n}", lane="dead") for n in range(100)])
        await until(lambda: len(engine.begun) >= QUICK.lane_max)
        await write(database, [start_row(f"alive{n}", lane=f"alive{n % 3}") for n in range(40)])
        await until(lambda: sum(name.startswith("alive") for name in engine.ended) == 40)
        assert sum(name.startswith("dead") for name in engine.begun) <= 2 * QUICK.lane_max
        release.set()
        await until(drained(database))


async def test_what_is_slow_gives_its_slots_back(database: Database) -> None:
    release = asyncio.Event()

    async def slow(name: str, _: Work) -> None:
        if name.startswith("slow"):
            await release.wait()

    engine = NotingEngine(slow)
    async with relaying(database, engine, replace(UNHURRIED, concurrency=4)):
        await write(database, [start_row(f"slow{n}") for n in range(4)])
        await until(lambda: len(engine.begun) == 4)
        await write(database, [start_row("quick")])
        await until(lambda: "quick" in engine.ended)
        release.set()
        await until(drained(database))


async def test_a_poison_row_is_parked_and_seen_and_the_rest_goes_on(database: Database) -> None:
    poisonous = True

    async def poison(name: str, _: Work) -> None:
        if name == "poison" and poisonous:
            raise ValueError("4242424242424242 is what I choke on")

    engine = NotingEngine(poison)
    options = replace(UNHURRIED, failures_max=4)
    async with relaying(database, engine, options) as relay:
        ids = await write(database, [start_row("poison", key="k"), signal_row("later", key="k"), start_row("other")])
        await until(drained(database))
        assert "other" in engine.ended
        assert "later" in engine.ended
        (parked,) = await relay.table.list_parked()
        assert (parked.id, parked.attempts, parked.last_error) == (ids[0], 4, "ValueError")
        assert (await relay.table.backlog()).parked == 1
        assert relay.counters.parked == 1
        poisonous = False
        assert await relay.table.unpark(ids[0])
        assert not await relay.table.unpark(ids[0])
        await until(lambda: "poison" in engine.ended)
        assert (await relay.table.backlog()).parked == 0


async def test_a_row_that_nobody_can_read_is_parked(database: Database) -> None:
    engine = NotingEngine()
    async with relaying(database, engine, replace(UNHURRIED, failures_max=2)) as relay:
        rows = [{**start_row("a"), "payload": {"nonsense": 1}}, {**start_row("b"), "kind": "unheard-of"}]
        await write(database, [*rows, start_row("fine")])
        await until(drained(database))
        assert len(await relay.table.list_parked()) == 2
    assert engine.ended == ["fine"]


async def test_an_engine_that_is_away_parks_nothing(database: Database) -> None:
    away = True

    async def be_away(_: str, __: Work) -> None:
        if away:
            raise Unavailable("the engine is away")

    engine = NotingEngine(be_away)
    async with relaying(database, engine, replace(UNHURRIED, failures_max=2)) as relay:
        await write(database, [start_row(f"{n}") for n in range(60)])
        await until(lambda: relay.counters.pauses >= 4)
        assert engine.ended == []
        # From then on one row at a time is tried, not all of them.
        assert len(engine.begun) <= UNHURRIED.concurrency + relay.counters.pauses
        away = False
        await until(drained(database))
        assert relay.counters.parked == 0
    assert sorted(engine.ended, key=int) == [f"{n}" for n in range(60)]


async def test_what_can_only_be_had_later_is_tried_later(database: Database) -> None:
    tries = 0

    async def later(_: str, __: Work) -> None:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise TryLater(0.01)

    engine = NotingEngine(later)
    async with relaying(database, engine, replace(UNHURRIED, failures_max=2)) as relay:
        await write(database, [start_row("late")])
        await until(drained(database))
        assert relay.counters.parked == 0
    assert tries == 5


async def test_a_signal_that_nobody_takes_is_dealt_with_otherwise(database: Database) -> None:
    engine = NotingEngine()
    engine.answer = NotTaken("unknown")
    async with relaying(database, engine) as relay:
        await write(database, [signal_row("hello", key="k")])
        await until(drained(database))
        assert relay.counters.untaken == 1
    assert engine.untaken == ["hello"]


async def test_a_wake_of_the_future_holds_up_no_signal(database: Database) -> None:
    engine = NotingEngine()
    async with relaying(database, engine, UNHURRIED):
        await write(database, [wake_row(1, key="k", due_at="infinity"), signal_row("now", key="k")])
        await until(lambda: engine.ended == ["now"])
        await write(database, [wake_row(2, key="j", due_at="-infinity"), signal_row("after", key="j")])
        await until(lambda: engine.ended == ["now", "wake-2", "after"])
    assert await left(database) == 1


async def test_a_wake_that_failed_holds_up_the_signals_behind_it(database: Database) -> None:
    """It may have done a part of its work: a signal must not see the state from before that."""
    failures = 0

    async def fail(name: str, _: Work) -> None:
        nonlocal failures
        if name == "wake-1" and failures < 3:
            failures += 1
            raise ValueError("not yet")

    engine = NotingEngine(fail)
    async with relaying(database, engine, UNHURRIED):
        await write(database, [wake_row(1, key="k", due_at="-infinity"), signal_row("behind", key="k")])
        await until(drained(database))
    assert engine.begun == ["wake-1"] * 4 + ["behind"]


async def test_a_closing_relay_gives_back_what_it_can_not_finish(database: Database) -> None:
    stuck = asyncio.Event()

    async def hang(name: str, _: Work) -> None:
        if name == "stuck":
            await stuck.wait()

    engine = NotingEngine(hang)
    relay = Relay(database, engine, untaken=engine.nobody, options=replace(UNHURRIED, lease_s=600.0))
    await relay.open()
    await write(database, [start_row("stuck"), start_row("quick")])
    await until(lambda: engine.ended == ["quick"] and relay.in_hand == 1)
    await relay.close(grace_s=0.05)
    other = NotingEngine()
    async with relaying(database, other, UNHURRIED):
        await until(lambda: other.ended == ["stuck"])
    await until(drained(database))


async def test_a_closing_relay_finishes_what_is_nearly_done(database: Database) -> None:
    async def take_a_moment(_: str, __: Work) -> None:
        await asyncio.sleep(0.2)

    engine = NotingEngine(take_a_moment)
    relay = Relay(database, engine, untaken=engine.nobody, options=UNHURRIED)
    await relay.open()
    await write(database, [start_row(f"{n}") for n in range(8)])
    await until(lambda: len(engine.begun) >= 4)
    await relay.close(grace_s=5.0)
    assert sorted(engine.begun) == sorted(engine.ended)
    assert await left(database) == 8 - len(engine.ended)


async def test_a_long_effect_keeps_its_lease(database: Database) -> None:
    async def take_long(_name: str, work: Work) -> None:
        for _ in range(8):
            await asyncio.sleep(0.5)
            work.require_lease()

    engine = NotingEngine(take_long)
    options = replace(QUICK, lease_s=2.0)
    async with relaying(database, engine, options) as one, relaying(database, engine, options) as two:
        await write(database, [start_row("long")])
        await until(drained(database))
    assert engine.begun == ["long"]
    assert one.counters.lost + two.counters.lost == 0


async def test_a_relay_that_was_stopped_past_its_lease_is_fenced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't extend its lease meanwhile, as if the process stood still; then it goes on where it was."""
    resumed, seen = asyncio.Event(), []

    async def stand_still(name: str, work: Work) -> None:
        await resumed.wait()
        seen.append(name)

    stopped_engine, other_engine = NotingEngine(stand_still), NotingEngine()
    options = replace(QUICK, lease_s=0.3)
    stopped = Relay(database, stopped_engine, untaken=stopped_engine.nobody, options=options)

    async def never(*_: object, **__: object) -> set[int]:
        await asyncio.Event().wait()
        return set()

    monkeypatch.setattr(stopped.table, "extend", never)
    await stopped.open()
    await until(lambda: stopped.table._claims is not None)
    await write(database, [start_row("row", key="k")])
    await until(lambda: stopped.in_hand == 1)
    monkeypatch.setattr(stopped.table, "claim", never)
    async with relaying(database, other_engine, options) as other:
        await until(lambda: other_engine.ended == ["row"])
        await write(database, [signal_row("next", key="k")])
        await until(lambda: other_engine.ended == ["row", "next"])
        resumed.set()
        await until(lambda: stopped.counters.lost == 1)
        assert other.counters.lost == 0
    assert stopped.counters.dispatched == 0
    assert await left(database) == 0
    await stopped.close()


async def test_a_lost_lease_ends_the_effect(database: Database) -> None:
    engine = NotingEngine(lambda _, __: asyncio.Event().wait())  # type: ignore[arg-type, return-value]
    relay = Relay(database, engine, untaken=engine.nobody, options=replace(UNHURRIED, lease_s=0.3))
    await relay.open()
    await write(database, [start_row("row")])
    await until(lambda: relay.in_hand == 1)
    async with database.connection() as connection:
        await connection.execute("UPDATE outbox SET lease_token = 1, due_at = 'infinity'")
    await until(lambda: relay.in_hand == 0)
    assert relay.counters.lost == 1
    await relay.close()


async def test_a_claim_is_fenced_by_its_token(database: Database) -> None:
    one, two = OutboxTable(database), OutboxTable(database)
    await write(database, [start_row("row")])
    (first,) = await one.claim(5, lease_s=60)
    assert await two.claim(5, lease_s=60) == []
    async with database.connection() as connection:
        await connection.execute("UPDATE outbox SET lease_until = now(), due_at = now()")
    (second,) = await two.claim(5, lease_s=60)
    assert await one.settle([Done(first)]) == {}
    assert await one.put_back([PutBack(first, 0, failed=True, park=True)]) == set()
    assert await one.extend([first], lease_s=60) == set()
    assert second.attempts == 0
    answers = await two.settle([Done(second)])
    assert answers[second.seq].done
    await one.close()
    await two.close()


async def test_relays_survive_a_database_that_goes_away(
    database: Database, test_database: TestDatabase, postgres_server: Any
) -> None:
    async def take_a_moment(_: str, __: Work) -> None:
        await asyncio.sleep(0.02)

    engine = NotingEngine(take_a_moment)
    async with relaying(database, engine), relaying(database, engine, replace(QUICK, lease_s=1.0)):
        await write(database, [start_row(f"{n}") for n in range(200)])
        await until(lambda: len(engine.ended) >= 20)
        with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{test_database.name}" ALLOW_CONNECTIONS false')
            kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(kill, (test_database.name,))
            await asyncio.sleep(0.6)
            admin.execute(f'ALTER DATABASE "{test_database.name}" ALLOW_CONNECTIONS true')
        await until(lambda: len(set(engine.ended)) == 200)

        async def empty() -> bool:
            try:
                return await left(database) == 0
            except psycopg.Error:
                return False

        await until(empty)


async def test_relays_survive_connections_that_go_silent(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open: nothing comes back, nothing is refused."""
    monkeypatch.setattr(outbox_table, "CLAIM_TIMEOUT_S", 0.3)
    monkeypatch.setattr(reading, "ANSWER_TIMEOUT_S", 0.3)
    engine = NotingEngine()
    async with proxied(database_url) as proxy:
        far = Database(proxy.dsn, min_size=1, max_size=4)
        await far.open(wait_s=5.0)
        async with relaying(far, engine, replace(QUICK, lease_s=1.0)) as relay:
            await write(database, [start_row("before")])
            await until(lambda: engine.ended == ["before"])
            proxy.silent = True
            await write(database, [start_row("after")])
            await until(lambda: relay.counters.pauses >= 1)
            proxy.silent = False
            await until(lambda: "after" in engine.ended)
            await until(drained(database))
        await far.close()


async def test_many_relays_do_each_effect_once(database: Database) -> None:
    engine = NotingEngine()
    async with (
        relaying(database, engine) as a,
        relaying(database, engine) as b,
        relaying(database, engine) as c,
        relaying(database, engine, UNHURRIED) as d,
    ):
        for n in range(0, 300, 10):
            await write(database, [start_row(f"{m}") for m in range(n, n + 10)])
        await until(drained(database))
    assert sorted(engine.begun, key=int) == [f"{n}" for n in range(300)]
    assert sum(relay.counters.dispatched for relay in (a, b, c, d)) == 300
