"""Webhooks through Temporal: the deliveries' own workflow, and the activities that workers of others call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from payloops.db import Database
from payloops.events.webhook_delivery_state import Delivered
from payloops.temporal_server import TemporalServer
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, check, receiving
from tests.deliveries.world import World, open_world
from tests.replay import assert_replay_equals_tables
from tests.temporal.engine.delivering import serving
from tests.temporal.engine.foreign_workflow import Foreign

pytestmark = pytest.mark.temporal


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def world(database_url: str, database: Database) -> AsyncIterator[World]:
    async with open_world(database_url, database) as made:
        yield made
    await assert_replay_equals_tables(database)


async def test_an_event_reaches_its_endpoint(
    world: World, receiver: Receiver, temporal_server: TemporalServer, temporal_client: Client
) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at())
    async with serving(world, temporal_server):
        order_id = await world.order(shop, customer_id="customer-7")
        (event_id,) = await world.publish(order_id, "payment.captured")
        [got] = await receiver.until(1)
        [state] = await world.all_ended(shop, 1)
        handle = temporal_client.get_workflow_handle(f"webhook-{state.facts.delivery_id}")
        result = await asyncio.wait_for(handle.result(), 60)
        history = (await handle.fetch_history()).to_json()
    document = check(got, endpoint.secret)
    assert (document["id"], document["orderId"]) == (str(event_id), str(order_id))
    assert isinstance(state, Delivered)
    assert (result["success"], result["status"], result["statusCode"], result["attempts"]) == (
        True,
        "delivered",
        200,
        1,
    )
    assert endpoint.secret not in history
    assert "customer-7" not in history


async def test_failures_are_tried_again_and_later_events_wait_for_their_turn(
    world: World, receiver: Receiver, temporal_server: TemporalServer
) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", r.answer(500), r.answer(500))
    async with serving(world, temporal_server):
        order_id = await world.order(shop)
        await world.publish(order_id, "payment.processing", "payment.captured", "refund.pending")
        states = await world.all_ended(shop, 3)
        await world.quiet()
    assert [state.facts.attempts for state in states] == [3, 1, 1]
    assert [one.type for one in receiver.received] == ["payment.processing"] * 3 + [
        "payment.captured",
        "refund.pending",
    ]


async def test_a_delivery_that_had_failed_is_sent_again_by_a_workflow_of_its_own(
    world: World, receiver: Receiver, temporal_server: TemporalServer, temporal_client: Client
) -> None:
    shop = await world.shop()
    await world.endpoint(shop, receiver.at())
    receiver.behave("hook", *[r.answer(500)] * 6)
    async with serving(world, temporal_server):
        await world.told(shop)
        [failed] = await world.all_ended(shop, 1)
        delivery = failed.facts.delivery_id
        await world.retry(shop, delivery)
        [got] = (await receiver.until(7))[6:]
        await world.until(delivery, lambda state: isinstance(state, Delivered))
        again = await asyncio.wait_for(temporal_client.get_workflow_handle(f"webhook-{delivery}-2").result(), 60)
    assert (again["success"], again["attempts"]) == (True, 7)
    assert got.body == receiver.received[0].body


async def test_workers_of_others_tell_merchants(
    world: World, receiver: Receiver, temporal_server: TemporalServer, temporal_client: Client
) -> None:
    shop = await world.shop()
    endpoint = await world.endpoint(shop, receiver.at(), is_default=True)
    queue = f"foreign-{uuid4()}"

    async def call(name: str, told: dict[str, Any]) -> Any:
        running = await temporal_client.start_workflow(
            "Foreign", args=[name, told], id=f"foreign-{uuid4()}", task_queue=queue
        )
        return await asyncio.wait_for(running.result(), 60)

    async with serving(world, temporal_server), Worker(temporal_client, task_queue=queue, workflows=[Foreign]):
        merchant = {"merchantId": str(shop.id)}
        where = await call("getMerchantWebhookUrl", merchant)
        assert where == {"url": receiver.at(), "secret": endpoint.secret}
        order_id = await world.order(shop)
        event = {**merchant, "orderId": str(order_id), "eventType": "payment.processing", "payload": {}}
        ids = {await call("createWebhookEvent", event) for _ in range(2)}
        assert len(ids) == 1
        await world.all_ended(shop, 1)
        sent = {"webhookEventId": str(uuid4()), "webhookUrl": receiver.at(), "webhookSecret": where["secret"]}
        answer = await call("deliverWebhook", {**sent, "payload": {"hello": "there"}})
        assert answer.pop("deliveredAt").endswith("Z")
        assert answer == {"success": True, "statusCode": 200, "attempts": 1, "errorMessage": None}
    first, second = receiver.received
    assert UUID(first.id) == UUID(ids.pop())
    assert second.document == {"hello": "there"}
