"""An order as support sees it: what the merchant's API shows, unchanged, and beside it all that belongs to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from payloops.commands.order import CreateOrder
from payloops.commands.order_results import RecordDispute, RecordOutcomeUnknown, RecordRefundUnknown
from payloops.projections import order_detail
from payloops.values import iso, new_id
from tests.databases import TestDatabase
from tests.integration.http.belongings import owner_of_everything
from tests.integration.http.webhook_world import Sender
from tests.integration.http.world import Api, Merchant, open_api_with

LISTS = ("attempts", "refunds", "transactions", "disputes", "deliveries")


async def detail(api: Api, merchant: Merchant, order: Any) -> Any:
    return (await api.call("GET", f"/api/orders/{order['id']}", token=merchant.token)).must(200)


async def test_the_order_itself_is_as_the_merchants_api_shows_it(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant, customerEmail="jane@customer.example", metadata={"cart": [1, 2]})
    lean = await api.call("GET", f"/v1/orders/{order['id']}", key=merchant.api_key)
    full = await api.call("GET", f"/api/orders/{order['id']}", token=merchant.token)
    assert {name: full.json[name] for name in lean.json} == lean.json
    assert full.headers["ETag"] == lean.headers["ETag"]
    assert "attempts" not in lean.json


async def test_an_order_to_which_nothing_happened_yet(api: Api, merchant: Merchant) -> None:
    body = await detail(api, merchant, await api.new_order(merchant))
    assert {name: body[name] for name in LISTS} == {name: [] for name in LISTS}
    assert not any(body[f"{name}HasMore"] for name in LISTS)
    assert [body[name] for name in ("checkoutSessionId", "workflowId", "nextAsk", "lastSync")] == [None] * 4


async def test_attempts_the_last_first(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant)
    await api.failed(order["id"])
    again = {"paymentMethod": {"type": "card", "token": "pm_other"}}
    (await api.call("POST", f"/v1/orders/{order['id']}/pay", again, key=merchant.api_key)).must(200)
    doubt = RecordOutcomeUnknown(**api.head(order["id"]), attempt=2, operation="payment", reason="timeout")
    await api.record(doubt)
    body = await detail(api, merchant, order)
    second, first = body["attempts"]
    assert (first["number"], first["status"], first["outcomeUnknown"]) == (1, "failed", False)
    assert first["failure"] == {
        "code": "card_declined",
        "declineCode": "lost_card",
        "message": "Declined.",
        "processor": "stripe",
    }
    assert first["finishedAt"] >= first["startedAt"]
    assert (second["number"], second["status"], second["outcomeUnknown"]) == (2, "processing", True)
    assert (second["failure"], second["finishedAt"], second["paymentMethodType"]) == (None, None, "card")
    assert body["workflowId"] == second["workflowId"] == f"payment-{order['id']}-2"


async def test_refunds_transactions_and_disputes(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant)
    body = {"amount": 300, "reason": "broken"}
    made = (await api.call("POST", f"/v1/orders/{order['id']}/refund", body, key=merchant.api_key)).must(201)
    await api.record(RecordRefundUnknown(**api.head(order["id"]), refund_id=UUID(made["refundId"]), reason="timeout"))
    dispute: dict[str, Any] = {"processor_dispute_id": "dp_1", "amount": 700, "reason": "fraudulent"}
    await api.record(RecordDispute(**api.head(order["id"]), **dispute, status="opened"))
    await api.record(RecordDispute(**api.head(order["id"]), **dispute, status="lost"))
    full = await detail(api, merchant, order)
    (refund,) = full["refunds"]
    listed = (await api.call("GET", f"/v1/orders/{order['id']}/refunds", key=merchant.api_key)).must(200)
    assert {name: refund[name] for name in listed[0]} == listed[0]
    assert (refund["outcomeUnknown"], refund["processorRefundId"], full["outcomeUnknown"]) == (True, None, True)
    transactions = (await api.call("GET", f"/v1/orders/{order['id']}/transactions", key=merchant.api_key)).must(200)
    assert full["transactions"] == transactions
    assert [one["type"] for one in transactions] == ["dispute", "refund", "capture"]
    (told,) = full["disputes"]
    assert (told["processorDisputeId"], told["amount"], told["status"]) == ("dp_1", 700, "lost")
    assert told["id"] == transactions[0]["id"]


async def test_lists_are_bounded_and_say_so(api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await api.captured_order(merchant)
    for _ in range(3):
        (await api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 1}, key=merchant.api_key)).must(201)
    assert (await detail(api, merchant, order))["refundsHasMore"] is False
    monkeypatch.setattr(order_detail, "LISTED_MAX", 2)
    body = await detail(api, merchant, order)
    all_of_them = (await api.call("GET", f"/v1/orders/{order['id']}/refunds", key=merchant.api_key)).must(200)
    assert [one["refundId"] for one in body["refunds"]] == [one["refundId"] for one in all_of_them[:2]]
    assert (body["refundsHasMore"], body["transactionsHasMore"], body["attemptsHasMore"]) == (True, True, False)


async def test_its_checkout(api: Api, merchant: Merchant) -> None:
    services, order_id, session_id = api.services, new_id(), new_id()
    create = CreateOrder(
        order_id, services.clock.now(), api.head(str(order_id))["meta"], merchant.id, True, 100, "USD", "cart-1",
        checkout_session_id=session_id,
    )  # fmt: skip
    await services.handler.execute(services.orders, order_id, create)
    assert (await detail(api, merchant, {"id": order_id}))["checkoutSessionId"] == str(session_id)


async def test_the_last_webhooks_about_it(api: Api, merchant: Merchant) -> None:
    order, sender = await api.new_order(merchant), Sender(api)
    endpoint, stranger = await sender.endpoint(merchant), await sender.endpoint(await api.merchant())
    made = [str(await sender.scheduled(endpoint, order_id=UUID(order["id"]))) for _ in range(21)]
    await sender.scheduled(endpoint)
    await sender.scheduled(stranger, order_id=UUID(order["id"]))
    body = await detail(api, merchant, order)
    assert [one["id"] for one in body["deliveries"]] == made[:0:-1]
    assert body["deliveriesHasMore"] is True
    page = await sender.page(merchant, f"orderId={order['id']}&limit=20")
    assert body["deliveries"] == page["data"]


async def test_the_engine_is_asked_for_its_own_workflows_only(test_database: TestDatabase) -> None:
    """One that keeps its timers itself: when they go off is no secret, but this merchant's."""
    due, asked = datetime(2030, 1, 1, 12, tzinfo=UTC), list[list[str]]()

    async def next_wake(workflow_ids: Sequence[str]) -> datetime | None:
        asked.append(list(workflow_ids))
        return due if workflow_ids else None

    async with open_api_with(lambda made: dataclasses.replace(made, next_wake=next_wake), test_database) as api:
        merchant, stranger = await api.merchant(), await api.merchant()
        order, settled = await api.paid_order(merchant), await api.captured_order(merchant)
        assert (await detail(api, merchant, order))["nextAsk"] == iso(due)
        assert (await detail(api, merchant, settled))["nextAsk"] is None
        path = f"/api/orders/{order['id']}"
        (await api.call("GET", path, token=stranger.token)).must(404)
    assert asked == [[f"payment-{order['id']}"], []]


async def test_no_part_of_it_is_another_merchants(api: Api, test_database: TestDatabase) -> None:
    owner = await owner_of_everything(api, test_database)
    stranger = await api.merchant()
    for order_id in owner.ids["orders"]:
        found = await api.call("GET", f"/api/orders/{order_id}", token=stranger.token)
        absent = await api.call("GET", f"/api/orders/{uuid4()}", token=stranger.token)
        assert {**found.must(404), "correlationId": ""} == {**absent.must(404), "correlationId": ""}
