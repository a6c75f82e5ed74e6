"""Endpoints that fail: left alone for a while, tried by one, and disabled when there is no hope."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from payloops.events.webhook_delivery_state import status
from payloops.events.webhook_endpoint_state import Active
from payloops.values import new_id
from payloops.workflows_bridge.deliveries.health import Health, Limits
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver
from tests.deliveries.world import DELIVERING, FAST, World, eventually

LIMITS = Limits(failures_max=3, probe_look_s=0.2)
PATIENT = replace(FAST, steps_s=(60.0,) * 5)
"""One attempt each, as far as a test sees."""


async def row(world: World, endpoint: object) -> Any:
    """Failures, whether the circuit is broken, for how long from now, and whether a try is under way."""
    rows = await world.rows(
        "SELECT consecutive_failures, open_until IS NOT NULL,"
        " coalesce(extract(epoch FROM open_until - now()), 0)::float8, coalesce(probe_until > now(), false)"
        " FROM endpoint_health WHERE endpoint_id = %s",
        endpoint,
    )
    return rows[0] if rows else None


async def reopen(world: World, endpoint: object) -> None:
    """The time for which the circuit was to be open has passed."""
    await world.rows("UPDATE endpoint_health SET open_until = now() WHERE endpoint_id = %s", endpoint)


async def test_the_circuit_opens_doubles_and_closes(world: World) -> None:
    health, endpoint = Health(world.database, LIMITS), new_id()
    for count in (1, 2):
        assert not await health.failed(endpoint, 1, probe=False)
        assert await row(world, endpoint) == (count, False, 0.0, False)
    await health.failed(endpoint, 1, probe=False)
    failures, broken, open_s, _ = await row(world, endpoint)
    assert (failures, broken) == (3, True)
    assert 25 < open_s <= 30
    assert not await health.claim_probe(endpoint, 1), "it is open"
    await health.failed(endpoint, 1, probe=False)
    assert (await row(world, endpoint))[0] == 3, "what was under way tells nothing new"
    expected = 30.0
    for _ in range(6):
        await reopen(world, endpoint)
        assert await health.claim_probe(endpoint, 1)
        assert not await health.claim_probe(endpoint, 1), "one at a time"
        await health.failed(endpoint, 1, probe=True)
        expected = min(expected * 2, 600.0)
        _, _, open_s, probing = await row(world, endpoint)
        assert expected - 5 < open_s <= expected
        assert not probing
    await health.recovered(endpoint)
    assert await row(world, endpoint) is None


async def test_a_success_between_them_counts_failures_anew(world: World) -> None:
    health, endpoint = Health(world.database, LIMITS), new_id()
    for _ in range(5):
        await health.failed(endpoint, 1, probe=False)
        await health.failed(endpoint, 1, probe=False)
        await health.recovered(endpoint)
    assert await row(world, endpoint) is None


async def test_another_version_of_the_endpoint_begins_anew(world: World) -> None:
    health, endpoint = Health(world.database, LIMITS), new_id()
    for _ in range(4):
        await health.failed(endpoint, 1, probe=False)
    await reopen(world, endpoint)
    assert not await health.claim_probe(endpoint, 2)
    await health.failed(endpoint, 2, probe=False)
    assert await row(world, endpoint) == (1, False, 0.0, False)


async def test_one_of_many_tries(world: World) -> None:
    health, endpoint = Health(world.database, LIMITS), new_id()
    for _ in range(3):
        await health.failed(endpoint, 1, probe=False)
    await reopen(world, endpoint)
    claimed = await asyncio.gather(*(health.claim_probe(endpoint, 1) for _ in range(8)))
    assert claimed.count(True) == 1
    await health.release_probe(endpoint, 1)
    assert await health.claim_probe(endpoint, 1)
    await world.rows("UPDATE endpoint_health SET probe_until = now()")
    assert await health.claim_probe(endpoint, 1), "a try that never ended is lost"


async def test_a_week_of_failures_only(world: World) -> None:
    health, endpoint = Health(world.database, LIMITS), new_id()
    await health.failed(endpoint, 1, probe=False)
    await world.rows("UPDATE endpoint_health SET failing_since = now() - interval '8 days'")
    assert not await health.failed(endpoint, 1, probe=False), "two failures in eight days"
    assert await health.failed(endpoint, 1, probe=False)


async def test_while_the_circuit_is_open_nothing_is_sent_and_no_attempt_counted(
    world: World, receiver: Receiver
) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    receiver.behave("hook", *[r.answer(500)] * 3, then=r.OK)
    limits = replace(LIMITS, open_min_s=1.0, open_max_s=1.0)
    async with world.relaying(replace(DELIVERING, schedule=PATIENT, limits=limits)):
        for _ in range(3):
            await world.told(shop)
        await receiver.until(3)

        async def broken() -> bool:
            found = await row(world, endpoint.id)
            return found is not None and bool(found[1])

        await eventually(broken, "the circuit opens")
        for _ in range(4):
            await world.told(shop)
        await world.quiet()
        waiting = [
            state for one in await world.deliveries_of(shop) if status(state := await world.delivery(one)) == "pending"
        ]
        assert [state.facts.attempts for state in waiting] == [0, 0, 0, 0]
        assert len(receiver.received) == 3
        # Its time is over: one tries, it goes well, and the others follow.
        await receiver.until(7)
        for state in waiting:
            assert status(await world.ended(state.facts.delivery_id)) == "delivered"
    assert await row(world, endpoint.id) is None


async def test_410_disables_the_endpoint(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    receiver.behave("hook", then=r.GONE)
    async with world.relaying():
        await world.told(shop)
        [state] = await world.all_ended(shop, 1)
        assert (status(state), state.facts.attempts, state.facts.last_status_code) == ("failed", 1, 410)
        gone = await world.handler.load(world.endpoints, endpoint.id)
        assert isinstance(gone, Active)
        assert (gone.enabled, gone.disabled_reason) == (False, "gone")
        await world.told(shop)
        await world.quiet()
        assert len(receiver.received) == 1
        # The merchant enables it again: from then on it gets what happens from then on.
        await world.change(shop, endpoint, enabled=True)
        receiver.behave("hook", then=r.OK)
        await world.told(shop)
        await receiver.until(2)
        await world.all_ended(shop, 2)
    assert await world.rows("SELECT disabled_reason FROM webhook_endpoints") == [(None,)]


async def test_an_endpoint_that_only_failed_for_a_week_is_disabled(world: World, receiver: Receiver) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    receiver.behave("hook", then=r.answer(500))
    limits = replace(LIMITS, failures_max=2)
    async with world.relaying(replace(DELIVERING, schedule=replace(FAST, steps_s=(0.5,) * 5), limits=limits)):
        await world.told(shop)
        await receiver.until(1)
        await world.quiet()
        await world.rows("UPDATE endpoint_health SET failing_since = now() - interval '8 days'")
        [state] = await world.all_ended(shop, 1)
    assert status(state) == "failed"
    assert state.facts.attempts == 2
    failing = await world.handler.load(world.endpoints, endpoint.id)
    assert isinstance(failing, Active)
    assert (failing.enabled, failing.disabled_reason) == (False, "failing")
