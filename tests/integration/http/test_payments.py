"""Pay, capture, cancel, refund: answers, waits and races."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from payloops.commands.order_results import (
    RecordCancelFailed,
    RecordOutcomeUnknown,
    RecordRefundFailed,
    RecordRefundSucceeded,
    RecordVoided,
)
from payloops.projections.personal_data import CLIENT_SECRET, REDIRECT_URL
from tests.databases import TestDatabase, TestServer
from tests.integration.http.world import Answer, Api, Merchant

NO_WAIT = {"Prefer": "respond-async"}


async def pay(api: Api, merchant: Merchant, order_id: str, body: object = None, **headers: str) -> Answer:
    return await api.call("POST", f"/v1/orders/{order_id}/pay", body, key=merchant.api_key, headers=headers)


async def test_pay_answers_what_was_begun(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    answer = await pay(api, merchant, order["id"], {"processor": "stripe", "paymentMethod": {"type": "card"}})
    assert answer.must(200) == {
        "orderId": order["id"],
        "status": "processing",
        "processor": "stripe",
        "workflowId": f"payment-{order['id']}",
    }
    assert answer.headers["ETag"] == '"2"'


async def test_pay_waits_for_the_outcome(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    paying = asyncio.create_task(pay(api, merchant, order["id"], Prefer="wait=20"))
    await api.reached(order["id"], 2)
    started = time.monotonic()
    await api.captured(order["id"], 1000)
    answer = await paying
    assert time.monotonic() - started < 15
    assert answer.must(200)["status"] == "captured"
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_pay_stops_waiting_when_the_time_is_over(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    answer = await pay(api, merchant, order["id"], Prefer="foo, wait=1")
    assert answer.must(200)["status"] == "processing"
    assert answer.headers["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize("prefer", ("wait=x", "wait", "wait=-1", "return=minimal", '"', "wait=1.5"))
async def test_a_malformed_preference_is_ignored(api: Api, merchant: Merchant, prefer: str) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    answer = await pay(api, merchant, order["id"], Prefer=prefer)
    assert answer.must(200)["status"] == "processing"
    assert "Preference-Applied" not in answer.headers


async def test_an_unknown_outcome_ends_the_wait(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    paying = asyncio.create_task(pay(api, merchant, order["id"], Prefer="wait=20"))
    await api.reached(order["id"], 2)
    await api.record(RecordOutcomeUnknown(**api.head(order["id"]), attempt=1, operation="payment", reason="timeout"))
    assert (await paying).must(200)["status"] == "processing"
    assert (await api.order(merchant, order["id"]))["outcomeUnknown"] is True


async def test_what_the_customer_must_do_is_on_pay_and_order(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant)
    key = await api.services.personal.key_for(merchant.id)
    secret = key.seal(CLIENT_SECRET, order["id"], "pi_1_secret_x")
    address = key.seal(REDIRECT_URL, order["id"], "https://bank.example/3ds?secret_y")
    await api.action_required(order["id"], redirect_url=address, client_secret=secret, processor_order_id="pi_1")
    read = await api.order(merchant, order["id"])
    assert read["status"] == "requires_action"
    assert read["processorOrderId"] == "pi_1"
    assert read["nextAction"] == {
        "type": "redirect",
        "redirectUrl": "https://bank.example/3ds?secret_y",
        "clientSecret": "pi_1_secret_x",
        "processorData": None,
    }
    trail = await api.call("GET", f"/v1/orders/{order['id']}/events", key=merchant.api_key)
    assert b"secret_x" not in trail.raw
    assert b"secret_y" not in trail.raw
    assert trail.json["data"][0]["data"]["clientSecret"] == "[encrypted]"


@pytest.mark.parametrize(
    ("fields", "kind", "paid"),
    (
        ({"processor_data": {"orderId": "order_1", "keyId": "rzp"}}, "processor_checkout", "processorData"),
        ({"client_secret": CLIENT_SECRET}, "use_sdk", "clientSecret"),
        ({"redirect_url": REDIRECT_URL}, "redirect", "redirectUrl"),
    ),
)
async def test_pay_shows_what_there_is_to_do(
    api: Api, merchant: Merchant, fields: dict[str, Any], kind: str, paid: str
) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    if "processor_data" not in fields:
        key = await api.services.personal.key_for(merchant.id)
        fields = {name: key.seal(field, order["id"], "told") for name, field in fields.items()}
    paying = asyncio.create_task(pay(api, merchant, order["id"], Prefer="wait=20"))
    await api.reached(order["id"], 2)
    await api.action_required(order["id"], **fields)
    answer = (await paying).must(200)
    assert answer["status"] == "requires_action"
    assert set(answer) == {"orderId", "status", "processor", "workflowId", paid}
    assert (await api.order(merchant, order["id"]))["nextAction"]["type"] == kind


async def test_pay_needs_a_processor(api: Api, merchant: Merchant) -> None:
    order = await api.new_order(merchant)
    assert (await pay(api, merchant, order["id"])).must(400)["code"] == "no_processor"
    assert (await pay(api, merchant, order["id"], {"processor": "stripe"})).must(400)["code"] == "invalid_processor"
    assert (await pay(api, merchant, order["id"], {"processor": "paypal"})).must(400)["code"] == "validation_error"


async def test_a_failed_order_is_paid_again_with_another_token(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    method = {"type": "card", "token": "pm_1"}
    (await pay(api, merchant, order["id"], {"paymentMethod": method})).must(200)
    await api.failed(order["id"])
    failed = await api.order(merchant, order["id"])
    assert failed["failure"] == {
        "code": "card_declined",
        "declineCode": "lost_card",
        "message": "Declined.",
        "processor": "stripe",
    }
    assert (await pay(api, merchant, order["id"], {"paymentMethod": method})).must(400)["code"] == "invalid_status"
    assert (await pay(api, merchant, order["id"])).must(400)["code"] == "invalid_status"
    again = await pay(api, merchant, order["id"], {"paymentMethod": method | {"token": "pm_2"}})
    assert again.must(200)["workflowId"] == f"payment-{order['id']}-2"
    assert (await api.order(merchant, order["id"]))["failure"] is None


BAD_PAYMENTS: tuple[tuple[object, str], ...] = (
    ({"paymentMethod": {"card": {"number": "4242424242424242"}}}, "raw_card_rejected"),
    ({"paymentMethod": {"type": "card", "card": None}}, "raw_card_rejected"),
    ({"paymentMethod": {"type": "card", "token": "4242 4242 4242 4242"}}, "raw_card_rejected"),
    ({"paymentMethod": {"type": "card", "4242424242424242": 1}}, "raw_card_rejected"),
    ({"anything": ["x", {"y": "card: 378282246310005."}]}, "raw_card_rejected"),
    ({"paymentMethod": {"token": "pm_1"}}, "validation_error"),
    ({"paymentMethod": {"type": "cheque"}}, "validation_error"),
    ({"paymentMethod": "card"}, "validation_error"),
    ({"paymentMethod": {"type": "card", "token": ""}}, "validation_error"),
    ([], "validation_error"),
)


@pytest.mark.parametrize(("body", "code"), BAD_PAYMENTS)
async def test_bad_payments_are_refused(api: Api, merchant: Merchant, body: object, code: str) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    answer = await pay(api, merchant, order["id"], body)
    assert (answer.status, answer.code) == (400, code)
    assert b"4242" not in answer.raw
    assert (await api.order(merchant, order["id"]))["version"] == 1


async def test_fifty_payments_at_once_are_one(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    answers = await asyncio.gather(*(pay(api, merchant, order["id"], **NO_WAIT) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 49
    assert {answer.code for answer in answers if answer.status == 400} == {"invalid_status"}
    transactions = await api.call("GET", f"/v1/orders/{order['id']}/transactions", key=merchant.api_key)
    assert len(transactions.must(200)) == 1


async def test_fifty_refunds_at_once_never_exceed_the_capture(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant, amount=1000)
    path = f"/v1/orders/{order['id']}/refund"
    answers = await asyncio.gather(*(api.call("POST", path, {"amount": 30}, key=merchant.api_key) for _ in range(50)))
    accepted = [answer.json for answer in answers if answer.status == 201]
    assert len(accepted) == 33
    assert {answer.code for answer in answers if answer.status == 400} == {"refund_exceeds_captured"}
    refunds = (await api.call("GET", f"{path}s", key=merchant.api_key)).must(200)
    assert sum(refund["amount"] for refund in refunds) == 990
    assert {refund["refundId"] for refund in refunds} == {refund["refundId"] for refund in accepted}
    rest = (await api.call("POST", path, key=merchant.api_key)).must(201)
    assert rest["amount"] == 10
    assert (await api.call("POST", path, key=merchant.api_key)).must(400)["code"] == "refund_exceeds_captured"


async def test_a_refund_waits_for_its_outcome(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant)
    path = f"/v1/orders/{order['id']}/refund"
    body = {"amount": 400, "reason": "wrong size"}
    refunding = asyncio.create_task(api.call("POST", path, body, key=merchant.api_key, headers={"Prefer": "wait=20"}))
    await api.reached(order["id"], 4)
    listed = (await api.call("GET", f"{path}s", key=merchant.api_key)).must(200)
    await api.record(RecordRefundSucceeded(**api.head(order["id"]), refund_id=UUID(listed[0]["refundId"])))
    done = (await refunding).must(201)
    assert done == {
        "refundId": listed[0]["refundId"],
        "orderId": order["id"],
        "amount": 400,
        "status": "success",
    }
    (listed,) = (await api.call("GET", f"{path}s", key=merchant.api_key)).must(200)
    assert set(listed) == {"refundId", "orderId", "amount", "status", "reason", "createdAt"}
    assert listed["reason"] == "wrong size"
    read = await api.order(merchant, order["id"])
    assert (read["status"], read["amountRefunded"]) == ("partially_refunded", 400)


async def test_a_failed_refund_can_be_made_again(api: Api, merchant: Merchant) -> None:
    order = await api.captured_order(merchant)
    path = f"/v1/orders/{order['id']}/refund"
    first = (await api.call("POST", path, key=merchant.api_key)).must(201)
    assert (first["amount"], first["status"]) == (1000, "pending")
    report = RecordRefundFailed(**api.head(order["id"]), refund_id=UUID(first["refundId"]), code="x", message="No.")
    await api.record(report)
    again = (await api.call("POST", path, key=merchant.api_key)).must(201)
    refunds = (await api.call("GET", f"{path}s", key=merchant.api_key)).must(200)
    assert [refund["refundId"] for refund in refunds] == [again["refundId"], first["refundId"]]
    assert [refund["status"] for refund in refunds] == ["pending", "failed"]


async def test_capture_takes_less_and_only_once(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant, captureMethod="manual")
    path = f"/v1/orders/{order['id']}/capture"
    assert (await api.call("POST", path, key=merchant.api_key)).must(400)["code"] == "invalid_status"
    await api.authorized(order["id"], 1000)
    too_much = await api.call("POST", path, {"amount": 1001}, key=merchant.api_key)
    assert too_much.must(400)["param"] == "amount"
    first = await api.call("POST", path, {"amount": 700}, key=merchant.api_key)
    assert first.must(200)["status"] == "authorized"
    assert (await api.call("POST", path, key=merchant.api_key)).must(400)["code"] == "invalid_status"
    await api.captured(order["id"], 700)
    read = await api.order(merchant, order["id"])
    assert (read["status"], read["amountCaptured"]) == ("captured", 700)
    transactions = (await api.call("GET", f"/v1/orders/{order['id']}/transactions", key=merchant.api_key)).must(200)
    assert [(each["type"], each["amount"], each["status"]) for each in transactions] == [
        ("capture", 700, "success"),
        ("authorization", 1000, "success"),
    ]
    assert set(transactions[0]) == {
        *("id", "orderId", "type", "amount", "status", "processorTransactionId", "errorCode", "errorMessage"),
        "createdAt",
    }


async def test_capture_waits_for_its_outcome(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant, captureMethod="manual")
    await api.authorized(order["id"], 1000)
    path = f"/v1/orders/{order['id']}/capture"
    capturing = asyncio.create_task(api.call("POST", path, key=merchant.api_key, headers={"Prefer": "wait=20"}))
    await api.reached(order["id"], 4)
    await api.captured(order["id"], 1000)
    assert (await capturing).must(200)["status"] == "captured"


async def test_cancel_ends_a_pending_order_at_once(api: Api, merchant: Merchant) -> None:
    order = await api.new_order(merchant)
    path = f"/v1/orders/{order['id']}/cancel"
    answer = await api.call("POST", path, {"reason": "changed my mind"}, key=merchant.api_key)
    assert answer.must(200)["status"] == "cancelled"
    assert answer.headers["ETag"] == '"2"'
    assert (await api.call("POST", path, key=merchant.api_key)).must(400)["code"] == "invalid_status"
    assert (await pay(api, merchant, order["id"])).status == 400


async def test_cancel_waits_for_the_void(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant, captureMethod="manual")
    await api.authorized(order["id"], 1000)
    path = f"/v1/orders/{order['id']}/cancel"
    cancelling = asyncio.create_task(api.call("POST", path, key=merchant.api_key, headers={"Prefer": "wait=20"}))
    await api.reached(order["id"], 4)
    await api.record(RecordVoided(**api.head(order["id"]), attempt=1))
    assert (await cancelling).must(200)["status"] == "cancelled"


async def test_a_refused_cancel_answers_the_order_as_it_stands(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant, captureMethod="manual")
    await api.authorized(order["id"], 1000)
    path = f"/v1/orders/{order['id']}/cancel"
    cancelling = asyncio.create_task(api.call("POST", path, key=merchant.api_key, headers={"Prefer": "wait=20"}))
    await api.reached(order["id"], 4)
    await api.record(RecordCancelFailed(**api.head(order["id"]), code="no", message="No."))
    assert (await cancelling).must(200)["status"] == "authorized"


async def test_if_match_makes_a_write_conditional(api: Api, merchant: Merchant) -> None:
    order = await api.new_order(merchant)
    path = f"/v1/orders/{order['id']}/cancel"
    for tag in ('"2"', 'W/"1"', '"abc"', '""', "nonsense"):
        answer = await api.call("POST", path, key=merchant.api_key, headers={"If-Match": tag})
        assert (answer.status, answer.code) == (409, "version_conflict")
        assert answer.json["retryable"] is True
    (await api.call("POST", path, key=merchant.api_key, headers={"If-Match": '"1"'})).must(200)
    another = await api.new_order(merchant)
    any_version = {"If-Match": "*"}
    (await api.call("POST", f"/v1/orders/{another['id']}/cancel", key=merchant.api_key, headers=any_version)).must(200)


async def test_a_stop_ends_the_wait_with_what_is_known(api: Api, merchant: Merchant) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    paying = asyncio.create_task(pay(api, merchant, order["id"], Prefer="wait=30"))
    await api.reached(order["id"], 2)
    api.services.stopping.set()
    assert (await paying).must(200)["status"] == "processing"


async def test_a_command_that_took_effect_is_answered_though_the_database_went_away(
    api: Api, merchant: Merchant, postgres_server: TestServer, test_database: TestDatabase
) -> None:
    await api.with_stripe(merchant)
    order = await api.new_order(merchant)
    paying = asyncio.create_task(pay(api, merchant, order["id"], **{"Prefer": "wait=30", "Idempotency-Key": "k"}))
    await api.reached(order["id"], 2)
    with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
        name = sql.Identifier(test_database.name)
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        admin.execute(kill, (test_database.name,))
        api.services.stopping.set()
        assert (await paying).must(200)["status"] == "processing"
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


async def test_the_audit_trail_is_newest_first_and_complete(api: Api, merchant: Merchant) -> None:
    order = await api.paid_order(merchant, customerEmail="jane@customer.example")
    await api.captured(order["id"], 1000)
    path = f"/v1/orders/{order['id']}/events"
    first = (await api.call("GET", f"{path}?limit=2", key=merchant.api_key)).must(200)
    assert [entry["type"] for entry in first["data"]] == ["order.payment_captured", "order.payment_started"]
    rest = (await api.call("GET", f"{path}?limit=2&cursor={first['nextCursor']}", key=merchant.api_key)).must(200)
    assert first["hasMore"] is True
    assert (rest["hasMore"], rest["nextCursor"]) == (False, None)
    (created,) = rest["data"]
    assert created["type"] == "order.created"
    assert set(created) == {
        *("position", "id", "streamId", "streamVersion", "type", "occurredAt", "recordedAt", "actor"),
        *("correlationId", "causationId", "data"),
    }
    assert created["streamId"] == order["id"]
    assert created["streamVersion"] == 1
    assert created["actor"] == {"type": "api_key", "id": merchant.api_key_id}
    assert created["data"]["customerEmail"] == "[encrypted]"
    assert created["data"]["amount"] == 1000
    assert created["occurredAt"] == order["createdAt"]
    by_workflow = first["data"][0]
    assert by_workflow["actor"] == {"type": "workflow", "id": f"payment-{order['id']}"}
    assert by_workflow["correlationId"] == "from-the-workflow"
    whole = (await api.call("GET", path, token=None, key=merchant.api_key)).must(200)
    dashboard = (await api.call("GET", f"/api/orders/{order['id']}/events", token=merchant.token)).must(200)
    assert dashboard == whole
    for cursor in ("x", "WzBd", "WyIxIl0", "WzEsMl0", "W3RydWVd"):
        assert (await api.call("GET", f"{path}?cursor={cursor}", key=merchant.api_key)).status == 400
