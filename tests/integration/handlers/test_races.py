"""Commands of several processes on one stream: each takes effect once, on the state that it was decided on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from payloops.commands import merchant as merchants
from payloops.commands import order as orders
from payloops.commands import order_results as results
from payloops.commands.handlers import RELOADS_MAX, Guard
from payloops.db import Database
from payloops.errors import (
    EmailExists,
    InvalidApiKey,
    InvalidStatus,
    NotFound,
    Overloaded,
    RefundExceedsCaptured,
    VersionConflict,
)
from payloops.events.order_state import Absent, Captured, Pending, Processing
from payloops.events.store import Append, Appended
from payloops.values import new_id
from tests.integration.handlers.world import MERCHANT, ORDER, Process, create_key, create_order, pay, rename, said_by
from tests.integration.store.appends import outbox_row, query


@dataclass
class Rival:
    """Somebody who is always a bit faster: before this process's append, another one appends to the same stream."""

    here: Process
    there: Process
    merchant_id: UUID
    times: int
    appends: list[Append] = field(default_factory=list)

    def step_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = self.here.store.append

        async def append(made: Append) -> Appended:
            self.appends.append(made)
            if self.times > 0:
                self.times -= 1
                await self.there.handler.execute(MERCHANT, self.merchant_id, rename(self.merchant_id))
            return await real(made)

        monkeypatch.setattr(self.here.store, "append", append)


@pytest.fixture
def rival(here: Process, there: Process, shop: Guard, monkeypatch: pytest.MonkeyPatch) -> Rival:
    made = Rival(here, there, shop.merchant_id, times=0)
    made.step_in(monkeypatch)
    return made


@pytest.mark.parametrize("cached", [True, False], ids=["state cached", "state not cached"])
@pytest.mark.parametrize("lost", range(RELOADS_MAX + 2))
async def test_a_lost_race_is_run_again_from_the_log_three_times_at_most(rival: Rival, lost: int, cached: bool) -> None:
    here, there, merchant_id = rival.here, rival.there, rival.merchant_id
    if not cached:
        here.handler._cache.clear()
    rival.times = lost
    command = rename(merchant_id, "in the end")
    if lost <= RELOADS_MAX:
        await here.handler.execute(MERCHANT, merchant_id, command)
        account = await there.account(merchant_id)
        assert (account.name, account.version) == ("in the end", 2 + lost + 1)
        assert len(rival.appends) == lost + 1
    else:
        with pytest.raises(VersionConflict):
            await here.handler.execute(MERCHANT, merchant_id, command)
        assert len(rival.appends) == RELOADS_MAX + 1


async def test_a_state_that_is_out_of_date_refuses_nothing_that_is_allowed(
    here: Process, there: Process, shop: Guard
) -> None:
    order_id = await here.order(shop)
    with pytest.raises(InvalidStatus):
        await here.do(order_id, orders.RefundPayment(order_id, refund_id=new_id(), **said_by()), guard=shop)
    await there.do(order_id, pay(order_id))
    await there.do(order_id, captured(order_id))
    refund = orders.RefundPayment(order_id, refund_id=new_id(), amount=400, **said_by())
    assert (await here.do(order_id, refund, guard=shop)).events


async def test_a_state_that_is_out_of_date_allows_nothing_that_is_refused(
    here: Process, there: Process, shop: Guard
) -> None:
    order_id = await here.order(shop)
    await there.do(order_id, orders.CancelOrder(order_id, **said_by()))
    with pytest.raises(InvalidStatus):
        await here.do(order_id, pay(order_id), guard=shop)


async def test_a_state_that_is_out_of_date_does_not_take_something_for_done(
    here: Process, there: Process, shop: Guard
) -> None:
    """Back to the name that the cache still shows: a command, not a no-op."""
    merchant_id = shop.merchant_id
    await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id, "A"))
    await there.handler.execute(MERCHANT, merchant_id, rename(merchant_id, "B"))
    done = await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id, "A"))
    assert len(done.events) == 1
    assert (await there.account(merchant_id)).name == "A"


async def test_a_slow_load_does_not_put_an_old_state_over_a_new_one(here: Process, shop: Guard) -> None:
    merchant_id = shop.merchant_id
    old = await here.account(merchant_id)
    new = (await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id))).state
    here.handler._remember(MERCHANT, merchant_id, old)
    assert here.handler._cached(MERCHANT, merchant_id) is new


async def test_fifty_payments_at_once_on_two_processes_are_one(here: Process, there: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    tries = [(here, there)[place % 2].do(order_id, pay(order_id), guard=shop) for place in range(50)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refusals) == 49
    assert {type(refusal) for refusal in refusals} <= {InvalidStatus, VersionConflict}
    assert isinstance(await there.state(order_id), Processing)


async def test_fifty_refunds_at_once_on_two_processes_stay_within_the_captured_amount(
    here: Process, there: Process, shop: Guard
) -> None:
    order_id = await here.order(shop, amount=1000)
    await here.do(order_id, pay(order_id))
    await here.do(order_id, captured(order_id))

    def refund(place: int) -> Any:
        command = orders.RefundPayment(order_id, refund_id=new_id(), amount=90, **said_by())
        return (here, there)[place % 2].do(order_id, command, guard=shop)

    outcomes = await asyncio.gather(*(refund(place) for place in range(50)), return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(refusal) for refusal in refusals} <= {RefundExceedsCaptured, VersionConflict}
    state = await here.state(order_id)
    assert isinstance(state, Captured)
    assert state.captured - state.refundable == 90 * (50 - len(refusals)) <= 1000
    assert state.captured == 1000


def captured(order_id: UUID, amount: int = 1000, attempt: int = 1) -> results.RecordCaptured:
    return results.RecordCaptured(
        order_id,
        attempt=attempt,
        amount=amount,
        surplus_refund_id=new_id(),
        processor_transaction_id="pi_1",
        **said_by(),
    )


# ------------------------------------------------------------------------------------------------------------ If-Match


async def test_if_match_lets_the_version_pass_that_it_names(here: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    assert (await here.do(order_id, pay(order_id), guard=shop, expected_version=1)).events


async def test_if_match_refuses_another_version_and_is_not_run_again(here: Process, rival: Rival) -> None:
    merchant_id = rival.merchant_id
    version = (await here.account(merchant_id)).version
    for wrong in (version - 1, version + 1):
        with pytest.raises(VersionConflict):
            await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id), expected_version=wrong)
    rival.times = 1
    with pytest.raises(VersionConflict):
        await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id), expected_version=version)
    assert len(rival.appends) == 1


async def test_if_match_goes_by_the_log_and_not_by_the_cache(here: Process, there: Process, shop: Guard) -> None:
    merchant_id = shop.merchant_id
    version = (await here.account(merchant_id)).version
    await there.handler.execute(MERCHANT, merchant_id, rename(merchant_id))
    await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id), expected_version=version + 1)
    assert (await there.account(merchant_id)).version == version + 2


# ------------------------------------------------------------------------------------------------- whose stream it is


async def test_another_merchant_s_order_does_not_exist(here: Process, there: Process, shop: Guard) -> None:
    order_id, stranger = await here.order(shop), await here.merchant()
    unknown = new_id()
    for where in (here, there):
        with pytest.raises(NotFound) as theirs:
            await where.do(order_id, pay(order_id), guard=stranger)
        with pytest.raises(NotFound) as nobody_s:
            await where.do(unknown, pay(unknown), guard=stranger)
        assert theirs.value.message == nobody_s.value.message
        with pytest.raises(NotFound):
            await where.do(order_id, pay(order_id), guard=stranger, expected_version=7)
    assert isinstance(await here.state(order_id), Pending)


async def test_a_stream_of_another_kind_does_not_exist(here: Process, there: Process, shop: Guard) -> None:
    """Its own id is known to a merchant, but it is no order, nor is an order an account."""
    order_id = await here.order(shop)
    for where in (here, there):
        with pytest.raises(NotFound, match="No such order"):
            await where.do(shop.merchant_id, pay(shop.merchant_id), guard=shop)
        with pytest.raises(NotFound, match="No such merchant"):
            await where.handler.execute(MERCHANT, order_id, rename(order_id), guard=shop)
        assert isinstance(await where.state(shop.merchant_id), Absent)


async def test_a_revoked_key_is_refused_on_every_process_whatever_the_answer_would_be(
    here: Process, there: Process, shop: Guard
) -> None:
    order_id = await there.order(shop)
    key_id = shop.api_key_id
    assert key_id is not None
    revoke = merchants.RevokeApiKey(merchant_id=shop.merchant_id, key_id=key_id, **said_by())
    await here.handler.execute(MERCHANT, shop.merchant_id, revoke)
    commands = (
        (order_id, pay(order_id)),  # would be done
        (order_id, orders.CapturePayment(order_id, **said_by())),  # would be refused
        (new_id(), pay(order_id)),  # would not be found
    )
    for stream_id, command in commands:
        with pytest.raises(InvalidApiKey):
            await there.do(stream_id, command, guard=shop)
    with pytest.raises(InvalidApiKey):
        await there.handler.execute(MERCHANT, shop.merchant_id, rename(shop.merchant_id, "Shop"), guard=shop)  # no-op
    with pytest.raises(InvalidApiKey):
        await there.handler.prove(shop)
    with pytest.raises(InvalidApiKey):
        await there.order(shop)


# ------------------------------------------------------------------------------------------------- no-ops, rows, turns


async def test_a_command_that_changes_nothing_writes_nothing(here: Process, shop: Guard, database: Database) -> None:
    head = await here.store.head()
    merchant_id = shop.merchant_id
    done = await here.handler.execute(
        MERCHANT, merchant_id, rename(merchant_id, "Shop"), guard=shop, extra_rows={"outbox": [outbox_row()]}
    )
    assert (done.events, done.position) == ((), None)
    assert await here.store.head() == head
    assert await query(database, "SELECT count(*) FROM outbox") == [(0,)]


async def test_extra_rows_commit_with_the_events_and_beside_the_projections_own(
    here: Process, shop: Guard, database: Database
) -> None:
    order_id = await here.order(shop)
    extra = {"outbox": [outbox_row(kind="extra")]}
    given = [dict(row) for row in extra["outbox"]]
    await here.do(order_id, pay(order_id), guard=shop, extra_rows=extra)
    kinds = await query(database, "SELECT kind FROM outbox ORDER BY kind")
    assert kinds == [("extra",), ("start",)]  # and the payment's own
    assert extra["outbox"] == given  # what was given is the caller's
    with pytest.raises(InvalidStatus):
        await here.do(order_id, pay(order_id), guard=shop, extra_rows={"outbox": [outbox_row(kind="never")]})
    assert await query(database, "SELECT count(*) FROM outbox") == [(2,)]


async def test_a_claimed_address_is_taken_for_everybody_else(here: Process, there: Process) -> None:
    def register(merchant_id: UUID) -> merchants.RegisterMerchant:
        sealed: Any = "p1.sealed"
        return merchants.RegisterMerchant(
            merchant_id=merchant_id, name="n", email=sealed, email_digest="digest", password_hash=sealed, **said_by()
        )

    ids = [new_id() for _ in range(10)]
    tries = [
        (here, there)[place % 2].handler.execute(MERCHANT, each, register(each), new=True, claim="email:digest")
        for place, each in enumerate(ids)
    ]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(EmailExists) == 9


async def test_a_new_stream_that_exists_after_all_is_loaded(here: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    with pytest.raises(InvalidStatus, match="exists already"):
        await here.do(order_id, create_order(shop.merchant_id, order_id), guard=shop, new=True)


async def test_waiting_for_a_turn_ends(here: Process, shop: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payloops.commands.handlers.TURN_TIMEOUT_S", 0.05)
    merchant_id = shop.merchant_id
    async with here.handler._turn(merchant_id):
        with pytest.raises(Overloaded):
            await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id))
    assert (await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id))).events
    assert here.handler._turns == {}


async def test_a_caller_that_goes_away_leaves_the_stream_usable(here: Process, shop: Guard) -> None:
    merchant_id = shop.merchant_id
    before = (await here.account(merchant_id)).version
    for _ in range(20):
        gone = asyncio.ensure_future(here.handler.execute(MERCHANT, merchant_id, rename(merchant_id)))
        for _ in range(3):
            await asyncio.sleep(0)
        gone.cancel()
        assert (await here.handler.execute(MERCHANT, merchant_id, rename(merchant_id))).events
    assert here.handler._turns == {}
    assert before + 20 <= (await here.account(merchant_id)).version <= before + 40


async def test_the_cache_is_bounded(here: Process, shop: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payloops.commands.handlers.CACHE_MAX", 3)
    made = [await here.order(shop) for _ in range(6)]
    assert [stream for _, stream in here.handler._cache] == made[-3:]


async def test_an_event_that_no_state_can_take_is_not_appended(here: Process, shop: Guard) -> None:
    """A bad decision fails while it is folded, before anything is written."""
    order_id = await here.order(shop)
    head = await here.store.head()
    event = (await here.store.load(order_id))[0]
    broken = replace(ORDER, decide=lambda _command, _state: (event,))
    with pytest.raises(Exception, match="version 1"):
        await here.handler.execute(broken, order_id, pay(order_id))
    assert await here.store.head() == head


async def test_keys_of_one_account_are_made_at_once(here: Process, there: Process, shop: Guard) -> None:
    merchant_id = shop.merchant_id
    tries = [
        (here, there)[place % 2].handler.execute(MERCHANT, merchant_id, create_key(merchant_id, new_id()))
        for place in range(20)
    ]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    made = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} <= {VersionConflict}
    assert len((await here.account(merchant_id)).api_keys) == 1 + len(made)
