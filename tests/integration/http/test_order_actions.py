"""What a support person does with an order, and what they see of it."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.bootstrap import relaying
from payloops.projections.audit import MASK
from payloops.values import new_id
from tests.deliveries.receiver import receiving
from tests.integration.http.world import Api, Merchant

WAIT_S = 60.0


async def timeline(api: Api, merchant: Merchant, order_id: str) -> Any:
    return (await api.call("GET", f"/api/orders/{order_id}/timeline", token=merchant.token)).must(200)


async def test_a_user_refunds_and_the_trail_says_who(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant, customerEmail="jane@shop.example")
    path = f"/api/orders/{order['id']}/refund"
    headers = {"Idempotency-Key": "once"}
    first = await api.call("POST", path, {"amount": 300}, token=merchant.token, headers=headers)
    made = first.must(201)
    assert (made["orderId"], made["amount"], made["status"]) == (order["id"], 300, "pending")
    again = await api.call("POST", path, {"amount": 300}, token=merchant.token, headers=headers)
    assert (again.must(201), again.headers["Idempotent-Replayed"]) == (made, "true")
    too_much = await api.call("POST", path, {"amount": 701}, token=merchant.token)
    assert (too_much.status, too_much.code) == (400, "refund_exceeds_captured")
    story = await timeline(api, merchant, order["id"])
    assert [(entry["kind"], entry["title"]) for entry in story] == [
        ("event", "Created"),
        ("event", "Payment started"),
        ("processor", "Payment captured"),
        ("event", "Refund requested"),
    ]
    assert all(set(entry) == {"at", "kind", "title", "actor", "correlationId", "data"} for entry in story)
    assert [entry["actor"]["type"] for entry in story] == ["api_key", "api_key", "workflow", "user"]
    assert story[3]["actor"]["id"] == str(merchant.id)
    assert story[3]["correlationId"] == first.headers["X-Correlation-ID"]
    assert story[0]["data"]["customerEmail"] == MASK
    assert [entry["at"] for entry in story] == sorted(entry["at"] for entry in story)


async def test_a_user_captures_and_cancels(api: Api, merchant: Merchant) -> None:
    held = await api.paid_order(merchant, captureMethod="manual")
    await api.authorized(held["id"], 1000)
    (await api.call("POST", f"/api/orders/{held['id']}/capture", {"amount": 600}, token=merchant.token)).must(200)
    new = await api.new_order(merchant)
    gone = await api.call("POST", f"/api/orders/{new['id']}/cancel", {"reason": "changed"}, token=merchant.token)
    assert gone.must(200)["status"] == "cancelled"
    again = await api.call("POST", f"/api/orders/{new['id']}/cancel", token=merchant.token)
    assert (again.status, again.code) == (400, "invalid_status")


@pytest.mark.parametrize(("method", "action"), (("POST", "refund"), ("POST", "cancel"), ("GET", "timeline")))
async def test_orders_of_others_are_not_there(api: Api, merchant: Merchant, method: str, action: str) -> None:
    order = await api.captured_order(merchant)
    other = await api.merchant()
    for order_id in (order["id"], str(new_id()), "1"):
        answer = await api.call(method, f"/api/orders/{order_id}/{action}", token=other.token)
        assert (answer.status, answer.code) == (404, "not_found")
    assert (await api.call(method, f"/api/orders/{order['id']}/{action}", key=merchant.api_key)).status == 403


async def test_deliveries_and_their_attempts_are_a_part_of_the_story(api: Api, merchant: Merchant) -> None:
    async with receiving() as receiver, relaying.relay(api.services.settings):
        hook = {"url": receiver.at("hook"), "eventTypes": ["payment.captured"]}
        (await api.call("POST", "/api/webhook-endpoints", hook, token=merchant.token)).must(201)
        order = await api.new_order(merchant)
        await api.with_stripe(merchant)
        (await api.call("POST", f"/v1/orders/{order['id']}/pay", key=merchant.api_key)).must(200)
        await api.captured(order["id"], order["amount"])
        await receiver.until(1, within_s=WAIT_S)
        while (await api.call("GET", "/api/webhooks?status=delivered", token=merchant.token)).json["data"] == []:
            pass
        story = await timeline(api, merchant, order["id"])
    kinds = [entry["kind"] for entry in story]
    assert kinds[-2:] == ["delivery", "attempt"]
    assert story[-2]["data"]["eventType"] == "payment.captured"
    assert (story[-1]["title"], story[-1]["data"]["statusCode"]) == ("Webhook attempt 1 answered 200", 200)
    captured = next(entry for entry in story if entry["title"] == "Payment captured")
    assert story[-1]["correlationId"] == story[-2]["correlationId"] == captured["correlationId"]
