"""Rows that the server refuses, and a server that is not there: neither holds up what has nothing to do with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from payloops.values import new_id
from payloops.workflows_bridge.temporal.connection import ServerAddress
from tests.temporal import servers
from tests.temporal.engine.world import TemporalWorld
from tests.workflows.world import OPTIONS, eventually

pytestmark = pytest.mark.temporal

TRIES = 3
TOO_LONG = "x" * 2000
"""The server takes ids of at most 1,000 characters."""


async def test_a_row_that_the_server_refuses_is_parked_and_the_rest_goes_on(temporal: TemporalWorld) -> None:
    world = temporal.base
    payload: dict[str, Any] = {
        "type": "PaymentWorkflow",
        "workflowId": TOO_LONG,
        "taskQueue": "stripe-payments",
        "input": {},
        "merchantId": str(world.merchant_id),
        "orderId": None,
    }
    row = {"id": str(new_id()), "kind": "start", "key": "poison", "payload": payload, "correlation_id": "c-poison"}
    options = replace(OPTIONS, failures_max=TRIES)
    async with temporal.relaying(options) as relay, temporal.working(("stripe-payments",)):
        await world.insert(row)
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")

        async def parked() -> bool:
            return bool(await world.rows("SELECT id FROM outbox WHERE parked_at IS NOT NULL"))

        await eventually(parked, "the row is parked")
        await world.quiet()
        assert (relay.counters.failed, relay.counters.parked, relay.counters.pauses) == (TRIES, 1, 0)
    [(key, error)] = await world.rows("SELECT key, last_error FROM outbox")
    assert key == "poison"
    assert "INVALID_ARGUMENT" in error
    assert TOO_LONG not in error
    await world.agree(order_id)


async def test_a_relay_without_a_server_holds_no_leases(temporal: TemporalWorld) -> None:
    """Another relay, whose connection is well, takes up every row at once."""
    world = temporal.base
    nowhere = ServerAddress(address="127.0.0.1:9", namespace=servers.NAMESPACE)
    lonely = TemporalWorld(world, temporal.client, nowhere)
    patient = replace(OPTIONS, lease_s=60.0)
    async with lonely.relaying(patient) as relay:
        orders = [await world.paid("pm_card_visa") for _ in range(5)]

        async def paused() -> bool:
            kept = await world.rows("SELECT id FROM outbox WHERE lease_until > now() OR due_at > now()")
            return relay.counters.pauses > 1 and len(kept) <= 1

        await eventually(paused, "the relay pauses, and has at most the row that it tries in hand")
        async with temporal.serving():
            for order_id in orders:
                await world.reach(order_id, "captured")
    for order_id in orders:
        assert len(await world.agree(order_id)) == 1
