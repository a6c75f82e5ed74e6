"""The relay as the composition root makes it: settings decide where webhooks may go."""

from __future__ import annotations

from payloops.bootstrap.relaying import relay
from payloops.config import Settings
from payloops.events.webhook_delivery_state import Retrying, status
from tests.databases import TestDatabase
from tests.deliveries.receiver import Receiver, check
from tests.deliveries.world import World, eventually

KEY = "a key of these tests that is long enough for a ring"
"""As tests.workflows.world.RING."""


def settings_for(database: TestDatabase, **changes: str) -> Settings:
    secrets = {"ENCRYPTION_KEY": KEY, "JWT_SECRET": "x" * 8 + "0123456789abcdefghijklmnopqrstuv"}
    return Settings.from_env({**secrets, **changes}).with_database(database.app_dsn, database.owner_dsn)


async def test_a_relay_delivers(world: World, receiver: Receiver, test_database: TestDatabase) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    async with relay(settings_for(test_database)):
        await world.told(shop, 2)
        states = await world.all_ended(shop, 2)
        await world.quiet()
    assert [status(state) for state in states] == ["delivered", "delivered"]
    assert [one.sequence for one in receiver.received] == [1, 2]
    for one in receiver.received:
        check(one, endpoint.secret)


async def test_loopback_can_be_forbidden(world: World, receiver: Receiver, test_database: TestDatabase) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    async with relay(settings_for(test_database, WEBHOOK_ALLOW_LOOPBACK="false")):
        await world.told(shop)

        async def scheduled() -> bool:
            return bool(await world.deliveries_of(shop))

        await eventually(scheduled, "a delivery")
        [delivery] = await world.deliveries_of(shop)
        state = await world.until(delivery, lambda state: isinstance(state, Retrying))
    assert state.facts.last_error == "refused: webhooks are not sent to addresses of this kind (loopback)"
    assert receiver.received == []
