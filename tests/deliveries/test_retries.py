"""A merchant wants it sent again, now; and relays that die in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from payloops.commands.handlers import CommandHandler
from payloops.commands.webhook_delivery import RecordAttempt
from payloops.events.webhook_delivery_state import Retrying, status
from payloops.workflows_bridge.activities import Caller
from payloops.workflows_bridge.contracts import Signal, SignalWorkflow
from payloops.workflows_bridge.deliveries.health import Limits
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, in_order
from tests.deliveries.world import DELIVERING, FAST, World, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENT = replace(FAST, steps_s=(60.0,) * 5, turn_wait_s=60.0)
WITHIN_S = 180.0


async def test_a_delivery_that_waits_goes_now(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", r.answer(500), then=r.OK)
    async with world.relaying(replace(DELIVERING, schedule=PATIENT)):
        await world.told(shop)
        [delivery] = await _deliveries(world, shop, 1)
        await world.until(delivery, lambda state: isinstance(state, Retrying))
        await world.quiet()
        await world.retry(shop, delivery)
        state = await world.ended(delivery)
        await world.quiet()
    assert (status(state), state.facts.attempts, state.facts.round) == ("delivered", 2, 1)
    assert len({one.id for one in receiver.received}) == 1
    assert await world.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_one_whose_turn_it_is_not_goes_now(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", r.answer(500), then=r.OK)
    async with world.relaying(replace(DELIVERING, schedule=PATIENT)):
        await world.told(shop, 2)
        _, second = await _deliveries(world, shop, 2)
        await receiver.until(1)
        await world.quiet()
        await world.retry(shop, second)
        assert status(await world.ended(second)) == "delivered"
    assert [one.sequence for one in receiver.received] == [1, 2]


async def test_one_that_has_ended_begins_a_round(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    short = replace(FAST, steps_s=(0.1,))
    receiver.behave("hook", *[r.answer(500)] * 3, then=r.OK)
    async with world.relaying(replace(DELIVERING, schedule=short)):
        await world.told(shop)
        [failed] = await world.all_ended(shop, 1)
        delivery = failed.facts.delivery_id
        assert (status(failed), failed.facts.attempts) == ("failed", 2)
        await world.retry(shop, delivery)
        state = await world.until(delivery, lambda state: state.facts.round == 2 and status(state) == "delivered")
        # The schedule began anew: the third attempt failed, and was followed by a fourth.
        assert state.facts.attempts == 4
        assert state.facts.workflow_id == f"webhook-{delivery}-2"
        await world.retry(shop, delivery)
        state = await world.until(delivery, lambda state: state.facts.round == 3 and status(state) == "delivered")
        await world.quiet()
    assert state.facts.attempts == 5
    assert len({one.body for one in receiver.received}) == 1


async def test_a_person_is_not_held_up_by_the_circuit(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", then=r.answer(500))
    limits = Limits(failures_max=2, open_min_s=60.0)
    async with world.relaying(replace(DELIVERING, schedule=replace(FAST, steps_s=()), limits=limits)):
        for _ in range(2):
            await world.told(shop)
        one, _ = await world.all_ended(shop, 2)
        receiver.behave("hook", then=r.OK)
        await world.retry(shop, one.facts.delivery_id)
        await world.until(one.facts.delivery_id, lambda state: status(state) == "delivered")

        async def well() -> bool:
            return await world.rows("SELECT count(*) FROM endpoint_health") == [(0,)]

        await eventually(well, "the endpoint counts as well again")


async def test_a_retry_that_is_written_twice_sends_once_more(world: World, receiver: Receiver) -> None:
    """The activity is called again after its attempt was recorded: that call is no wish for another one."""
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", then=r.answer(500))
    async with world.delivering(replace(DELIVERING, schedule=PATIENT)) as parts:
        async with world.relaying(replace(DELIVERING, schedule=PATIENT)):
            await world.told(shop)
            [delivery] = await _deliveries(world, shop, 1)
            await receiver.until(1)
            await world.quiet()
        attempt = parts.activities["attemptDelivery"]
        told = {"deliveryId": str(delivery), "merchantId": str(shop.id), "attempts": 1, "now": True}
        caller = Caller(f"webhook-{delivery}", "c-1")
        first, second = await attempt(told, caller), await attempt(told, caller)
    assert len(receiver.received) == 2
    assert (first["told"], first["attempts"]) == (second["told"], second["attempts"]) == ("retry", 2)


async def test_a_workflow_of_an_earlier_round_does_nothing(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    async with world.delivering() as parts:
        async with world.relaying():
            await world.told(shop)
            [state] = await world.all_ended(shop, 1)
        delivery = state.facts.delivery_id
        await world.retry(shop, delivery)
        told = {"deliveryId": str(delivery), "merchantId": str(shop.id), "attempts": 0, "now": False}
        answer = await parts.activities["attemptDelivery"](told, Caller(f"webhook-{delivery}", "c-1"))
        assert answer["told"] == "ended"
        assert len(receiver.received) == 1
        answer = await parts.activities["attemptDelivery"](told, Caller(f"webhook-{delivery}-2", "c-1"))
        assert (answer["told"], answer["result"]["success"]) == ("ended", True)
    assert len(receiver.received) == 2


@pytest.mark.parametrize("signal", (Signal.PROCEED, Signal.RETRY_NOW))
async def test_without_a_workflow_the_signal_itself_delivers(world: World, receiver: Receiver, signal: Signal) -> None:
    """The workflow was ended by somebody else, while the delivery was not."""
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", *[r.answer(500)] * 2, then=r.OK)
    soon = replace(FAST, steps_s=(0.5,) * 5)
    async with world.relaying(replace(DELIVERING, schedule=soon)):
        await world.told(shop)
        [delivery] = await _deliveries(world, shop, 1)
        await receiver.until(1)
        await world.quiet()
    await world.rows("DELETE FROM workflow_runs")
    await world.rows("DELETE FROM outbox")
    told = SignalWorkflow(f"webhook-{delivery}", signal.value, {}, str(shop.id), None, 1).to_json()
    async with world.relaying():
        await world.insert(f"webhook-{delivery}", "signal", told)
        assert status(await world.ended(delivery)) == "delivered"
        await world.quiet()
    assert len(receiver.received) == 3


async def test_a_crash_between_the_answer_and_its_record_sends_the_same_again(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, crashes = CommandHandler.execute, 0

    async def dying(self: CommandHandler, aggregate: Any, stream_id: Any, command: Any, **more: Any) -> Any:
        nonlocal crashes
        if isinstance(command, RecordAttempt) and crashes < 2:
            crashes += 1
            raise RuntimeError("killed")
        return await real(self, aggregate, stream_id, command, **more)

    monkeypatch.setattr(CommandHandler, "execute", dying)
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    async with world.relaying():
        await world.told(shop)
        [state] = await world.all_ended(shop, 1)
        await world.quiet()
    assert (status(state), state.facts.attempts) == ("delivered", 1)
    assert len(receiver.received) == 3
    assert len({(one.id, one.body) for one in receiver.received}) == 1


@asynccontextmanager
async def relay_process(dsn: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A relay in a process of its own; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.deliveries.relay_process",
        cwd=ROOT,
        env={**os.environ, "RELAY": json.dumps({"dsn": dsn})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"relaying\n"
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.slow
async def test_relays_that_are_killed_in_the_middle(world: World, receiver: Receiver) -> None:
    """Nothing is lost, every order's events come in order, and what comes twice is the same."""
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    receiver.expect("hook", endpoint.secret)
    receiver.behave("hook", then=r.slow(0.05))
    orders = [await world.told(shop, 3) for _ in range(8)]
    for n in (1, 7, 15):
        async with relay_process(world.dsn) as process:
            await receiver.until(n, within_s=WITHIN_S)
            process.kill()
    async with relay_process(world.dsn):
        states = await world.all_ended(shop, 24, within_s=WITHIN_S)
        await world.quiet()
    assert {status(state) for state in states} == {"delivered"}
    for order_id in orders:
        mine = [one for one in receiver.received if one.document["orderId"] == str(order_id)]
        assert {one.sequence for one in mine} == {1, 2, 3}
        assert in_order(mine)
    assert [one.problem for one in receiver.received if one.problem is not None] == []
    bodies = Counter((one.id, one.body) for one in receiver.received)
    assert len(bodies) == 24
    assert sum(bodies.values()) < 24 + 3 * 9


async def _deliveries(world: World, shop: Any, count: int) -> list[Any]:
    async def there() -> bool:
        return len(await world.deliveries_of(shop)) >= count

    await eventually(there, f"{count} deliveries")
    return await world.deliveries_of(shop)
