"""What may become of deliveries: as ``payments``, but the outcome is the history of all that a merchant has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from payloops.db import Database
from payloops.events.base import Event
from payloops.events.webhook_delivery_state import Delivered, has_ended
from payloops.temporal_server import TemporalServer
from tests.databases import TestServer
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, receiving
from tests.deliveries.world import Shop, World, eventually, open_world
from tests.replay import assert_replay_equals_tables
from tests.temporal.engine.delivering import serving
from tests.temporal.scenarios.story import Teller
from tests.temporal.scenarios.table import Outcome

HOOK: Final = "hook"
Play = Callable[[World, Receiver, Shop], Awaitable[None]]


async def delivered(world: World, receiver: Receiver, shop: Shop) -> None:
    await world.endpoint(shop, receiver.at())
    await world.told(shop)
    await world.all_ended(shop, 1)


async def retried_until_it_arrives(world: World, receiver: Receiver, shop: Shop) -> None:
    receiver.behave(HOOK, r.answer(500), r.redirect("http://127.0.0.1:9/"), r.hang_up)
    await delivered(world, receiver, shop)


async def gave_up_after_the_last_attempt(world: World, receiver: Receiver, shop: Shop) -> None:
    receiver.behave(HOOK, *[r.answer(503)] * 6)
    await delivered(world, receiver, shop)


async def sent_again_by_the_merchant(world: World, receiver: Receiver, shop: Shop) -> None:
    await gave_up_after_the_last_attempt(world, receiver, shop)
    [delivery] = await world.deliveries_of(shop)
    await world.retry(shop, delivery)
    await world.until(delivery, lambda state: isinstance(state, Delivered))


async def turns_are_kept(world: World, receiver: Receiver, shop: Shop) -> None:
    receiver.behave(HOOK, r.answer(500), r.answer(500))
    await world.endpoint(shop, receiver.at())
    await world.told(shop, 3)
    await world.all_ended(shop, 3)
    assert r.in_order(receiver.received)


async def the_endpoint_is_gone(world: World, receiver: Receiver, shop: Shop) -> None:
    receiver.behave(HOOK, r.GONE)
    await delivered(world, receiver, shop)


async def removed_while_another_waits_for_its_turn(world: World, receiver: Receiver, shop: Shop) -> None:
    release = asyncio.Event()
    receiver.behave(HOOK, r.held(release))
    endpoint = await world.endpoint(shop, receiver.at())
    await world.told(shop, 2)
    await receiver.until(1)

    async def both() -> bool:
        return len(await world.deliveries_of(shop)) == 2

    await eventually(both, "both are scheduled")
    await world.remove(shop, endpoint)
    release.set()
    await world.all_ended(shop, 2)


PLAYS: Final[tuple[Play, ...]] = (
    delivered,
    retried_until_it_arrives,
    gave_up_after_the_last_attempt,
    sent_again_by_the_merchant,
    turns_are_kept,
    the_endpoint_is_gone,
    removed_while_another_waits_for_its_turn,
)


@dataclass(frozen=True)
class Told:
    """One engine's side."""

    story: tuple[str, ...]
    workflows: tuple[str, ...]


async def play_deliveries(server: TestServer, temporal: TemporalServer) -> list[Outcome]:
    """Each on both engines."""
    async with _world(server) as one, _world(server) as other:
        async with one.relaying(), serving(other, temporal):
            outcomes = [await _compared(play, one, other) for play in PLAYS]
        for world in (one, other):
            await assert_replay_equals_tables(world.database)
    return outcomes


async def _compared(play: Play, one: World, other: World) -> Outcome:
    left, right = await asyncio.gather(_told(one, play), _told(other, play))
    return Outcome(play.__name__.replace("_", "-"), left.story, right.story, right.workflows)


async def _told(world: World, play: Play) -> Told:
    async with receiving() as receiver:
        shop = await world.shop()
        await play(world, receiver, shop)
        streams = [*[endpoint.id for endpoint in shop.endpoints], *await world.deliveries_of(shop)]
        events: list[Event] = []
        for stream in streams:
            events += await world.store.load(stream)
        for delivery in await world.deliveries_of(shop):
            assert has_ended(await world.delivery(delivery))
        teller = Teller()
        workflows = {str(e.workflow_id) for e in events if getattr(e, "workflow_id", None)}  # type: ignore[attr-defined]
        return Told((*teller.story(events), *_received(receiver.received)), tuple(sorted(workflows)))


def _received(received: Sequence[r.Received]) -> tuple[str, ...]:
    return tuple(f"received {one.type} {one.sequence}" for one in received)


@asynccontextmanager
async def _world(server: TestServer) -> AsyncIterator[World]:
    made = await asyncio.to_thread(server.create)
    database = Database(made.app_dsn, min_size=1, max_size=8, application_name="payloops-test")
    try:
        await database.open(wait_s=10.0)
        async with open_world(made.app_dsn, database) as world:
            yield world
    finally:
        await database.close()
        await asyncio.to_thread(server.drop, made)
