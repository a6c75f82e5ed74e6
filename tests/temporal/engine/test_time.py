"""The contract's own times, lived through on a server that skips them."""

from __future__ import annotations

from functools import partial

import pytest
from temporalio.testing import WorkflowEnvironment

from payloops.events.order_state import Failed
from payloops.workflows_bridge.temporal.connection import ServerAddress
from tests.temporal.engine.world import TemporalWorld
from tests.workflows.world import World, eventually

pytestmark = pytest.mark.temporal


async def test_a_customer_is_waited_for_a_quarter_of_an_hour(
    temporal: TemporalWorld, time_skipping: WorkflowEnvironment
) -> None:
    """Asked after 10 s, 1 min and 5 min, once more before the decision, and then ended."""
    world, client = temporal.base, time_skipping.client
    address = ServerAddress(address=client.service_client.config.target_host, namespace=client.namespace)
    skipping = TemporalWorld(world, client, address)
    calls = []
    async with skipping.serving():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await skipping.waits(order_id)
        for pause_s, asked in ((11, 1), (50, 2), (240, 3), (590, 3), (30, 4)):
            await time_skipping.sleep(pause_s)
            await eventually(partial(has_asked, world, asked), f"the processor was asked {asked} times")
            calls.append((await world.ledger())["calls"])
        state = await world.reach(order_id, "failed")
    assert isinstance(state, Failed)
    assert state.failure.code == "action_timeout"
    assert [made.get("payment.get") for made in calls] == [1, 2, 3, 3, 4]
    assert ["payment.cancel" in made for made in calls[:-1]] == [False] * 4
    assert (await world.ledger())["calls"]["payment.cancel"] == 1
    await world.agree(order_id)


async def has_asked(world: World, times: int) -> bool:
    return bool((await world.ledger())["calls"].get("payment.get", 0) >= times)
