"""One receiver that never answers, among a hundred that do (O1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payloops.workflows_bridge.relay import RelayOptions
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver
from tests.deliveries.world import DELIVERING, FAST, World

RECEIVERS = 100
ROUNDS = 3
WITHIN_S = 120.0
"""An end, no measure: how soon they have theirs the gauntlet's row O1 measures."""


@pytest.mark.slow
async def test_the_others_have_theirs_while_it_holds_all_that_it_may(world: World, receiver: Receiver) -> None:
    """The black hole is a merchant with many orders of its own; all its events are due before each of the others'.

    None of its requests ends before the test does: whatever waited for one of them would never come.
    """
    dead = await world.shop()
    for n in range(5):
        await world.endpoint(dead, receiver.at(f"dead{n}"))
        receiver.behave(f"dead{n}", then=r.black_hole)
    shops = [await world.shop() for _ in range(RECEIVERS)]
    for n, shop in enumerate(shops):
        await world.endpoint(shop, receiver.at(f"shop{n}"))
    sending = replace(DELIVERING, timeout_s=3600.0, schedule=replace(FAST, steps_s=(0.1,) * 20))
    async with world.relaying(sending, RelayOptions(concurrency=64, lease_s=5.0, poll_s=0.2)):
        for _ in range(60):
            await world.told(dead)
        await receiver.until(20, within_s=WITHIN_S)
        for turn in range(ROUNDS):
            for n, shop in enumerate(shops):
                await world.told(shop)
                await receiver.until(turn + 1, f"shop{n}", within_s=WITHIN_S)
        assert sum(receiver.under_way[f"dead{n}"] for n in range(5)) >= 20
    assert receiver.most_at_once["dead0"] <= 16
    assert sum(receiver.most_at_once[f"dead{n}"] for n in range(5)) <= 48
