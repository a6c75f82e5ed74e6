"""Razorpay's API over HTTP: orders, payments, refunds, errors."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import aiohttp
import pytest

from tests.sandbox.world import World, new_key


async def paid(world: World, *, token: str | None = None, **order: Any) -> tuple[Any, Any]:
    """(order, payment) of an order that the customer paid."""
    made = await world.razorpay_order(**({"payment_capture": True} | order))
    entry = await world.act(made["id"], "pay", {"token": token} if token else None)
    payment = await world.razorpay("GET", f"/payments/{entry['id']}")
    return (await world.razorpay("GET", f"/orders/{made['id']}")).body, payment.body


async def refund(world: World, payment: Any, key: str | None = None, **fields: Any) -> Any:
    headers = {"X-Refund-Idempotency": key} if key else {}
    return await world.razorpay("POST", f"/payments/{payment['id']}/refund", json=fields, headers=headers)


async def test_an_order_is_created_attempted_and_paid(world: World) -> None:
    notes = {"order_id": "o-1", "merchant_id": "m-1"}
    order = await world.razorpay_order(receipt="o-1-1", notes=notes)
    assert order["id"].startswith("order_")
    assert (order["entity"], order["status"], order["attempts"]) == ("order", "created", 0)
    assert (order["amount"], order["amount_due"], order["amount_paid"]) == (50_000, 50_000, 0)
    assert (order["receipt"], order["notes"]) == ("o-1-1", notes)
    entry = await world.act(order["id"], "pay")
    payment = (await world.razorpay("GET", f"/payments/{entry['id']}")).body
    assert payment["id"].startswith("pay_")
    assert (payment["status"], payment["captured"], payment["order_id"]) == ("authorized", False, order["id"])
    assert payment["notes"] == notes
    attempted = (await world.razorpay("GET", f"/orders/{order['id']}")).body
    assert (attempted["status"], attempted["attempts"]) == ("attempted", 1)
    captured = await world.razorpay(
        "POST", f"/payments/{payment['id']}/capture", json={"amount": 50_000, "currency": "INR"}
    )
    assert (captured.status, captured.body["status"], captured.body["captured"]) == (200, "captured", True)
    assert captured.body["fee"] > captured.body["tax"] > 0
    done = (await world.razorpay("GET", f"/orders/{order['id']}")).body
    assert (done["status"], done["amount_paid"], done["amount_due"]) == ("paid", 50_000, 0)
    listed = (await world.razorpay("GET", f"/orders/{order['id']}/payments")).body
    assert (listed["entity"], listed["count"], listed["items"][0]["id"]) == ("collection", 1, payment["id"])


@pytest.mark.parametrize(
    "setting", [{"payment_capture": 1}, {"payment_capture": True}, {"payment": {"capture": "automatic"}}]
)
async def test_automatic_capture(world: World, setting: Any) -> None:
    order = await world.razorpay_order(**setting)
    entry = await world.act(order["id"], "pay")
    assert (entry["status"], entry["amountCaptured"]) == ("captured", 50_000)


async def test_notes_are_a_list_when_empty(world: World) -> None:
    order, payment = await paid(world)
    assert (order["notes"], payment["notes"]) == ([], [])


@pytest.mark.parametrize(
    ("method", "field"), [("upi", "vpa"), ("netbanking", "bank"), ("wallet", "wallet"), ("card", "card_id")]
)
async def test_methods(world: World, method: str, field: str) -> None:
    order = await world.razorpay_order()
    entry = await world.act(order["id"], "pay", {"method": method})
    payment = (await world.razorpay("GET", f"/payments/{entry['id']}")).body
    assert payment["method"] == method
    assert payment[field]


async def test_the_checkout_hands_out_a_signature(world: World) -> None:
    order = await world.razorpay_order()
    entry = await world.act(order["id"], "pay")
    expected = hmac.new(b"the-secret", f"{order['id']}|{entry['id']}".encode(), hashlib.sha256).hexdigest()
    assert (entry["orderId"], entry["signature"]) == (order["id"], expected)


async def test_a_failed_payment_can_be_tried_again(world: World) -> None:
    order = await world.razorpay_order(payment_capture=True)
    failed = await world.act(order["id"], "pay", {"token": "pm_card_visa_chargeDeclinedInsufficientFunds"})
    assert (failed["status"], failed["amountCaptured"]) == ("failed", 0)
    payment = (await world.razorpay("GET", f"/payments/{failed['id']}")).body
    assert (payment["error_code"], payment["error_reason"]) == ("BAD_REQUEST_ERROR", "insufficient_funds")
    again = await world.act(failed["id"], "pay")
    assert again["status"] == "captured"
    payments = (await world.razorpay("GET", f"/orders/{order['id']}/payments")).body["items"]
    assert [one["status"] for one in payments] == ["captured", "failed"]
    twice = await world.control("POST", f"/payments/{order['id']}/pay")
    assert (twice.status, twice.body["error"]["code"]) == (400, "invalid_status")


async def test_an_authorized_order_cannot_be_paid_again(world: World) -> None:
    order = await world.razorpay_order()
    await world.act(order["id"], "pay")
    assert (await world.control("POST", f"/payments/{order['id']}/pay")).status == 400


# --------------------------------------------------------------------------------------------------------- capture
async def test_capture_is_whole_and_once(world: World) -> None:
    order = await world.razorpay_order()
    path = f"/payments/{(await world.act(order['id'], 'pay'))['id']}/capture"
    for body, description in (
        ({"amount": 49_999, "currency": "INR"}, "equal to the amount authorized"),
        ({"amount": 50_000, "currency": "USD"}, "currency"),
        ({"currency": "INR"}, "amount"),
        ({"amount": "many", "currency": "INR"}, "integer"),
    ):
        refused = await world.razorpay("POST", path, json=body)
        assert (refused.status, refused.body["error"]["code"]) == (400, "BAD_REQUEST_ERROR")
        assert description in refused.body["error"]["description"]
    assert (await world.razorpay("POST", path, json={"amount": 50_000, "currency": "INR"})).status == 200
    again = await world.razorpay("POST", path, json={"amount": 50_000, "currency": "INR"})
    assert (again.status, again.body["error"]["description"]) == (400, "This payment has already been captured")


async def test_a_failed_payment_cannot_be_captured(world: World) -> None:
    order = await world.razorpay_order()
    failed = await world.act(order["id"], "pay", {"token": "pm_card_visa_chargeDeclined"})
    answer = await world.razorpay(
        "POST", f"/payments/{failed['id']}/capture", json={"amount": 50_000, "currency": "INR"}
    )
    assert answer.status == 400


# --------------------------------------------------------------------------------------------------------- refunds
async def test_refunds_until_nothing_is_left(world: World) -> None:
    _, payment = await paid(world)
    part = await refund(world, payment, amount=20_000, notes={"refund_id": "r-1"}, receipt="r-1", speed="optimum")
    assert (part.status, part.body["entity"], part.body["status"]) == (200, "refund", "processed")
    assert (part.body["amount"], part.body["payment_id"], part.body["receipt"]) == (20_000, payment["id"], "r-1")
    assert (part.body["notes"], part.body["speed_requested"]) == ({"refund_id": "r-1"}, "optimum")
    partly = (await world.razorpay("GET", f"/payments/{payment['id']}")).body
    assert (partly["status"], partly["amount_refunded"], partly["refund_status"]) == ("captured", 20_000, "partial")
    over = await refund(world, payment, amount=30_001)
    assert (over.status, over.body["error"]["description"]) == (
        400,
        "The total refund amount is greater than the refund payment amount",
    )
    rest = await refund(world, payment)
    assert rest.body["amount"] == 30_000
    wholly = (await world.razorpay("GET", f"/payments/{payment['id']}")).body
    assert (wholly["status"], wholly["amount_refunded"], wholly["refund_status"]) == ("refunded", 50_000, "full")
    none_left = await refund(world, payment)
    assert none_left.body["error"]["description"] == "The payment has been fully refunded already"
    listed = (await world.razorpay("GET", f"/payments/{payment['id']}/refunds")).body
    assert [one["amount"] for one in listed["items"]] == [30_000, 20_000]
    assert (await world.razorpay("GET", "/refunds?count=1")).body["items"][0]["id"] == rest.body["id"]
    for path in (f"/refunds/{part.body['id']}", f"/payments/{payment['id']}/refunds/{part.body['id']}"):
        assert (await world.razorpay("GET", path)).body == part.body
    assert (await world.razorpay("GET", f"/payments/pay_other/refunds/{part.body['id']}")).status == 400


async def test_an_uncaptured_payment_cannot_be_refunded(world: World) -> None:
    _, payment = await paid(world, payment_capture=False)
    assert (await refund(world, payment)).status == 400


async def test_a_refund_key_is_safe_to_repeat(world: World) -> None:
    _, payment = await paid(world)
    first = await refund(world, payment, "refund-key-1", amount=100)
    answers = await asyncio.gather(*(refund(world, payment, "refund-key-1", amount=100) for _ in range(10)))
    assert {answer.body["id"] for answer in answers} == {first.body["id"]}
    other = await refund(world, payment, "refund-key-1", amount=101)
    assert (other.status, other.body["error"]["code"]) == (400, "BAD_REQUEST_ERROR")
    assert (await refund(world, payment, "short", amount=100)).status == 400
    ledger = await world.ledger(world.razorpay_account)
    assert [(one["amount"], one["idempotencyKey"]) for one in ledger["refunds"]] == [(100, "refund-key-1")]


async def test_a_refund_key_in_flight_is_409(world: World) -> None:
    _, payment = await paid(world)
    await world.fault("refund.create", "slow", account=world.razorpay_account, ms=60_000)
    slow = asyncio.create_task(refund(world, payment, "refund-key-1", amount=100))
    try:
        await world.arrival(world.razorpay_account, "refund.create")
        assert (await refund(world, payment, "refund-key-1", amount=100)).status == 409
    finally:
        slow.cancel()


async def test_refund_receipts_are_unique(world: World) -> None:
    _, payment = await paid(world)
    assert (await refund(world, payment, amount=100, receipt="r-1")).status == 200
    assert (await refund(world, payment, amount=100, receipt="r-1")).status == 400


@pytest.mark.parametrize(
    ("token", "event", "status", "left"),
    [
        ("pm_card_pendingRefund", "refund.processed", "processed", 40_000),
        ("pm_card_refundFail", "refund.failed", "failed", 50_000),
    ],
)
async def test_refunds_that_take_a_while(world: World, token: str, event: str, status: str, left: int) -> None:
    await world.listen(world.razorpay_account)
    _, payment = await paid(world, token=token)
    made = (await refund(world, payment, amount=10_000)).body
    assert made["status"] == "pending"
    settled = (await world.receiver.until(event)).body["payload"]
    assert (settled["refund"]["entity"]["id"], settled["refund"]["entity"]["status"]) == (made["id"], status)
    assert settled["payment"]["entity"]["amount_refunded"] == 50_000 - left
    assert (await refund(world, payment)).body["amount"] == left


async def test_dashboard_refunds_and_disputes(world: World) -> None:
    await world.listen(world.razorpay_account)
    order, payment = await paid(world)
    made = await world.act(order["id"], "refund", {"amount": 100})
    assert (made["paymentId"], made["amount"]) == (payment["id"], 100)
    disputed = await world.act(payment["id"], "dispute")
    assert disputed["status"] == "open"
    created = (await world.receiver.until("payment.dispute.created")).body
    assert created["contains"] == ["payment", "dispute"]
    assert created["payload"]["dispute"]["entity"]["payment_id"] == payment["id"]
    assert (await world.control("POST", f"/payments/{order['id']}/dispute")).status == 400
    await world.act(order["id"], "dispute/close", {"result": "lost"})
    lost = (await world.receiver.until("payment.dispute.lost")).body["payload"]["dispute"]["entity"]
    assert (lost["status"], lost["amount_deducted"]) == ("lost", 50_000)
    assert (await world.control("POST", f"/payments/{order['id']}/dispute/close", {"result": "won"})).status == 400


async def test_disputes_are_listed_by_time_alone(world: World) -> None:
    assert (await world.razorpay("GET", "/disputes")).body == {"entity": "collection", "count": 0, "items": []}
    payments = [(await paid(world))[1]["id"] for _ in range(3)]
    made = [(await world.act(payment, "dispute"))["id"] for payment in payments]
    listed = (await world.razorpay("GET", "/disputes?count=2")).body["items"]
    assert [one["id"] for one in listed] == [made[2], made[1]]
    rest = (await world.razorpay("GET", "/disputes?count=2&skip=2")).body["items"]
    assert [one["id"] for one in rest] == made[:1]
    assert (await world.razorpay("GET", f"/disputes?from={listed[0]['created_at'] + 60}")).body["items"] == []
    assert (await world.razorpay("GET", f"/disputes?payment_id={payments[0]}")).status == 400
    one = await world.razorpay("GET", f"/disputes/{made[0]}")
    assert (one.body["id"], one.body["status"], one.body["phase"]) == (made[0], "open", "chargeback")
    assert (await world.razorpay("GET", "/disputes/disp_none")).status == 400


async def test_a_payment_is_disputed_by_its_token(world: World) -> None:
    await world.listen(world.razorpay_account)
    _, payment = await paid(world, token="pm_card_createDispute")
    created = (await world.receiver.until("payment.dispute.created")).body["payload"]["dispute"]["entity"]
    assert created["payment_id"] == payment["id"]
    await world.act(payment["id"], "dispute/close", {"result": "won"})
    assert (await world.receiver.until("payment.dispute.won")).body["payload"]["dispute"]["entity"]["status"] == "won"


async def test_unpaid_orders_have_nothing_to_give_back(world: World) -> None:
    order = await world.razorpay_order()
    for what, body in (("refund", None), ("dispute", None), ("dispute/close", {"result": "won"})):
        assert (await world.control("POST", f"/payments/{order['id']}/{what}", body)).status == 400
    await world.act(order["id"], "pay")
    for what in ("refund", "dispute"):
        assert (await world.control("POST", f"/payments/{order['id']}/{what}")).status == 400
    answer = await world.control("POST", f"/payments/{order['id']}/authenticate", {"result": "succeed"})
    assert (answer.status, answer.body["error"]["code"]) == (400, "not_supported")


# ---------------------------------------------------------------------------------------------- lists, keys, errors
async def test_receipts_find_orders_and_are_unique(world: World) -> None:
    order = await world.razorpay_order(receipt="o-1-1")
    await world.razorpay_order(receipt="o-2-1")
    found = (await world.razorpay("GET", "/orders?receipt=o-1-1")).body
    assert [one["id"] for one in found["items"]] == [order["id"]]
    assert (await world.razorpay("GET", "/orders?receipt=nobody")).body["items"] == []
    again = await world.razorpay("POST", "/orders", json={"amount": 1, "currency": "INR", "receipt": "o-1-1"})
    assert (again.status, again.body["error"]["description"]) == (400, "Order receipt should be unique.")


async def test_lists_by_count_skip_and_time(world: World) -> None:
    ids = [(await world.razorpay_order())["id"] for _ in range(5)][::-1]
    listed = (await world.razorpay("GET", "/orders?count=2&skip=1")).body
    assert [one["id"] for one in listed["items"]] == ids[1:3]
    created = (await world.razorpay("GET", f"/orders/{ids[0]}")).body["created_at"]
    assert (await world.razorpay("GET", f"/orders?from={created + 5}")).body["count"] == 0
    assert (await world.razorpay("GET", f"/orders?to={created - 5}")).body["count"] == 0
    await world.act(ids[0], "pay")
    assert (await world.razorpay("GET", "/payments")).body["count"] == 1
    assert (await world.razorpay("GET", "/orders?count=101")).status == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"currency": "INR"}, "amount"),
        ({"amount": 100.5, "currency": "INR"}, "amount"),
        ({"amount": 0, "currency": "INR"}, "amount"),
        ({"amount": True, "currency": "INR"}, "amount"),
        ({"amount": 2**53, "currency": "INR"}, "amount"),
        ({"amount": 100}, "currency"),
        ({"amount": 100, "currency": "XYZ"}, "currency"),
        ({"amount": 100, "currency": 1}, "currency"),
        ({"amount": 100, "currency": "INR", "receipt": "r" * 41}, "receipt"),
        ({"amount": 100, "currency": "INR", "notes": {f"k{n}": "v" for n in range(16)}}, "notes"),
        ({"amount": 100, "currency": "INR", "notes": {"k": "v" * 257}}, "notes"),
        ({"amount": 100, "currency": "INR", "notes": {"k": ["v"]}}, "notes"),
        ({"amount": 100, "currency": "INR", "colour": "red"}, "colour"),
    ],
)
async def test_bad_orders(world: World, body: Any, field: str) -> None:
    answer = await world.razorpay("POST", "/orders", json=body)
    error = answer.body["error"]
    assert (answer.status, error["code"], error["field"]) == (400, "BAD_REQUEST_ERROR", field)
    assert set(error) == {"code", "description", "source", "step", "reason", "metadata", "field"}


async def test_forms_are_taken_too(world: World) -> None:
    answer = await world.razorpay("POST", "/orders", data={"amount": "100", "currency": "INR", "notes[a]": "b"})
    assert (answer.status, answer.body["notes"]) == (200, {"a": "b"})
    broken = await world.razorpay("POST", "/orders", data=b"{", headers={"Content-Type": "application/json"})
    assert broken.status == 400


@pytest.mark.parametrize("path", ["/orders/order_x", "/payments/pay_x", "/refunds/rfnd_x", "/orders/order_x/payments"])
async def test_unknown_ids_are_400(world: World, path: str) -> None:
    answer = await world.razorpay("GET", path)
    assert (answer.status, answer.body["error"]["description"]) == (400, "The id provided does not exist")


async def test_unknown_routes_are_404(world: World) -> None:
    assert (await world.razorpay("GET", "/nonsense")).status == 404


async def test_the_first_secret_is_the_secret(world: World) -> None:
    assert (await world.razorpay("GET", "/orders")).status == 200
    assert (await world.razorpay("GET", "/orders", secret="another")).status == 401
    answer = await world.razorpay("GET", "/orders", secret="")
    assert (answer.status, answer.body["error"]["description"]) == (401, "Authentication failed")


@pytest.mark.parametrize("key", ["rzp_live_abc", "sk_test_abc", "", "rzp_test_"])
async def test_only_test_keys_work(world: World, key: str) -> None:
    answer = await world.request(
        "GET",
        f"{world.sandbox.razorpay_url}/v1/orders",
        headers={"Authorization": aiohttp.encode_basic_auth(key, "the-secret")},
    )
    assert answer.status == 401
    for header in ("Bearer rzp_test_abc", "Basic !", "Basic"):
        bare = await world.request("GET", f"{world.sandbox.razorpay_url}/v1/orders", headers={"Authorization": header})
        assert bare.status == 401


async def test_accounts_do_not_see_each_other(world: World) -> None:
    order = await world.razorpay_order(receipt="same")
    world.razorpay_account = new_key("rzp_test")
    assert (await world.razorpay("GET", f"/orders/{order['id']}")).status == 400
    assert (await world.razorpay_order(receipt="same"))["id"] != order["id"]
