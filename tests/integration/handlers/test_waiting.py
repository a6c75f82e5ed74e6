"""Waiting for a state: woken by whoever brings it about, and never for longer than asked."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import pytest

from payloops.commands.handlers import Guard
from payloops.errors import Unavailable
from payloops.events.order_state import OrderState, Pending, Processing
from payloops.values import new_id
from tests.integration.handlers.world import MERCHANT, ORDER, Process, pay, process
from tests.integration.store.proxy import proxied


def is_processing(state: OrderState) -> bool:
    return isinstance(state, Processing)


async def waiting_for(where: Process, order_id: UUID, timeout_s: float = 20.0) -> asyncio.Task[OrderState]:
    """A wait that has begun: it has looked at the order and found it otherwise."""
    looked = asyncio.Event()

    def reached(state: OrderState) -> bool:
        looked.set()
        return is_processing(state)

    task = asyncio.ensure_future(where.handler.wait_for(ORDER, order_id, reached, timeout_s=timeout_s))
    await looked.wait()
    return task


async def test_what_is_so_already_is_not_waited_for(here: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    await here.do(order_id, pay(order_id))
    assert is_processing(await here.handler.wait_for(ORDER, order_id, is_processing, timeout_s=0.0))


async def test_its_own_process_wakes_a_waiter(there: Process, here: Process, shop: Guard) -> None:
    """``there`` has no listener at all."""
    order_id = await here.order(shop)
    waiting = await waiting_for(there, order_id)
    began_s = time.monotonic()
    await there.do(order_id, pay(order_id))
    assert is_processing(await waiting)
    assert time.monotonic() - began_s < 10.0


async def test_another_process_wakes_a_waiter(here: Process, there: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    waiting = await waiting_for(here, order_id)
    await there.do(order_id, pay(order_id))
    assert is_processing(await waiting)
    assert here.store.watch.watched == []


async def test_many_waiters_of_many_orders(here: Process, there: Process, shop: Guard) -> None:
    order_ids = [await here.order(shop) for _ in range(20)]
    waiting = [await waiting_for(here, order_id) for order_id in order_ids for _ in range(3)]
    await asyncio.gather(*(there.do(order_id, pay(order_id)) for order_id in order_ids))
    assert all(is_processing(state) for state in await asyncio.gather(*waiting))


async def test_when_the_time_is_over_the_state_is_told_as_it_is(here: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    began_s = time.monotonic()
    state = await here.handler.wait_for(ORDER, order_id, is_processing, timeout_s=0.2)
    assert isinstance(state, Pending)
    assert 0.2 <= time.monotonic() - began_s < 20.0


async def test_a_wake_up_that_was_missed_costs_the_time_but_not_the_truth(
    here: Process, there: Process, shop: Guard
) -> None:
    """Without a listener another process's commit wakes nobody; at the end the log is asked once more."""
    order_id = await here.order(shop)
    waiting = await waiting_for(there, order_id, timeout_s=0.5)
    await here.do(order_id, pay(order_id))
    assert is_processing(await waiting)


@pytest.mark.parametrize("changes_at", [1, 2])
async def test_a_change_between_a_look_and_the_wait_is_not_missed(
    there: Process, shop: Guard, monkeypatch: pytest.MonkeyPatch, changes_at: int
) -> None:
    """The order changes while what the waiter saw is on its way back to it; no listener wakes it a second time."""
    order_id = await there.order(shop)
    real = there.handler.load
    looks = 0

    async def load_and_lose_a_moment(_aggregate: object, stream_id: UUID) -> OrderState:
        nonlocal looks
        looks += 1
        state = await real(ORDER, stream_id)
        if looks < changes_at:
            there.store.watch.grew(order_id)  # a hint that leads to another look
        elif looks == changes_at:
            monkeypatch.setattr(there.handler, "load", real)
            await there.do(order_id, pay(order_id))
        return state

    monkeypatch.setattr(there.handler, "load", load_and_lose_a_moment)
    async with asyncio.timeout(30.0):
        assert is_processing(await there.handler.wait_for(ORDER, order_id, is_processing, timeout_s=60.0))


async def test_a_waiter_that_goes_away_leaves_nothing_behind(here: Process, shop: Guard) -> None:
    order_id = await here.order(shop)
    waiting = await waiting_for(here, order_id)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert here.store.watch.watched == []


async def test_a_stream_that_does_not_exist_is_waited_for_like_any_other(here: Process) -> None:
    state = await here.handler.wait_for(MERCHANT, new_id(), lambda _: False, timeout_s=0.05)
    assert state == MERCHANT.initial


async def test_waiting_without_a_database_is_unavailable(here: Process, shop: Guard, database_url: str) -> None:
    order_id = await here.order(shop)
    async with proxied(database_url) as network, process(network.dsn) as far:
        waiting = await waiting_for(far, order_id, timeout_s=0.3)
        network.refusing = True
        await network.cut_all()
        with pytest.raises(Unavailable):
            await waiting
