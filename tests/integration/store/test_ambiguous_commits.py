"""A commit whose answer is lost: the outcome is found, and the effect happens exactly once."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from payloops.db import Database
from payloops.errors import OutcomeUnknown, Unavailable
from payloops.events.store import Append, Appended, EventStore, Outcome
from payloops.events.store.group_commit import Limits
from payloops.values import new_id
from tests.databases import TestServer
from tests.integration.store.appends import (
    append,
    assert_gapless,
    insert_api_key,
    key_row,
    log,
    outbox_row,
    query,
    revoke_api_key,
    streams_of,
)
from tests.integration.store.blocker import Blocker
from tests.integration.store.opening import opened
from tests.integration.store.proxy import Fault, Proxy

EVERY_FAULT = [pytest.param(fault, id=fault.name.lower()) for fault in Fault]
LOST = [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.CUT_MEANWHILE]


def mixed_batch() -> list[Append]:
    """Commands of every sort that one batch can hold."""
    owner = new_id()
    return [
        append(rows={"outbox": [outbox_row()]}),
        append(count=3, idempotency=key_row(), rows={"outbox": [outbox_row()]}),
        append(owner, claim=("email:x", owner), rows={"outbox": [outbox_row()]}),
        append(count=0, idempotency=key_row(flight_s=60)),
        append(idempotency=key_row(flight_s=60)),
    ]


async def appended_together(store: EventStore, appends: list[Append]) -> list[Appended]:
    return list(await asyncio.gather(*(store.append(each) for each in appends)))


async def assert_once(database: Database, appends: list[Append]) -> None:
    """Each command took effect exactly once, in one piece."""
    assert sorted(row[1:3] for row in await log(database)) == sorted(
        (event.originator_id, event.originator_version) for each in appends for event in each.events
    )
    await assert_gapless(database)
    rows = sum(len(each.rows.get("outbox", ())) for each in appends)
    assert await query(database, "SELECT count(*) FROM outbox") == [(rows,)]
    keys = sum(each.idempotency is not None for each in appends)
    assert await query(database, "SELECT count(*) FROM idempotency_keys") == [(keys,)]


@pytest.mark.parametrize("fault", EVERY_FAULT)
async def test_a_batch_survives_one_fault(
    far_store: EventStore, proxy: Proxy, database: Database, fault: Fault
) -> None:
    await far_store.append(append(count=0, idempotency=key_row()))
    proxy.arm(fault)
    batch = mixed_batch()
    results = await appended_together(far_store, batch)
    assert proxy.done == [fault]
    assert [result.outcome for result in results] == [Outcome.APPENDED] * len(batch)
    positions = {stream: position for position, stream, version, _ in await log(database) if version == 1}
    for each, result in zip(batch, results, strict=True):
        if each.events:
            assert result.position == positions[streams_of([each])[0]]
    await query(database, "DELETE FROM idempotency_keys WHERE response_status = 0 RETURNING id")
    await assert_once(database, [append(count=0, idempotency=key_row()), *batch])


@pytest.mark.parametrize("first", LOST)
@pytest.mark.parametrize("second", LOST)
async def test_a_batch_survives_a_fault_of_the_second_try(
    far_store: EventStore, proxy: Proxy, database: Database, first: Fault, second: Fault
) -> None:
    proxy.arm(first, second, Fault.LOSE_ANSWER)
    batch = mixed_batch()
    results = await appended_together(far_store, batch)
    assert proxy.done == [first, second, Fault.LOSE_ANSWER]
    assert [result.outcome for result in results] == [Outcome.APPENDED] * len(batch)
    await assert_once(database, batch)


async def test_faults_at_every_other_append_lose_and_double_nothing(
    far_store: EventStore, proxy: Proxy, database: Database
) -> None:
    done: list[Append] = []

    async def client(number: int) -> None:
        stream = new_id()
        for version in range(1, 13):
            if version % 4 == number % 4:
                proxy.arm(LOST[(version + number) % 3])
            made = append(stream, version, idempotency=key_row(), rows={"outbox": [outbox_row()]})
            assert (await far_store.append(made)).outcome is Outcome.APPENDED
            done.append(made)

    await asyncio.gather(*(client(number) for number in range(6)))
    assert len(proxy.done) > 6
    await assert_once(database, done)


async def test_the_bad_command_of_a_batch_whose_answer_was_lost_still_fails_alone(
    far_store: EventStore, proxy: Proxy, database: Database
) -> None:
    taken, used = new_id(), new_id()
    before = [append(taken), append(idempotency=key_row(used, request_hash="first"))]
    await appended_together(far_store, before)
    proxy.arm(Fault.LOSE_ANSWER)
    good = [append(), append(count=2)]
    results = await appended_together(
        far_store, [good[0], append(taken, 1), append(idempotency=key_row(used, request_hash="other")), good[1]]
    )
    assert [result.outcome for result in results] == [
        Outcome.APPENDED,
        Outcome.CONFLICT,
        Outcome.REPLAYED,
        Outcome.APPENDED,
    ]
    await assert_once(database, [*before, *good])


async def test_what_was_committed_stays_so_though_its_key_was_revoked_before_the_second_try(
    far_store: EventStore, proxy: Proxy, database: Database
) -> None:
    key = await insert_api_key(database)
    proxy.arm(Fault.SWALLOW_ANSWER)
    made = append(api_key_id=key)
    waiting = asyncio.ensure_future(far_store.append(made))
    await proxy.struck.wait()
    while not await log(database) and not waiting.done():  # the first try commits, its answer goes nowhere
        await asyncio.sleep(0.01)
    await revoke_api_key(database, key)
    assert (await waiting).outcome is Outcome.APPENDED
    await assert_once(database, [made])


async def test_somebody_else_s_answer_is_still_told_as_a_replay(
    far_store: EventStore, proxy: Proxy, database: Database
) -> None:
    """A command without events finds its own row after a lost answer, and only its own."""
    used = new_id()
    await far_store.append(append(count=0, idempotency=key_row(used, body="theirs")))
    proxy.arm(Fault.LOSE_ANSWER)
    answer = await far_store.append(append(count=0, idempotency=key_row(used, body="mine")))
    assert answer.outcome is Outcome.REPLAYED
    assert answer.response is not None
    assert answer.response.body == "theirs"


async def test_a_try_that_comes_late_changes_nothing(database_url: str, database: Database, proxy: Proxy) -> None:
    """The first try is held up on its way, the second one overtakes it: the first finds its work done."""
    async with opened(proxy.dsn, limits=Limits(answer_timeout_s=0.3, retry_for_s=5.0)) as store:
        await store.append(append(count=0, idempotency=key_row()))
        proxy.delay_s = 1.0
        proxy.arm(Fault.SLOW)
        made = append(count=2, rows={"outbox": [outbox_row()]})
        assert (await store.append(made)).outcome is Outcome.APPENDED
        later = append(streams_of([made])[0], 3)
        assert (await store.append(later)).outcome is Outcome.APPENDED
        await asyncio.sleep(1.0)  # the time that the late one needs to arrive
    await assert_once(database, [append(count=0, idempotency=key_row()), made, later])


def terminate(server: TestServer, pids: list[int]) -> None:
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        for pid in pids:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


async def test_a_backend_that_is_terminated_in_the_middle(
    store: EventStore, database: Database, blocker: Blocker, postgres_server: TestServer
) -> None:
    await blocker.hold()
    batch = mixed_batch()
    waiting = asyncio.gather(*(store.append(each) for each in batch))
    for _ in range(3):
        await asyncio.to_thread(terminate, postgres_server, await blocker.blocked())
    await blocker.release()
    assert [result.outcome for result in await waiting] == [Outcome.APPENDED] * len(batch)
    await assert_once(database, batch)


async def test_a_lock_that_is_held_too_long_is_waited_for_within_the_budget(
    database_url: str, database: Database, blocker: Blocker
) -> None:
    async with opened(database_url, lock_timeout_ms=100, limits=Limits(retry_for_s=5.0)) as store:
        await blocker.hold()
        made = append()
        waiting = asyncio.ensure_future(store.append(made))
        for _ in range(2):  # two tries at least
            await blocker.blocked()
            await asyncio.sleep(0.15)
        await blocker.release()
        assert (await waiting).outcome is Outcome.APPENDED
    await assert_once(database, [made])


async def test_a_lock_that_is_never_released_is_unavailable_and_nothing_happened(
    database_url: str, database: Database, blocker: Blocker
) -> None:
    async with opened(database_url, lock_timeout_ms=100, limits=Limits(retry_for_s=0.4)) as store:
        await blocker.hold()
        with pytest.raises(Unavailable) as refused:
            await store.append(append())
        assert not isinstance(refused.value, OutcomeUnknown)
        await blocker.release()
        assert (await store.append(append())).position == 1
    assert await assert_gapless(database) == 1


async def test_a_database_that_never_answers_leaves_the_outcome_unknown(
    database_url: str, database: Database, proxy: Proxy
) -> None:
    async with opened(proxy.dsn, limits=Limits(answer_timeout_s=0.2, retry_for_s=0.7)) as store:
        proxy.arm(*[Fault.SWALLOW_ANSWER] * 20)
        made = append(idempotency=key_row())
        with pytest.raises(OutcomeUnknown):
            await store.append(made)
        await assert_once(database, [made])
        proxy.done.clear()
        proxy._armed.clear()
        # The client sends it again with its key, as it was told: it learns what had happened.
        again = await store.append(append(idempotency=made.idempotency))
        assert again.outcome is Outcome.REPLAYED


async def test_a_full_disk_after_a_lost_answer_is_waited_for_to_learn_the_outcome(
    far_store: EventStore, database: Database, proxy: Proxy, full_disk: psycopg.Connection
) -> None:
    proxy.delay_s = 0.3
    proxy.arm(Fault.LOSE_ANSWER, Fault.SLOW)
    made = append(idempotency=key_row())
    waiting = asyncio.ensure_future(far_store.append(made))
    while len(proxy.done) < 2 and not waiting.done():  # the first try has committed, the second one is on its way
        await asyncio.sleep(0.01)
    full_disk.execute("INSERT INTO disk VALUES (true)")
    tries = proxy.appends
    while proxy.appends < tries + 3 and not waiting.done():
        await asyncio.sleep(0.01)
    assert not waiting.done()
    full_disk.execute("DELETE FROM disk")
    assert (await waiting).outcome is Outcome.APPENDED
    await assert_once(database, [made])


async def test_an_error_of_a_later_try_does_not_hide_that_an_earlier_one_may_have_committed(
    database: Database, proxy: Proxy, blocker: Blocker
) -> None:
    proxy.delay_s = 0.3
    async with opened(proxy.dsn, lock_timeout_ms=50, limits=Limits(retry_for_s=0.8)) as store:
        proxy.arm(Fault.LOSE_ANSWER, Fault.SLOW)
        made = append(idempotency=key_row())
        waiting = asyncio.ensure_future(store.append(made))
        while len(proxy.done) < 2 and not waiting.done():  # the first try has committed, the second one is on its way
            await asyncio.sleep(0.01)
        await blocker.hold()
        with pytest.raises(OutcomeUnknown):  # and not "nothing was done"
            await waiting
        await blocker.release()
    await assert_once(database, [made])
