"""What workflows and workers of others get: the contract's activities, and a start with the contract's four fields."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from standardwebhooks import Webhook

from payloops.errors import InvalidInput, NotFound
from payloops.values import new_id
from payloops.workflows_bridge.activities import Caller
from payloops.workflows_bridge.contracts import BACKEND_QUEUE, ContractViolation, StartWorkflow, WorkflowType
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, check
from tests.deliveries.world import DELIVERING, Endpoint, Shop, World, eventually, new_secret

CALLER = Caller("their-workflow", "c-outside")
PAYLOAD = {"id": "their-event", "hello": "Zoë", "amount": 1}


async def call(world: World, name: str, **told: Any) -> Any:
    async with world.delivering() as parts:
        result = await parts.contract.by_name[name](told, CALLER)
        return json.loads(json.dumps(result))


async def shop_with_default(world: World, url: str) -> tuple[Shop, Endpoint]:
    shop = await world.shop()
    await world.endpoint(shop, url + "-other")
    return shop, await world.endpoint(shop, url, is_default=True)


async def test_the_merchants_webhook_url(world: World) -> None:
    shop, endpoint = await shop_with_default(world, "http://127.0.0.1:1/hook")
    found = await call(world, "getMerchantWebhookUrl", merchantId=str(shop.id))
    assert found == {"url": "http://127.0.0.1:1/hook", "secret": endpoint.secret}
    await world.change(shop, endpoint, enabled=False)
    assert (await call(world, "getMerchantWebhookUrl", merchantId=str(shop.id)))["url"].endswith("-other")


async def test_a_merchant_without_one(world: World) -> None:
    shop = await world.shop()
    nothing = {"url": None, "secret": None}
    assert await call(world, "getMerchantWebhookUrl", merchantId=str(shop.id)) == nothing
    assert await call(world, "getMerchantWebhookUrl", merchantId=str(new_id())) == nothing
    with pytest.raises(ContractViolation, match="merchantId must be a UUID"):
        await call(world, "getMerchantWebhookUrl", merchantId="shop")


async def test_an_event_of_theirs_is_told_once(world: World, receiver: Receiver) -> None:
    shop, endpoint = await shop_with_default(world, receiver.at())
    order_id = await world.order(shop)
    told = {"merchantId": str(shop.id), "orderId": str(order_id), "eventType": "payment.captured"}
    event_id = await call(world, "createWebhookEvent", **told, payload={"theirs": 7})
    assert await call(world, "createWebhookEvent", **told, payload={"theirs": 8}) == event_id
    async with world.relaying():
        [got] = await receiver.until(1, "hook")
        await world.all_ended(shop, 2)
    document = check(got, endpoint.secret)
    assert (document["id"], document["payload"]["theirs"], document["sequence"]) == (event_id, 7, 1)
    assert len(receiver.received) == 2


async def test_an_event_of_ours_is_not_told_again(world: World) -> None:
    shop = await world.shop()
    order_id = await world.order(shop)
    (event_id,) = await world.publish(order_id, "payment.failed")
    told = {"merchantId": str(shop.id), "orderId": str(order_id), "eventType": "payment.failed", "payload": {}}
    assert await call(world, "createWebhookEvent", **told) == str(event_id)
    assert await world.rows("SELECT count(*) FROM public_events") == [(1,)]


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    (
        ({"eventType": "payment.exploded"}, InvalidInput, "eventType"),
        ({"eventType": "x" * 200}, ContractViolation, "eventType"),
        ({"eventType": None}, ContractViolation, "eventType"),
        ({"payload": [1]}, ContractViolation, "payload must be an object"),
        ({"orderId": str(new_id())}, NotFound, "No such order"),
        ({"merchantId": str(new_id())}, NotFound, "No such order"),
        ({"orderId": "x"}, ContractViolation, "orderId must be a UUID"),
    ),
)
async def test_events_that_are_none(world: World, changes: dict[str, Any], error: type[Exception], match: str) -> None:
    shop = await world.shop()
    order_id = await world.order(shop)
    told = {"merchantId": str(shop.id), "orderId": str(order_id), "eventType": "payment.captured", "payload": {}}
    with pytest.raises(error, match=match):
        await call(world, "createWebhookEvent", **{**told, **changes})
    assert await world.rows("SELECT count(*) FROM public_events") == [(0,)]


async def test_one_attempt_of_an_event_of_ours(world: World, receiver: Receiver) -> None:
    shop, endpoint = await shop_with_default(world, receiver.at("elsewhere"))
    order_id = await world.order(shop)
    (event_id,) = await world.publish(order_id, "payment.captured")
    told = {"webhookEventId": str(event_id), "webhookUrl": receiver.at(), "payload": {"forged": True}}
    answer = await call(world, "deliverWebhook", **told)
    delivered_at = answer.pop("deliveredAt")
    assert delivered_at.endswith("Z")
    assert answer == {"success": True, "statusCode": 200, "attempts": 1, "errorMessage": None}
    [got] = receiver.received
    document = check(got, endpoint.secret)
    assert document["id"] == str(event_id)
    assert got.headers["x-correlation-id"] == "c-outside"


async def test_one_attempt_of_an_event_of_theirs(world: World, receiver: Receiver) -> None:
    secret = new_secret()
    receiver.behave("hook", r.answer(503))
    told = {"webhookEventId": "evt_theirs", "webhookUrl": receiver.at(), "webhookSecret": secret, "payload": PAYLOAD}
    assert await call(world, "deliverWebhook", **told) == {
        "success": False,
        "statusCode": 503,
        "attempts": 1,
        "deliveredAt": None,
        "errorMessage": "the receiver answered 503",
    }
    [got] = receiver.received
    assert got.document == PAYLOAD
    assert got.headers["webhook-id"] == got.headers["x-loop-event-id"] == "evt_theirs"
    Webhook(secret).verify(got.body, got.headers)


async def test_what_is_not_sent_for_them_either(world: World, receiver: Receiver) -> None:
    secret = new_secret()
    told = {"webhookEventId": "evt", "webhookUrl": "http://10.0.0.1/", "webhookSecret": secret, "payload": PAYLOAD}
    answer = await call(world, "deliverWebhook", **told)
    assert answer["errorMessage"] == "refused: webhooks are not sent to addresses of this kind (private)"
    unsigned = {"webhookEventId": "evt", "webhookUrl": receiver.at(), "payload": PAYLOAD}
    assert (await call(world, "deliverWebhook", **unsigned))["errorMessage"] == "there is no secret to sign with"
    shop, endpoint = await shop_with_default(world, receiver.at())
    await world.change(shop, endpoint, enabled=False)
    (event_id,) = await world.publish(await world.order(shop), "payment.captured")
    ours = {"webhookEventId": str(event_id), "webhookUrl": receiver.at(), "webhookSecret": secret, "payload": {}}
    assert (await call(world, "deliverWebhook", **ours))["errorMessage"] == "the endpoint is disabled"
    for changes in ({"webhookUrl": None}, {"webhookEventId": "a\r\nb"}, {"webhookEventId": ""}):
        with pytest.raises(ContractViolation):
            await call(world, "deliverWebhook", **{**told, **changes})
    assert receiver.received == []


async def test_a_workflow_of_somebody_else(world: World, receiver: Receiver) -> None:
    """The contract's four fields, and another id than ours."""
    shop, endpoint = await shop_with_default(world, receiver.at())
    receiver.behave("hook", *[r.answer(500)] * 2, then=r.OK)
    told = {"webhookEventId": "theirs", "merchantId": str(shop.id), "webhookUrl": receiver.at(), "payload": PAYLOAD}
    start = StartWorkflow(WorkflowType.WEBHOOK_DELIVERY.value, "their-id", BACKEND_QUEUE, told, str(shop.id))
    async with world.relaying():
        await world.insert("their-id", "start", start.to_json())

        async def over() -> bool:
            return await world.rows("SELECT status FROM workflow_runs WHERE workflow_id = 'their-id'") == [
                ("finished",)
            ]

        await eventually(over, "their workflow has ended")
    ((state,),) = await world.rows("SELECT state FROM workflow_runs")
    result = state["result"]
    assert (result["success"], result["status"], result["attempts"], result["statusCode"]) == (
        True,
        "delivered",
        3,
        200,
    )
    assert [one.document for one in receiver.received] == [PAYLOAD] * 3
    for one in receiver.received:
        Webhook(endpoint.secret).verify(one.body, one.headers)


async def test_another_merchants_event_is_not_sent_in_ones_name(world: World, receiver: Receiver) -> None:
    shop, _ = await shop_with_default(world, receiver.at())
    other = await world.shop()
    (event_id,) = await world.publish(await world.order(other), "payment.captured")
    told = {
        "webhookEventId": str(event_id),
        "merchantId": str(shop.id),
        "webhookUrl": receiver.at(),
        "payload": PAYLOAD,
        "attempts": 0,
    }
    async with world.delivering(replace(DELIVERING)) as parts:
        answer = await parts.activities["attemptDelivery"](told, CALLER)
    assert answer["result"]["success"]
    assert [one.document for one in receiver.received] == [PAYLOAD]
