"""What becomes of a command, alone and among others."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from payloops.db import Database
from payloops.events.store import Append, Appended, EventStore, Outcome, StoredResponse
from payloops.events.store.group_commit import AppendRefused
from payloops.values import new_id
from tests.integration.store.appends import (
    append,
    assert_gapless,
    insert_api_key,
    key_row,
    log,
    outbox_row,
    query,
    revoke_api_key,
    stored,
    streams_of,
)
from tests.integration.store.opening import opened
from tests.integration.store.proxy import Proxy


async def together(store: EventStore, *appends: Append) -> list[Appended | BaseException]:
    """All are queued before the committing task can take the first."""
    tasks = [asyncio.ensure_future(store.append(each)) for each in appends]
    return await asyncio.gather(*tasks, return_exceptions=True)


def outcomes(results: list[Appended | BaseException]) -> list[Outcome | type]:
    return [result.outcome if isinstance(result, Appended) else type(result) for result in results]


async def test_events_stand_in_the_log_as_they_were_given(store: EventStore, database: Database) -> None:
    made = append(count=3)
    appended = await store.append(made)
    assert appended == Appended(Outcome.APPENDED, 1)
    assert [(stream, version, state) for _, stream, version, state in await log(database)] == [
        (event.originator_id, event.originator_version, event.state) for event in made.events
    ]
    assert await store.head() == await assert_gapless(database) == 3


async def test_one_append_is_one_round_trip_and_one_transaction(
    far_store: EventStore, proxy: Proxy, database: Database
) -> None:
    key, stream = await insert_api_key(database), new_id()
    await far_store.append(append())  # connects and prepares
    await far_store.append(append(count=0, idempotency=key_row()))  # without any event: the one other form
    requests, appends = proxy.requests, proxy.appends
    # Whatever a command brings along, the statement stays the one that was prepared.
    await far_store.append(append(stream, 1, count=300))
    await far_store.append(append(stream, 301, rows={"outbox": [outbox_row(), outbox_row()]}))
    await far_store.append(append(idempotency=key_row()))
    await far_store.append(append(idempotency=key_row(), api_key_id=key, rows={"outbox": [outbox_row()]}))
    await far_store.append(append(count=0, idempotency=key_row()))
    assert proxy.appends - appends == 5
    assert proxy.requests - requests == 5


async def test_all_that_a_command_writes_is_one_transaction(store: EventStore, database: Database) -> None:
    owner, wrapped = new_id(), [{"merchant_id": new_id(), "wrapped": "p1.x"}]
    rows = {"outbox": [outbox_row(), outbox_row()], "merchant_keys": wrapped}
    await store.append(append(owner, count=3, rows=rows, claim=("c", owner), idempotency=key_row()))
    tables = ("stored_events", "outbox", "merchant_keys", "claims", "idempotency_keys", "log_head")
    written = {table: await query(database, f"SELECT xmin::text, count(*) FROM {table} GROUP BY 1") for table in tables}
    assert {xmin for rows in written.values() for xmin, _ in rows} == {written["log_head"][0][0]}
    assert [written[table][0][1] for table in tables] == [3, 2, 1, 1, 1, 1]


async def test_what_queues_while_a_commit_is_in_flight_goes_as_one_batch(store: EventStore, database: Database) -> None:
    first = asyncio.ensure_future(store.append(append()))
    await asyncio.sleep(0)  # the committing task takes it
    rest = [asyncio.ensure_future(store.append(append())) for _ in range(100)]
    await asyncio.gather(first, *rest)
    assert (store.commits.batches, store.commits.commands) == (2, 101)
    assert await assert_gapless(database) == 101


async def test_a_batch_has_a_largest_size(store: EventStore, database: Database) -> None:
    first = asyncio.ensure_future(store.append(append()))
    await asyncio.sleep(0)
    await asyncio.gather(first, *(store.append(append()) for _ in range(600)))
    assert store.commits.batches == 1 + 3
    assert await assert_gapless(database) == 601


async def test_positions_follow_the_queue(store: EventStore, database: Database) -> None:
    made = [append(count=1 + place % 3) for place in range(40)]
    results = await asyncio.gather(*(store.append(each) for each in made))
    assert [row[1] for row in await log(database)] == streams_of(made)
    starts = [result.position for result in results]
    assert starts == [1 + sum(len(earlier.events) for earlier in made[:place]) for place in range(40)]


async def test_a_stream_goes_on_at_its_next_version_only(store: EventStore, database: Database) -> None:
    stream = new_id()
    assert (await store.append(append(stream, 1, count=2))).outcome is Outcome.APPENDED
    for version in (1, 2, 4, 5):
        assert (await store.append(append(stream, version))).outcome is Outcome.CONFLICT, version
    assert (await store.append(append(new_id(), 2))).outcome is Outcome.CONFLICT
    assert (await store.append(append(stream, 3))).outcome is Outcome.APPENDED
    assert await assert_gapless(database) == 3


async def test_versions_within_a_command_have_no_gaps(store: EventStore, database: Database) -> None:
    stream = new_id()
    torn = Append([stored(stream, 1), stored(stream, 3)])
    doubled = Append([stored(stream, 1), stored(stream, 1)])
    assert (await store.append(torn)).outcome is Outcome.CONFLICT
    assert (await store.append(doubled)).outcome is Outcome.CONFLICT
    assert await log(database) == []


async def test_a_command_may_write_to_two_streams_and_does_so_wholly_or_not_at_all(
    store: EventStore, database: Database
) -> None:
    one, other = new_id(), new_id()
    assert (await store.append(Append([stored(one, 1), stored(one, 2), stored(other, 1)]))).outcome is Outcome.APPENDED
    assert (await store.append(Append([stored(one, 3), stored(other, 1)]))).outcome is Outcome.CONFLICT
    assert await assert_gapless(database) == 3


async def test_only_the_offending_commands_of_a_batch_fail(store: EventStore, database: Database) -> None:
    taken, owner, used = new_id(), new_id(), new_id()
    revoked, holds = await insert_api_key(database), await insert_api_key(database)
    await revoke_api_key(database, revoked)
    await store.append(append(taken, claim=("email:a", owner), idempotency=key_row(used, request_hash="first")))
    head = await store.head()
    batch = [
        append(api_key_id=holds, rows={"outbox": [outbox_row()]}),
        append(taken, 1, rows={"outbox": [outbox_row()]}),
        append(claim=("email:a", new_id()), rows={"outbox": [outbox_row()]}),
        append(api_key_id=revoked, rows={"outbox": [outbox_row()]}),
        append(api_key_id=new_id()),
        append(idempotency=key_row(used), rows={"outbox": [outbox_row()]}),
        append(claim=("email:b", owner), idempotency=key_row(), rows={"outbox": [outbox_row()]}),
    ]
    results = await together(store, *batch)
    assert outcomes(results) == [
        Outcome.APPENDED,
        Outcome.CONFLICT,
        Outcome.CLAIMED,
        Outcome.UNAUTHORIZED,
        Outcome.UNAUTHORIZED,
        Outcome.REPLAYED,
        Outcome.APPENDED,
    ]
    assert isinstance(results[5], Appended)
    assert results[5].response == StoredResponse("first", 201, "body", sealed=False)
    written = [row[1] for row in await log(database) if row[0] > head]
    assert written == [*streams_of([batch[0]]), *streams_of([batch[6]])]
    assert await query(database, "SELECT count(*) FROM outbox") == [(2,)]
    assert await query(database, "SELECT count(*) FROM claims") == [(2,)]
    assert await query(database, "SELECT count(*) FROM idempotency_keys") == [(2,)]
    await assert_gapless(database)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Append([stored(UUID(int=1), topic="nul\0topic")]), "22021|DataError"),
        (append(UUID(int=1), rows={"outbox": [outbox_row(key="nul\0key")]}), "22P05"),
        (append(UUID(int=1), rows={"outbox": [outbox_row(key=None)]}), "23502"),
        (append(UUID(int=1), rows={"outbox": [outbox_row(due_at="yesterday or so")]}), "22007"),
        (append(UUID(int=1), rows={"outbox": [outbox_row(payload=object())]}), "JSONEncodeError|TypeError"),
        (append(UUID(int=1), rows={"outbox": [outbox_row(correlation_id="\ud800")]}), "JSONEncodeError|TypeError"),
    ],
    ids=["nul in text", "nul in a row", "a constraint", "a wrong type", "not encodable", "a lone surrogate"],
)
async def test_a_command_that_the_database_can_not_take_fails_alone(
    store: EventStore, database: Database, bad: Append, says: str
) -> None:
    good = [append(rows={"outbox": [outbox_row()]}) for _ in range(20)]
    results = await together(store, *good[:13], bad, *good[13:])
    failed = results.pop(13)
    assert outcomes(results) == [Outcome.APPENDED] * 20
    assert isinstance(failed, AppendRefused)
    with pytest.raises(AppendRefused, match=says):
        raise failed
    assert await assert_gapless(database) == 20
    assert sorted(row[1] for row in await log(database)) == sorted(streams_of(good))
    assert await query(database, "SELECT count(*) FROM outbox") == [(20,)]


async def test_a_refusal_names_no_value(store: EventStore) -> None:
    secret = "sk_live_" + "x" * 32
    with pytest.raises(AppendRefused) as refused:
        await store.append(append(rows={"outbox": [outbox_row(key=None, correlation_id=secret)]}))
    told = repr(refused.value) + repr(refused.value.__cause__)
    assert secret not in told
    assert "23502" in told


async def test_the_log_goes_on_after_a_refused_batch(store: EventStore, database: Database) -> None:
    with pytest.raises(AppendRefused):
        await store.append(Append([stored(new_id(), topic="nul\0")]))
    assert (await store.append(append())).position == 1
    assert await assert_gapless(database) == 1


async def test_revocation_holds_from_the_next_append_on(store: EventStore, database: Database) -> None:
    key = await insert_api_key(database)
    assert (await store.append(append(api_key_id=key))).outcome is Outcome.APPENDED
    await revoke_api_key(database, key)
    assert (await store.append(append(api_key_id=key))).outcome is Outcome.UNAUTHORIZED
    assert (await store.prove_request(key, None))[0] is False


async def test_expiry_is_by_the_database_s_time(store: EventStore, database: Database) -> None:
    gone, soon, never = [await insert_api_key(database, expires_in_s=s) for s in (-0.001, 3600.0, None)]
    results = await together(store, *(append(api_key_id=key) for key in (gone, soon, never)))
    assert outcomes(results) == [Outcome.UNAUTHORIZED, Outcome.APPENDED, Outcome.APPENDED]
    assert [(await store.prove_request(key, None))[0] for key in (gone, soon, never)] == [False, True, True]


async def test_a_key_that_does_not_hold_learns_nothing_else(store: EventStore, database: Database) -> None:
    """A revoked key meets neither the stored answer nor the conflict."""
    used, stream, key = new_id(), new_id(), await insert_api_key(database)
    await store.append(append(stream, idempotency=key_row(used)))
    await revoke_api_key(database, key)
    refused = await store.append(append(stream, 1, api_key_id=key, idempotency=key_row(used)))
    assert refused == Appended(Outcome.UNAUTHORIZED)


async def test_a_used_idempotency_key_is_told_before_a_conflict(store: EventStore) -> None:
    used, stream = new_id(), new_id()
    await store.append(append(stream, idempotency=key_row(used, body="first")))
    again = await store.append(append(stream, 1, idempotency=key_row(used, body="second")))
    assert again == Appended(Outcome.REPLAYED, None, StoredResponse("hash", 201, "first", sealed=False))


async def test_an_idempotency_key_is_in_flight_by_the_database_s_time(store: EventStore, database: Database) -> None:
    used = new_id()
    await store.append(append(idempotency=key_row(used, flight_s=60)))
    assert (await store.append(append(idempotency=key_row(used)))).outcome is Outcome.IN_FLIGHT
    assert (await store.prove_request(None, used))[2] is True
    await query(
        database,
        "UPDATE idempotency_keys SET in_flight_until = clock_timestamp() WHERE id = %s RETURNING id",
        used,
    )
    assert (await store.append(append(idempotency=key_row(used)))).outcome is Outcome.REPLAYED
    assert (await store.prove_request(None, used))[2] is False


async def test_an_idempotency_key_alone_can_be_stored(store: EventStore, database: Database) -> None:
    """A command that changes nothing still remembers what it answered."""
    used = new_id()
    assert await store.append(append(count=0, idempotency=key_row(used))) == Appended(Outcome.APPENDED)
    assert (await store.append(append(idempotency=key_row(used)))).outcome is Outcome.REPLAYED
    assert await assert_gapless(database) == 0


async def test_a_claim_may_be_made_again_by_its_owner_only(store: EventStore) -> None:
    owner, other = new_id(), new_id()
    assert (await store.append(append(owner, 1, claim=("c", owner)))).outcome is Outcome.APPENDED
    assert (await store.append(append(owner, 2, claim=("c", owner)))).outcome is Outcome.APPENDED
    assert (await store.append(append(other, 1, claim=("c", other)))).outcome is Outcome.CLAIMED


async def test_commands_that_touch_the_same_thing_go_in_different_batches(
    store: EventStore, database: Database
) -> None:
    stream, used, owner = new_id(), new_id(), new_id()
    batch = [
        append(stream, 1),
        append(stream, 2),
        append(idempotency=key_row(used)),
        append(idempotency=key_row(used)),
        append(owner, claim=("c", owner)),
        append(claim=("c", new_id())),
    ]
    results = await together(store, *batch)
    assert outcomes(results) == [
        Outcome.APPENDED,
        Outcome.APPENDED,
        Outcome.APPENDED,
        Outcome.REPLAYED,
        Outcome.APPENDED,
        Outcome.CLAIMED,
    ]
    assert await assert_gapless(database) == 4


async def test_the_same_append_twice_is_one_effect(store: EventStore, database: Database) -> None:
    """What a second try of a batch meets whose answer was lost."""
    owner, key = new_id(), await insert_api_key(database)
    whole = append(
        owner,
        count=2,
        rows={"outbox": [outbox_row()]},
        claim=("c", owner),
        idempotency=key_row(flight_s=60),
        api_key_id=key,
    )
    first = await store.append(whole)
    await revoke_api_key(database, key)  # it was allowed when it was done
    assert await store.append(whole) == first == Appended(Outcome.APPENDED, 1)
    assert await assert_gapless(database) == 2
    assert await query(database, "SELECT count(*) FROM outbox") == [(1,)]


async def test_a_part_of_a_command_in_the_log_is_not_the_command(store: EventStore, database: Database) -> None:
    """Only all of its events prove that it was committed; with less, answering 'done' would lose the rest."""
    stream = new_id()
    begun = [stored(stream, 1), stored(stream, 2)]
    await store.append(Append(begun))
    for longer in ([*begun, stored(stream, 3)], [begun[0]], [begun[0], stored(stream, 2)]):
        expected = Outcome.APPENDED if longer == [begun[0]] else Outcome.CONFLICT
        assert (await store.append(Append(longer))).outcome is expected
    assert await assert_gapless(database) == 2


async def test_other_bytes_at_the_same_version_are_a_conflict(store: EventStore, database: Database) -> None:
    stream = new_id()
    await store.append(Append([stored(stream, state=b"one")]))
    assert (await store.append(Append([stored(stream, state=b"two")]))).outcome is Outcome.CONFLICT
    other_topic = Append([stored(stream, topic="other.v1", state=b"one")])
    assert (await store.append(other_topic)).outcome is Outcome.CONFLICT
    assert await assert_gapless(database) == 1


async def test_two_stores_take_turns_on_one_log(database_url: str, database: Database) -> None:
    async with opened(database_url) as one, opened(database_url) as other:
        streams = [new_id() for _ in range(30)]
        # Both want each stream's first version: exactly one gets it.
        results = await asyncio.gather(
            *(store.append(append(stream)) for stream in streams for store in (one, other)),
        )
    pairs = [{results[place].outcome, results[place + 1].outcome} for place in range(0, 60, 2)]
    assert pairs == [{Outcome.APPENDED, Outcome.CONFLICT}] * 30
    assert await assert_gapless(database) == 30
