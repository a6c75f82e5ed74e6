"""Workers that are killed at every activity: before it, in the middle of it, and when its effect is there, untold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest

from payloops.db import Database
from payloops.events.webhook_delivery_state import status
from payloops.temporal_server import TemporalServer
from payloops.workflows_bridge.machines.results import Activity
from payloops.workflows_bridge.temporal.connection import Connection, ServerAddress
from payloops.workflows_bridge.temporal.preparation import Preparation
from tests.deliveries import receiver as r
from tests.deliveries.receiver import receiving
from tests.deliveries.world import NOWHERE
from tests.deliveries.world import World as DeliveryWorld
from tests.deliveries.world import open_world as open_delivery_world
from tests.replay import assert_replay_equals_tables
from tests.temporal import servers
from tests.temporal.engine.delivering import relaying_by
from tests.temporal.engine.doomed import Doom, Places, dies, worker
from tests.temporal.engine.world import TemporalWorld
from tests.temporal.scenarios.steps import THREE_D_SECURE, asked, asked_to_act, captured, held, refunds_settled
from tests.workflows.world import World, eventually

pytestmark = [pytest.mark.temporal, pytest.mark.slow]


@dataclass(frozen=True)
class Case:
    """How an order comes to the call of an activity, and what there must be of it in the end, once."""

    activity: Activity
    operation: str
    """What the processor is asked; none of what only records."""
    prepare: Callable[[World], Awaitable[UUID]]
    trigger: Callable[[World, UUID], Awaitable[object]]
    end: str
    event: str


async def unpaid(world: World) -> UUID:
    return await world.create()


async def pay(world: World, order_id: UUID) -> None:
    await world.pay(order_id, "pm_card_visa")


async def authenticate(world: World, order_id: UUID) -> None:
    await world.authenticate(order_id, "succeed")
    await world.complete(order_id)


async def capture(world: World, order_id: UUID) -> None:
    await world.capture(order_id, 1200)


async def cancel(world: World, order_id: UUID) -> None:
    await world.cancel(order_id)


async def refund(world: World, order_id: UUID) -> None:
    await world.refund(order_id)


async def slowly_refundable(world: World) -> UUID:
    return await captured(world, "pm_card_pendingRefund")


CASES = (
    Case(Activity.CHARGE, "payment.create", unpaid, pay, "captured", "PaymentCaptured"),
    Case(Activity.ASK, "payment.get", asked_to_act, authenticate, "captured", "PaymentCaptured"),
    Case(Activity.CAPTURE, "payment.capture", held, capture, "captured", "PaymentCaptured"),
    Case(Activity.CANCEL, "payment.cancel", held, cancel, "cancelled", "OrderCancelled"),
    Case(Activity.REFUND, "refund.create", captured, refund, "refunded", "RefundSucceeded"),
    Case(Activity.ASK_REFUND, "refund.get", slowly_refundable, refund, "refunded", "RefundSucceeded"),
    Case(Activity.RECORD_PAYMENT, "", unpaid, pay, "captured", "PaymentCaptured"),
    Case(Activity.RECORD_REFUND, "", captured, refund, "refunded", "RefundSucceeded"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.activity.value)
async def test_a_worker_killed_at_an_activity_leaves_one_effect(temporal: TemporalWorld, case: Case) -> None:
    world, places = temporal.base, places_of(temporal)
    async with temporal.relaying():
        async with worker(places):
            orders = [await case.prepare(world) for _ in range(3)]
        first, second, third = orders
        await killed_in_the_middle(temporal, case, first)
        for order_id, when in ((second, "before"), (third, "after")):
            await case.trigger(world, order_id)
            doom = Doom(case.activity.value, when, str(order_id))  # type: ignore[arg-type]
            async with worker(places, doom) as process:
                await dies(process)
        async with worker(places):
            for order_id in orders:
                await world.reach(order_id, case.end)
                await world.until(order_id, lambda s: case.end != "refunded" or refunds_settled(s))
    for order_id in orders:
        payments = await world.agree(order_id)
        assert len(payments) == 1
        assert (await world.history(order_id)).count(case.event) == 1
    if case.event == "RefundSucceeded":
        assert len((await world.ledger())["refunds"]) == len(orders)


async def killed_in_the_middle(temporal: TemporalWorld, case: Case, order_id: UUID) -> None:
    """The processor has done it and holds its answer back; or the record waits for the log's lock."""
    world, places = temporal.base, places_of(temporal)
    if case.operation:
        before = (await world.ledger())["calls"].get(case.operation, 0)
        await world.fault(case.operation, "timeout_after")
        await case.trigger(world, order_id)
        async with worker(places) as process:
            await asked(world, case.operation, before + 1)
            process.kill()
            await dies(process)
        return
    await case.trigger(world, order_id)
    async with locked_log(world) as waiting, worker(places) as process:
        await eventually(waiting, "a record waits for the log")
        process.kill()
        await dies(process)


@asynccontextmanager
async def locked_log(world: World) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Nobody can append within the block; gives whether somebody tries."""
    async with world.database.connection() as connection, connection.transaction():
        await connection.execute("SELECT position FROM log_head FOR UPDATE")

        async def waiting() -> bool:
            sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            return bool(await world.rows(sql))

        yield waiting


async def test_starts_and_signals_that_come_twice_have_one_effect(temporal: TemporalWorld) -> None:
    """Two relays that both believe that they are the first, and a server that is told everything five times."""
    world = temporal.base
    async with temporal.relaying(), temporal.relaying():
        order_id = await world.paid(THREE_D_SECURE)
        await world.quiet()
        (start,) = await servers.listed(temporal.client, f"WorkflowId='payment-{order_id}'")
        told = {"success": True, "processorTransactionId": None, "eventId": "evt_1"}
        handle = temporal.payment(order_id)
        await asyncio.gather(*(handle.signal("completePayment", told) for _ in range(5)))
        async with worker(places_of(temporal)):
            await world.reach(order_id, "requires_action")
            await world.authenticate(order_id, "succeed")
            await asyncio.gather(*(handle.signal("completePayment", told) for _ in range(5)))
            await world.reach(order_id, "captured")
            await temporal.result(f"payment-{order_id}")
    assert len(await world.agree(order_id)) == 1
    assert (await world.history(order_id)).count("PaymentCaptured") == 1
    assert start.run_id


async def test_a_worker_killed_at_a_delivery_leaves_one_record_of_each_attempt(
    database_url: str, database: Database, temporal_server: TemporalServer
) -> None:
    address = ServerAddress(address=temporal_server.address, namespace=servers.NAMESPACE)
    places = Places(database_url, address.address, address.namespace, {"stripe": NOWHERE, "razorpay": NOWHERE})
    async with open_delivery_world(database_url, database) as world, receiving() as receiver:
        shop = await world.shop()
        await world.endpoint(shop, receiver.at())
        receiver.behave("hook", r.black_hole)
        async with relaying_by(world, lambda: Preparation(Connection(address, part="test"))):
            await world.told(shop)
            async with worker(places) as process:
                await receiver.until(1)
                process.kill()
                await dies(process)
            for when in ("before", "after"):
                delivery_id = await scheduled(world, await world.told(shop))
                doom = Doom(Activity.ATTEMPT_DELIVERY.value, when, str(delivery_id))
                async with worker(places, doom) as process:
                    await dies(process)
            async with worker(places):
                states = await world.all_ended(shop, 3)
    assert [(status(state), state.facts.attempts) for state in states] == [("delivered", 1)] * 3
    # The first was sent twice, for nobody can know whether it arrived; the third was recorded before its worker died.
    assert sorted(Counter(one.id for one in receiver.received).values()) == [1, 1, 2]
    await assert_replay_equals_tables(database)


async def scheduled(world: DeliveryWorld, order_id: UUID) -> UUID:
    """The order's one delivery, once the relay has scheduled it."""
    found: list[UUID] = []

    async def is_there() -> bool:
        rows = await world.rows("SELECT id FROM webhook_deliveries WHERE order_id = %s", order_id)
        found[:] = [row[0] for row in rows]
        return bool(found)

    await eventually(is_there, "the delivery is scheduled")
    return found[0]


def places_of(temporal: TemporalWorld) -> Places:
    return Places(temporal.base.dsn, temporal.server.address, temporal.server.namespace, temporal.api_bases)
