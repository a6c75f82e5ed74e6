"""The engine's own part: what is started once, what is nobody's, what is down, and what was begun elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from payloops.errors import Unavailable
from payloops.events.order_state import RequiresAction
from payloops.temporal_server import start
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import LeaseLost, NotTaken, Run, Taken
from payloops.workflows_bridge.engines.temporal import Refused, TemporalEngine
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from tests.parts import open_directory
from tests.temporal import servers
from tests.temporal.engine.world import TemporalWorld
from tests.workflows.simulation import Hand
from tests.workflows.world import FAST, eventually

pytestmark = pytest.mark.temporal

PATIENT = replace(FAST, action_timeout_s=60, action_asks_s=(50,))


def hand(key: str, run: Run | None = None) -> Hand:
    return Hand(key, run, lambda: 1000.0, repeated=False)


def operation(order_id: str, *, key: str) -> StartWorkflow:
    told = {"orderId": order_id, "merchantId": "m", "processor": "stripe", "transactionId": "t"}
    return StartWorkflow("VoidWorkflow", key, "nobody-polls-this", told, "m", order_id)


def cancel(key: str) -> SignalWorkflow:
    return SignalWorkflow(key, "cancelPayment", {}, "m", "o", 1)


async def test_an_id_that_runs_or_has_run_is_success(temporal: TemporalWorld) -> None:
    engine, key = TemporalEngine(temporal.preparation()), f"void-{temporal.base.merchant_id}"
    for _ in range(2):
        assert await engine.start(operation("o", key=key), hand(key)) == Taken()
    handle = temporal.client.get_workflow_handle(key)
    first = (await handle.describe()).run_id
    assert await engine.signal(cancel(key), hand(key)) == Taken()
    await handle.terminate()
    assert await engine.start(operation("o", key=key), hand(key)) == Taken()
    assert (await handle.describe()).run_id == first
    assert await engine.signal(cancel(key), hand(key)) == NotTaken("finished or unknown")


async def test_a_signal_to_nobody_is_not_taken(temporal: TemporalWorld) -> None:
    engine = TemporalEngine(temporal.preparation())
    assert await engine.signal(cancel("payment-unknown"), hand("payment-unknown")) == NotTaken("finished or unknown")


async def test_what_the_server_refuses_is_the_rows_own_failure(temporal: TemporalWorld) -> None:
    engine, key = TemporalEngine(temporal.preparation()), "k" * 2000
    with pytest.raises(Refused, match="INVALID_ARGUMENT"):
        await engine.start(operation("o", key=key), hand(key))


async def test_nothing_is_sent_without_a_lease(temporal: TemporalWorld) -> None:
    class Expired(Hand):
        def require_lease(self) -> None:
            raise LeaseLost(self.key)

    engine, key = TemporalEngine(temporal.preparation()), f"void-lease-{temporal.base.merchant_id}"
    for call in (
        engine.start(operation("o", key=key), Expired(key, None, lambda: 0.0, repeated=False)),
        engine.signal(cancel(key), Expired(key, None, lambda: 0.0, repeated=False)),
    ):
        with pytest.raises(LeaseLost):
            await call
    assert await engine.signal(cancel(key), hand(key)) == NotTaken("finished or unknown")


async def test_a_server_that_is_nowhere_is_unavailable() -> None:
    nowhere = ServerAddress(address="127.0.0.1:1", namespace="loop")
    engine = TemporalEngine(Preparation(Connection(nowhere, part="test")))
    for call in (engine.start(operation("o", key="k"), hand("k")), engine.signal(cancel("k"), hand("k"))):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer"):
            await call


async def test_a_namespace_and_its_attributes_are_made_when_they_lack(temporal: TemporalWorld) -> None:
    fresh = replace(temporal.server, namespace=f"fresh-{temporal.base.merchant_id}")
    engine, key = TemporalEngine(Preparation(Connection(fresh, part="test"))), f"void-{temporal.base.merchant_id}"

    async def started() -> bool:
        try:
            return await engine.start(operation("o", key=key), hand(key)) == Taken()
        except Unavailable:
            # The server takes a moment until all of it knows what was made.
            return False

    await eventually(started, "the fresh namespace takes a workflow")
    client = await Connection(fresh, part="test").client()
    found = await client.get_workflow_handle(key).describe()
    assert found.search_attributes["OrderId"] == ["o"]


async def test_orders_are_taken_while_the_server_is_away_and_paid_when_it_is_back(temporal: TemporalWorld) -> None:
    world = temporal.base
    with open_directory() as place, servers.dev_server(place) as first:
        moved = TemporalWorld(world, temporal.client, ServerAddress(address=first.address, namespace=servers.NAMESPACE))
        async with moved.relaying() as relay:
            before = await world.paid("pm_card_visa")
            await world.quiet()
            first.stop()
            orders = [await world.paid("pm_card_visa") for _ in range(5)]

            async def paused() -> bool:
                return relay.counters.pauses > 1

            await eventually(paused, "the relay pauses")
            assert len(await world.rows("SELECT seq FROM outbox")) == len(orders)
            again = await asyncio.to_thread(start, place, namespace=servers.NAMESPACE, ports=first.ports)
            try:
                async with moved.working():
                    for order_id in (before, *orders):
                        await world.reach(order_id, "captured")
                    await world.quiet()
            finally:
                again.stop()
            assert (relay.counters.failed, relay.counters.parked) == (0, 0)
    for order_id in (before, *orders):
        assert len(await world.agree(order_id)) == 1


async def test_a_payment_that_the_embedded_engine_began_is_carried_over(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with world.relaying(PATIENT):
        told, silent = [await world.paid("pm_card_authenticationRequired") for _ in range(2)]
        for order_id in (told, silent):
            assert isinstance(await world.reach(order_id, "requires_action"), RequiresAction)
        await world.quiet()
    for order_id in (told, silent):
        await world.authenticate(order_id, "succeed")
    await world.rows("UPDATE outbox SET due_at = now() WHERE key = %s", f"payment-{silent}")
    async with temporal.serving():
        await world.complete(told)
        await world.reach(told, "captured")
        await world.quiet()
        await temporal.waits(silent)
        await temporal.payment(silent).signal(
            "completePayment", {"success": True, "processorTransactionId": None, "eventId": "e"}
        )
        await world.reach(silent, "captured")
    for order_id in (told, silent):
        assert len(await world.agree(order_id)) == 1
    assert await world.rows("SELECT DISTINCT status FROM workflow_runs") == [("finished",)]
    # They went on from where they were, rather than from the beginning.
    assert (await world.ledger())["calls"]["payment.create"] == 2
