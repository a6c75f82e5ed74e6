"""Samples of webhooks: deliveries of an event that did not happen, to try an endpoint."""

from __future__ import annotations

import orjson
import pytest

from payloops.db import Database
from payloops.projections.public_events import PublicEvents
from tests.databases import TestDatabase
from tests.integration.http.webhook_world import FIELDS, Endpoint, Sender, outbox
from tests.integration.http.world import Api, Merchant


@pytest.fixture
def sender(api: Api) -> Sender:
    return Sender(api)


@pytest.fixture
async def endpoint(sender: Sender, merchant: Merchant) -> Endpoint:
    return await sender.endpoint(merchant)


async def test_a_sample_is_a_delivery_of_the_public_form(
    api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant, test_database: TestDatabase
) -> None:
    answer = await api.call("POST", f"/api/webhook-endpoints/{endpoint.id}/test", token=merchant.token)
    sent = answer.must(202)
    assert set(sent) == FIELDS
    assert (sent["eventType"], sent["status"], sent["orderId"]) == ("webhook.test", "pending", None)
    assert (await sender.page(merchant))["data"] == [sent]
    assert outbox(test_database) == [
        ("start", f"webhook-{sent['id']}", f"deliver:{merchant.id}:{endpoint.id}"),
    ]
    body = (await sender.state(sent["id"])).facts.payload
    assert body is not None
    assert (body["type"], body["eventType"], body["payload"]["metadata"]) == (
        "webhook.test",
        "webhook.test",
        {"sample": True},
    )
    assert body["data"] == body["payload"]


async def test_its_body_has_the_members_of_a_real_one(
    api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant, database: Database
) -> None:
    answer = await api.call("POST", f"/api/webhook-endpoints/{endpoint.id}/test", token=merchant.token)
    sample = (await sender.state(answer.must(202)["id"])).facts.payload
    assert sample is not None
    await api.captured_order(merchant)
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT id FROM public_events WHERE type = 'payment.captured'")
        (row,) = await cursor.fetchall()
    real = await PublicEvents(database, api.services.personal).get(row[0])
    assert real is not None
    told = orjson.loads(real.body)
    assert list(sample) == list(told)
    assert set(sample["payload"]) == set(told["payload"])


async def test_the_same_request_again_sends_one(
    api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant
) -> None:
    path, headers = f"/api/webhook-endpoints/{endpoint.id}/test", {"Idempotency-Key": "one"}
    answers = [await api.call("POST", path, token=merchant.token, headers=headers) for _ in range(2)]
    assert answers[0].must(202) == answers[1].must(202)
    assert (await sender.page(merchant))["pagination"]["total"] == 1


async def test_a_disabled_endpoint_gets_none(api: Api, sender: Sender, endpoint: Endpoint, merchant: Merchant) -> None:
    path = f"/api/webhook-endpoints/{endpoint.id}"
    (await api.call("PATCH", path, {"enabled": False}, token=merchant.token)).must(200)
    refused = await api.call("POST", f"{path}/test", token=merchant.token)
    assert (refused.status, refused.code) == (400, "invalid_status")
    assert (await sender.page(merchant))["data"] == []
