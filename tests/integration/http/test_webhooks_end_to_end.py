"""From the dashboard's calls to the merchant's server and back: an API, a relay, a receiver, and nothing between."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from payloops.bootstrap import relaying
from payloops.commands.order_reports import PublishEvent
from payloops.values import iso
from tests.deliveries.receiver import Receiver, answer, check, held, receiving, slow
from tests.integration.http.world import Api, Merchant

WAIT_S = 60.0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@pytest.fixture
async def relay(api: Api) -> AsyncIterator[None]:
    async with relaying.relay(api.services.settings):
        yield


async def endpoint(api: Api, merchant: Merchant, url: str, *types: str) -> Any:
    body = {"url": url, "eventTypes": list(types)}
    return (await api.call("POST", "/api/webhook-endpoints", body, token=merchant.token)).must(201)


async def settled(api: Api, merchant: Merchant, delivery: str, status: str) -> Any:
    """The delivery once it has that status, as the dashboard shows it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            listed = (await api.call("GET", "/api/webhooks?limit=100", token=merchant.token)).must(200)["data"]
            found = next(one for one in listed if one["id"] == delivery)
            if found["status"] == status:
                return found
            await asyncio.sleep(0.05)


async def counted(api: Api, merchant: Merchant, query: str, count: int) -> None:
    """Wait until there are so many such deliveries."""
    async with asyncio.timeout(WAIT_S):
        while True:
            listed = (await api.call("GET", f"/api/webhooks?{query}", token=merchant.token)).must(200)
            if listed["pagination"]["total"] == count:
                return
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("relay")
class TestEndToEnd:
    async def test_a_sample_arrives_signed_with_the_secret_that_was_shown(
        self, api: Api, merchant: Merchant, receiver: Receiver
    ) -> None:
        made = await endpoint(api, merchant, receiver.at("hook"))
        path = f"/api/webhook-endpoints/{made['id']}/test"
        sent = (await api.call("POST", path, token=merchant.token)).must(202)
        (received,) = await receiver.until(1, within_s=WAIT_S)
        document = check(received, made["secret"])
        assert (document["type"], document["payload"]["metadata"]) == ("webhook.test", {"sample": True})
        shown = await settled(api, merchant, sent["id"], "delivered")
        assert shown["attempts"] == 1
        (attempt,) = (await api.call("GET", f"/api/webhooks/{sent['id']}/attempts", token=merchant.token)).must(200)
        assert (attempt["number"], attempt["statusCode"], attempt["error"]) == (1, 200, None)

    async def test_after_a_rotation_the_new_secret_signs(
        self, api: Api, merchant: Merchant, receiver: Receiver
    ) -> None:
        url = {"webhookUrl": receiver.at("hook")}
        (await api.call("PUT", "/api/me", url, token=merchant.token)).must(200)
        rotated = (await api.call("POST", "/api/merchants/me/webhook-secret", token=merchant.token)).must(201)
        (shown,) = (await api.call("GET", "/api/webhook-endpoints", token=merchant.token)).must(200)["data"]
        (await api.call("POST", f"/api/webhook-endpoints/{shown['id']}/test", token=merchant.token)).must(202)
        (received,) = await receiver.until(1, within_s=WAIT_S)
        check(received, rotated["secret"])

    async def test_what_was_refused_is_retried_and_really_sent_again(
        self, api: Api, merchant: Merchant, receiver: Receiver
    ) -> None:
        made = await endpoint(api, merchant, receiver.at("hook"))
        receiver.behave("hook", answer(500, b"no room"))
        sent = (await api.call("POST", f"/api/webhook-endpoints/{made['id']}/test", token=merchant.token)).must(202)
        await receiver.until(1, within_s=WAIT_S)
        await settled(api, merchant, sent["id"], "retrying")
        path = f"/api/webhooks/{sent['id']}"
        (await api.call("POST", f"{path}/retry", token=merchant.token)).must(202)
        first, second = await receiver.until(2, within_s=WAIT_S)
        assert (first.id, first.body) == (second.id, second.body)
        await settled(api, merchant, sent["id"], "delivered")
        (await api.call("POST", f"{path}/retry", token=merchant.token)).must(202)
        await receiver.until(3, within_s=WAIT_S)
        attempts = (await api.call("GET", f"{path}/attempts", token=merchant.token)).must(200)
        assert [one["responseBody"] for one in attempts if one["number"] == 1] == ["no room"]

    async def test_410_disables_and_what_waits_ends_with_the_reason(
        self, api: Api, merchant: Merchant, receiver: Receiver
    ) -> None:
        made = await endpoint(api, merchant, receiver.at("hook"))
        receiver.behave("hook", answer(410))
        sent = (await api.call("POST", f"/api/webhook-endpoints/{made['id']}/test", token=merchant.token)).must(202)
        await settled(api, merchant, sent["id"], "failed")
        (shown,) = (await api.call("GET", "/api/webhook-endpoints", token=merchant.token)).must(200)["data"]
        assert (shown["enabled"], shown["disabledReason"]) == (False, "gone")
        refused = await api.call("POST", f"/api/webhooks/{sent['id']}/retry", token=merchant.token)
        assert (refused.status, refused.code) == (400, "invalid_status")
        path = f"/api/webhook-endpoints/{made['id']}"
        (await api.call("PATCH", path, {"enabled": True}, token=merchant.token)).must(200)
        (await api.call("POST", f"/api/webhooks/{sent['id']}/retry", token=merchant.token)).must(202)
        await settled(api, merchant, sent["id"], "delivered")

    async def test_many_that_are_sent_anew_come_in_their_order(
        self, api: Api, merchant: Merchant, receiver: Receiver
    ) -> None:
        """Of two orders; those of one never overlap, though all are sent anew at once."""
        made = await endpoint(api, merchant, receiver.at("hook"))
        release = asyncio.Event()
        receiver.behave("hook", then=held(release, answer(410)))
        orders = [(await api.new_order(merchant))["id"] for _ in range(2)]
        for event_type in ("payment.processing", "payment.authorized", "payment.captured", "refund.pending"):
            for order_id in orders:
                command = PublishEvent(**api.head(order_id), event_type=event_type, payload=None)
                await api.services.handler.execute(api.services.orders, UUID(order_id), command)
        await counted(api, merchant, f"endpointId={made['id']}", 8)
        release.set()
        await counted(api, merchant, f"endpointId={made['id']}&status=failed", 8)
        refused = len(receiver.received)
        receiver.behave("hook", then=slow(0.1))
        path = f"/api/webhook-endpoints/{made['id']}"
        (await api.call("PATCH", path, {"enabled": True}, token=merchant.token)).must(200)
        now = api.services.clock.now()
        body = {"from": iso(now - timedelta(hours=1)), "to": iso(now), "endpointId": made["id"]}
        answered = await api.call("POST", "/api/webhooks/retry", body, token=merchant.token)
        assert answered.must(202) == {"retried": 8, "hasMore": False}
        came = (await receiver.until(refused + 8, within_s=WAIT_S))[refused:]
        for order_id in orders:
            mine = [one for one in came if one.document["orderId"] == order_id]
            assert [one.sequence for one in mine] == [1, 2, 3, 4]
            assert all(later.at_s - earlier.at_s >= 0.1 for earlier, later in itertools.pairwise(mine))

    async def test_an_orders_events_arrive_where_they_are_wanted(
        self, api: Api, merchant: Merchant, receiver: Receiver
    ) -> None:
        await endpoint(api, merchant, receiver.at("all"))
        await endpoint(api, merchant, receiver.at("refunds"), "refund.*")
        order = await api.new_order(merchant)
        (await api.call("POST", f"/v1/orders/{order['id']}/cancel", key=merchant.api_key)).must(200)
        (received,) = await receiver.until(1, "all", within_s=WAIT_S)
        assert (received.type, received.document["orderId"]) == ("payment.cancelled", order["id"])
        query = f"/api/webhooks?orderId={order['id']}"
        (delivery,) = (await api.call("GET", query, token=merchant.token)).must(200)["data"]
        await settled(api, merchant, delivery["id"], "delivered")
        assert receiver.of("refunds") == []
