"""One effect and one answer for a key, however often and wherever the request is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from payloops.commands import order as orders
from payloops.commands.handlers import Executed, Guard
from payloops.commands.idempotency import IdempotencyKey, Response
from payloops.crypto import DecryptionError
from payloops.db import Database
from payloops.errors import IdempotencyInFlight, IdempotencyMismatch, InvalidApiKey, InvalidStatus, Unavailable
from payloops.events.store import EventStore
from payloops.values import new_id
from tests.integration.handlers.world import (
    MERCHANT,
    ORDER,
    Process,
    create_order,
    key,
    pay,
    process,
    rename,
    respond,
    said_by,
)
from tests.integration.store.appends import query, revoke_api_key
from tests.integration.store.proxy import Fault, proxied


async def renamed(where: Process, shop: Guard, using: IdempotencyKey, **how: Any) -> Executed[Any]:
    """A request with a key: the name is a new one each time, so that it always would do something."""
    merchant_id = shop.merchant_id
    given: dict[str, Any] = {"guard": shop, "respond": respond} | how
    return await where.handler.execute(MERCHANT, merchant_id, rename(merchant_id), idempotency=using, **given)


def answer(done: Executed[Any]) -> Response:
    assert done.response is not None
    return done.response


async def test_the_same_request_again_gets_the_same_bytes_and_has_no_effect(
    here: Process, there: Process, shop: Guard
) -> None:
    using = key(shop.merchant_id)
    first = await renamed(here, shop, using)
    head = await here.store.head()
    assert not answer(first).replayed
    for where in (here, there, here):
        again = await renamed(where, shop, using)
        assert answer(again).replayed
        assert (answer(again).status, answer(again).body) == (answer(first).status, answer(first).body)
        assert (again.events, again.position) == ((), None)
    assert await here.store.head() == head


async def test_a_created_stream_is_created_once(here: Process, there: Process, shop: Guard) -> None:
    using = key(shop.merchant_id)

    async def create(where: Process) -> Executed[Any]:
        order_id = new_id()  # a fresh one each time, as the HTTP layer makes it
        command = create_order(shop.merchant_id, order_id)
        return await where.handler.execute(
            ORDER, order_id, command, guard=shop, respond=respond, idempotency=using, new=True
        )

    outcomes = await asyncio.gather(*(create((here, there)[place % 2]) for place in range(20)), return_exceptions=True)
    answers = {answer(done).body for done in outcomes if not isinstance(done, BaseException)}
    assert len(answers) == 1
    assert {type(done) for done in outcomes if isinstance(done, BaseException)} <= {IdempotencyInFlight}
    again = await create(there)
    assert {answer(again).body} == answers
    assert await here.store.head() == 3  # the account, its key, one order


async def test_another_body_with_the_same_key_is_a_mismatch(here: Process, there: Process, shop: Guard) -> None:
    await renamed(here, shop, key(shop.merchant_id, body={"a": 1}))
    head = await here.store.head()
    for where in (here, there):
        with pytest.raises(IdempotencyMismatch):
            await renamed(where, shop, key(shop.merchant_id, body={"a": 2}))
    again = await renamed(here, shop, key(shop.merchant_id, body={"a": 1}))
    assert answer(again).replayed
    assert await here.store.head() == head


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [2, {"c": 3, "d": 4}]}, {"b": [2, {"d": 4, "c": 3}], "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": None}, {}, False),
        ([1, 2], [2, 1], False),
        (None, {}, False),
    ],
)
def test_bodies_are_the_same_when_only_their_spelling_differs(one: Any, other: Any, same: bool) -> None:
    hashes = {key(new_id(), body=body).request_hash for body in (one, other)}
    assert (len(hashes) == 1) is same


def test_a_key_s_scope_is_merchant_method_and_path() -> None:
    merchant, stranger = new_id(), new_id()
    scopes = [
        (merchant, "POST", "/v1/orders", "k"),
        (stranger, "POST", "/v1/orders", "k"),
        (merchant, "PUT", "/v1/orders", "k"),
        (merchant, "POST", "/v1/orders/", "k"),
        (merchant, "POST", "/v1/orders", "K"),
        (merchant, "POST", "/v1/orders\nk", ""),
    ]
    ids = {IdempotencyKey.of(*scope, {}).id for scope in scopes}
    assert len(ids) == len(scopes)
    assert IdempotencyKey.of(*scopes[0], {"other": 1}).id in ids


async def test_another_merchant_s_same_key_is_another_key(here: Process, shop: Guard) -> None:
    stranger = await here.merchant()
    one = await renamed(here, shop, key(shop.merchant_id))
    other = await renamed(here, stranger, key(stranger.merchant_id))
    assert not answer(other).replayed
    assert answer(one).body != answer(other).body


async def test_a_key_in_use_in_this_process_is_in_flight(here: Process, shop: Guard) -> None:
    using = key(shop.merchant_id)
    outcomes = await asyncio.gather(*(renamed(here, shop, using) for _ in range(10)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Executed", *["IdempotencyInFlight"] * 9]
    assert here.handler._running_keys == set()


async def test_a_key_is_free_again_when_its_request_was_refused(here: Process, shop: Guard) -> None:
    """What is refused is not stored: the next request with the key is judged afresh."""
    order_id = await here.order(shop)
    using = key(shop.merchant_id)
    capture = orders.CapturePayment(order_id, **said_by())
    with pytest.raises(InvalidStatus):
        await here.do(order_id, capture, guard=shop, respond=respond, idempotency=using)
    done = await here.do(order_id, pay(order_id), guard=shop, respond=respond, idempotency=using)
    assert not answer(done).replayed
    assert done.events


async def test_a_refusal_that_follows_from_the_first_request_is_its_answer(
    here: Process, there: Process, shop: Guard
) -> None:
    """The order is being paid, so paying it again is refused; the same request again is not."""
    order_id = await here.order(shop)
    using = key(shop.merchant_id)
    first = await here.do(order_id, pay(order_id), guard=shop, respond=respond, idempotency=using)
    for where in (here, there):
        again = await where.do(order_id, pay(order_id), guard=shop, respond=respond, idempotency=using)
        assert answer(again).body == answer(first).body
        assert answer(again).replayed
        other_key, other_body = key(shop.merchant_id, "k2"), key(shop.merchant_id, body="other")
        for wrong, refusal in ((other_key, InvalidStatus), (other_body, IdempotencyMismatch)):
            with pytest.raises(refusal):
                await where.do(order_id, pay(order_id), guard=shop, respond=respond, idempotency=wrong)


async def test_the_same_request_with_if_match_is_replayed_though_the_version_moved(here: Process, shop: Guard) -> None:
    using = key(shop.merchant_id)
    version = (await here.account(shop.merchant_id)).version
    first = await renamed(here, shop, using, expected_version=version)
    again = await renamed(here, shop, using, expected_version=version)
    assert answer(again).body == answer(first).body


async def test_a_command_that_changes_nothing_is_answered_once_too(here: Process, there: Process, shop: Guard) -> None:
    using, merchant_id = key(shop.merchant_id), shop.merchant_id

    async def again(where: Process) -> Executed[Any]:
        command = rename(merchant_id, "Shop")
        return await where.handler.execute(
            MERCHANT, merchant_id, command, guard=shop, respond=respond, idempotency=using
        )

    first = await again(here)
    assert first.events == ()
    assert not answer(first).replayed
    assert answer(await again(there)).body == answer(first).body
    with pytest.raises(IdempotencyMismatch):
        await renamed(here, shop, key(merchant_id, body="other"))


async def test_a_revoked_key_replays_nothing(here: Process, shop: Guard, database: Database) -> None:
    using = key(shop.merchant_id)
    await renamed(here, shop, using)
    assert shop.api_key_id is not None
    await revoke_api_key(database, shop.api_key_id)
    with pytest.raises(InvalidApiKey):
        await renamed(here, shop, using)
    await query(database, "UPDATE api_keys SET revoked_at = NULL RETURNING id")  # for the checker


# ------------------------------------------------------------------------------------------------------------- secrets


SECRET = b'{"secret":"sk_test_abcdefghijklmnop"}'


def with_secret(_state: Any, _events: Any) -> Response:
    return Response(201, SECRET, secret=True, version=7)


async def test_an_answer_with_a_secret_is_kept_encrypted_and_replayed_as_it_was(
    here: Process, there: Process, shop: Guard, database: Database
) -> None:
    using = key(shop.merchant_id)
    await renamed(here, shop, using, respond=with_secret)
    ((body, sealed),) = await query(database, "SELECT response_body, response_sealed FROM idempotency_keys")
    assert sealed
    assert "sk_test" not in body
    again = answer(await renamed(there, shop, using, respond=with_secret))
    assert (again.status, again.body, again.secret, again.version) == (201, SECRET, True, 7)


async def test_a_sealed_answer_opens_in_its_own_row_only(here: Process, shop: Guard, database: Database) -> None:
    one, other = key(shop.merchant_id, "one"), key(shop.merchant_id, "other")
    await renamed(here, shop, one, respond=with_secret)
    await renamed(here, shop, other, respond=with_secret)
    await query(
        database,
        "UPDATE idempotency_keys a SET response_body = b.response_body FROM idempotency_keys b"
        " WHERE a.id = %s AND b.id = %s RETURNING a.id",
        one.id,
        other.id,
    )
    with pytest.raises(DecryptionError):
        await renamed(here, shop, one, respond=with_secret)


# ----------------------------------------------------------------------------------------------------- the last word


FIRST, LAST = Response(200, b'{"status":"processing"}', version=2), Response(200, b'{"status":"captured"}', version=3)


async def in_flight(where: Process, shop: Guard, using: IdempotencyKey) -> None:
    await renamed(where, shop, using, respond=lambda _state, _events: FIRST)


async def test_a_request_that_waits_is_in_flight_until_its_last_word(
    here: Process, there: Process, shop: Guard
) -> None:
    using = key(shop.merchant_id, flight_s=60)
    await in_flight(here, shop, using)
    for where in (here, there):
        with pytest.raises(IdempotencyInFlight):
            await renamed(where, shop, using)
        with pytest.raises(IdempotencyMismatch):
            await renamed(where, shop, key(shop.merchant_id, body="other", flight_s=60))
    assert await here.handler.finish(using, LAST)
    for where in (here, there):
        again = answer(await renamed(where, shop, using))
        assert (again.body, again.version, again.replayed) == (LAST.body, 3, True)


async def test_a_last_word_that_holds_a_secret_is_sealed_too(here: Process, shop: Guard, database: Database) -> None:
    """The first answer had none (a payment under way), the last one has (the customer's client secret)."""
    using = key(shop.merchant_id, flight_s=60)
    await in_flight(here, shop, using)
    assert await here.handler.finish(using, Response(200, SECRET, secret=True))
    ((body,),) = await query(database, "SELECT response_body FROM idempotency_keys")
    assert "sk_test" not in body
    again = answer(await renamed(here, shop, using))
    assert (again.body, again.secret) == (SECRET, True)


async def test_the_last_word_is_said_once(here: Process, there: Process, shop: Guard) -> None:
    using = key(shop.merchant_id, flight_s=60)
    await in_flight(here, shop, using)
    assert await here.handler.finish(using, LAST)
    assert await here.handler.finish(using, LAST)  # its answer was lost, it is said again
    assert not await there.handler.finish(using, Response(500, b"other"))
    assert answer(await renamed(there, shop, using)).body == LAST.body


async def test_when_the_flight_is_over_the_first_answer_stands(
    here: Process, there: Process, shop: Guard, database: Database
) -> None:
    using = key(shop.merchant_id, flight_s=60)
    await in_flight(here, shop, using)
    await query(database, "UPDATE idempotency_keys SET in_flight_until = clock_timestamp() RETURNING id")
    assert answer(await renamed(there, shop, using)).body == FIRST.body
    assert not await here.handler.finish(using, LAST)  # somebody may have been told the first one by now
    assert answer(await renamed(there, shop, using)).body == FIRST.body


async def test_the_last_word_of_an_unknown_key_changes_nothing(here: Process, shop: Guard) -> None:
    assert not await here.handler.finish(key(shop.merchant_id), LAST)


# ------------------------------------------------------------------------------------------------------- bad networks


async def test_a_request_whose_answer_was_lost_on_the_way_has_one_effect_and_one_answer(
    here: Process, shop: Guard, database_url: str
) -> None:
    async with proxied(database_url) as network, process(network.dsn) as far:
        for fault in (Fault.LOSE_ANSWER, Fault.LOSE_REQUEST, Fault.CUT_MEANWHILE):
            using = key(shop.merchant_id, fault.name, flight_s=60)
            network.arm(fault)
            head = await here.store.head()
            first = await renamed(far, shop, using)
            assert (len(first.events), answer(first).replayed) == (1, False)
            assert await here.store.head() == head + 1
            assert await far.handler.finish(using, LAST)
            assert answer(await renamed(here, shop, using)).body == LAST.body
        assert len(network.done) == 3


async def test_a_client_that_sends_it_again_after_an_unknown_outcome_learns_it(
    here: Process, shop: Guard, database_url: str
) -> None:
    async with proxied(database_url) as network, process(network.dsn) as far:
        using = key(shop.merchant_id)
        await far.account(shop.merchant_id)
        network.arm(Fault.LOSE_ANSWER)
        asked = asyncio.ensure_future(renamed(far, shop, using))
        await network.struck.wait()
        network.refusing = True
        await network.cut_all()
        with pytest.raises(Unavailable):
            await asked
        network.refusing = False
        done = await renamed(here, shop, using)
        assert answer(done).replayed
        assert await here.store.head() == 3


async def test_the_last_word_survives_a_broken_connection(here: Process, shop: Guard, database_url: str) -> None:
    async with proxied(database_url) as network, process(network.dsn) as far:
        using = key(shop.merchant_id, flight_s=60)
        await in_flight(far, shop, using)
        await far.account(shop.merchant_id)
        await network.cut_all()
        assert await far.handler.finish(using, LAST)
        assert answer(await renamed(here, shop, using)).body == LAST.body


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LOSE_REQUEST, Fault.SWALLOW_ANSWER])
async def test_the_last_word_survives_a_connection_that_breaks_while_it_is_said(
    here: Process, shop: Guard, database_url: str, fault: Fault
) -> None:
    async with proxied(database_url) as network, process(network.dsn) as far:
        using = key(shop.merchant_id, flight_s=60)
        await in_flight(far, shop, using)
        network.statement = b"UPDATE idempotency_keys"
        network.arm(fault)
        assert await far.handler.finish(using, LAST)
        assert network.done == [fault]
        assert answer(await renamed(here, shop, using)).body == LAST.body


async def test_a_last_word_that_can_not_be_said_is_unavailable(here: Process, shop: Guard, database_url: str) -> None:
    async with proxied(database_url) as network, process(network.dsn) as far:
        using = key(shop.merchant_id, flight_s=60)
        await in_flight(here, shop, using)
        network.statement = b"UPDATE idempotency_keys"
        network.arm(*[Fault.LOSE_REQUEST] * 9)
        with pytest.raises(Unavailable):
            await far.handler.finish(using, LAST)
        assert len(network.done) == 3  # and no more
        with pytest.raises(IdempotencyInFlight):
            await renamed(here, shop, using)


async def test_old_keys_are_forgotten_in_small_portions(here: Process, shop: Guard, database: Database) -> None:
    for place in range(5):
        await renamed(here, shop, key(shop.merchant_id, f"old {place}"))
    await query(database, "UPDATE idempotency_keys SET created_at = created_at - interval '4 days' RETURNING id")
    await renamed(here, shop, key(shop.merchant_id, "young"))
    store: EventStore = here.store
    assert [await store.forget_idempotency_keys(older_than_s=72 * 3600, limit=3) for _ in range(3)] == [3, 2, 0]
    assert await query(database, "SELECT count(*) FROM idempotency_keys") == [(1,)]
