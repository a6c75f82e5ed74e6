"""The control API: the ledger, bad input, forgetting."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.world import World, new_key


@pytest.mark.parametrize("razorpay_port", [False, True])
async def test_control_is_on_both_ports(world: World, razorpay_port: bool) -> None:
    answer = await world.control("GET", f"/ledger?account={world.stripe_account}", razorpay_port=razorpay_port)
    assert (answer.status, answer.body) == (200, {"payments": [], "refunds": [], "calls": {}})


async def test_the_ledger_has_one_shape_for_both(world: World) -> None:
    intent = await world.stripe_call(
        "POST",
        "/payment_intents",
        data="amount=500&currency=usd&confirm=true&metadata[order_id]=o-1",
        headers={"Idempotency-Key": "pay-1", "Content-Type": "application/x-www-form-urlencoded"},
    )
    refund = await world.stripe_call(
        "POST",
        "/refunds",
        json={"payment_intent": intent.body["id"], "amount": 200},
        headers={"Idempotency-Key": "r-1"},
    )
    assert await world.ledger() == {
        "payments": [
            {
                "id": intent.body["id"],
                "amount": 500,
                "currency": "USD",
                "amountCaptured": 500,
                "amountRefunded": 200,
                "status": "succeeded",
                "metadata": {"order_id": "o-1"},
                "idempotencyKey": "pay-1",
            }
        ],
        "refunds": [
            {
                "id": refund.body["id"],
                "paymentId": intent.body["id"],
                "amount": 200,
                "status": "succeeded",
                "idempotencyKey": "r-1",
            }
        ],
        "calls": {"payment.create": 1, "refund.create": 1},
    }
    order = await world.razorpay_order(receipt="o-1-1", notes={"order_id": "o-1"}, payment_capture=True)
    entry = {
        "id": order["id"],
        "amount": 50_000,
        "currency": "INR",
        "amountCaptured": 0,
        "amountRefunded": 0,
        "status": "created",
        "metadata": {"order_id": "o-1"},
        "idempotencyKey": "o-1-1",
    }
    account = world.razorpay_account
    assert (await world.ledger(account))["payments"] == [entry]
    paid = await world.act(order["id"], "pay")
    refunded = await world.razorpay("POST", f"/payments/{paid['id']}/refund", json={"amount": 1})
    changes = {"id": paid["id"], "amountCaptured": 50_000, "amountRefunded": 1, "status": "captured"}
    ledger = await world.ledger(account)
    assert ledger["payments"] == [entry | changes]
    assert ledger["refunds"] == [
        {
            "id": refunded.body["id"],
            "paymentId": paid["id"],
            "amount": 1,
            "status": "processed",
            "idempotencyKey": None,
        }
    ]


async def test_calls_count_every_kind_of_arrival(world: World) -> None:
    client = world.stripe()
    intent = await client.v1.payment_intents.create_async(
        {"amount": 1, "currency": "usd", "confirm": True, "capture_method": "manual"}
    )
    await client.v1.payment_intents.retrieve_async(intent.id)
    await client.v1.payment_intents.search_async({"query": "status:'succeeded'"})
    await client.v1.payment_intents.capture_async(intent.id)
    await client.v1.refunds.create_async({"payment_intent": intent.id})
    await client.v1.refunds.list_async({"payment_intent": intent.id})
    await world.stripe_call("POST", "/payment_intents", json={"amount": 0})
    await world.stripe_call("POST", "/payment_intents/pi_unknown/cancel")
    assert (await world.ledger())["calls"] == {
        "payment.cancel": 1,
        "payment.capture": 1,
        "payment.create": 2,
        "payment.get": 2,
        "refund.create": 1,
        "refund.get": 1,
    }


FAULT: Any = {"operation": "payment.create", "mode": "http_500"}
HOOK: Any = {"url": "http://127.0.0.1:1/x", "secret": "s"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/faults", FAULT | {"account": None}, "account"),
        ("/faults", FAULT | {"account": "sk_live_abc"}, "account"),
        ("/faults", FAULT | {"account": 5}, "account"),
        ("/faults", FAULT | {"operation": "payment.fly"}, "operation"),
        ("/faults", FAULT | {"operation": None}, "operation"),
        ("/faults", FAULT | {"mode": "explode"}, "mode"),
        ("/faults", FAULT | {"times": 0}, "times"),
        ("/faults", FAULT | {"times": 1.5}, "times"),
        ("/faults", FAULT | {"ms": 5}, "ms"),
        ("/faults", FAULT | {"mode": "slow", "ms": -1}, "ms"),
        ("/faults", FAULT | {"mode": "slow", "ms": 60_001}, "ms"),
        ("/faults", FAULT | {"when": "now"}, "when"),
        ("/webhook-endpoints", HOOK | {"url": "somewhere"}, "url"),
        ("/webhook-endpoints", HOOK | {"url": None}, "url"),
        ("/webhook-endpoints", HOOK | {"secret": ""}, "secret"),
        ("/webhook-endpoints", HOOK | {"duplicate": "yes"}, "duplicate"),
        ("/webhook-endpoints", HOOK | {"duplicate": 21}, "duplicate"),
        ("/webhook-endpoints", HOOK | {"drop": 2}, "drop"),
        ("/webhook-endpoints", HOOK | {"drop": -0.5}, "drop"),
        ("/webhook-endpoints", HOOK | {"delayMs": 600_001}, "delayMs"),
        ("/webhook-endpoints", HOOK | {"shuffle": "perhaps"}, "shuffle"),
    ],
)
async def test_bad_input_is_explained(world: World, path: str, body: Any, param: str) -> None:
    answer = await world.control("POST", path, {"account": world.stripe_account} | body)
    error = answer.body["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "invalid_request", param)
    assert error["message"].startswith(param)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("authenticate", {}),
        ("authenticate", {"result": "perhaps"}),
        ("authenticate", {"result": "succeed"}),
        ("pay", {"token": "pm_unknown"}),
        ("pay", {"method": "cash"}),
        ("pay", None),
        ("refund", {"amount": 0}),
        ("refund", {"amount": "x"}),
        ("refund", {"amount": 501}),
        ("dispute", {"result": "won"}),
        ("dispute/close", {"result": "draw"}),
        ("dispute/close", {"result": "won"}),
    ],
)
async def test_acts_that_are_not_possible(world: World, what: str, body: Any) -> None:
    intent = await world.stripe_call(
        "POST", "/payment_intents", json={"amount": 500, "currency": "usd", "confirm": True}
    )
    answer = await world.control("POST", f"/payments/{intent.body['id']}/{what}", body)
    assert answer.status == 400
    assert answer.body["error"]["code"]
    assert answer.body["error"]["message"]


async def test_unpaid_intents_can_be_paid_by_the_customer_but_not_refunded(world: World) -> None:
    intent = (await world.stripe_call("POST", "/payment_intents", json={"amount": 500, "currency": "usd"})).body["id"]
    for what in ("refund", "dispute"):
        answer = await world.control("POST", f"/payments/{intent}/{what}")
        assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_status")
    assert (await world.act(intent, "pay"))["status"] == "succeeded"


async def test_unknown_payments_are_404(world: World) -> None:
    for what in ("authenticate", "pay", "refund", "dispute", "dispute/close"):
        body = (
            {"result": {"authenticate": "succeed", "dispute/close": "won"}[what]}
            if what in {"authenticate", "dispute/close"}
            else {}
        )
        answer = await world.control("POST", f"/payments/pi_unknown/{what}", body)
        assert (answer.status, answer.body["error"]["code"]) == (404, "not_found")


async def test_bodies_that_are_no_json_objects(world: World) -> None:
    url = f"{world.sandbox.stripe_url}/_sandbox/faults"
    for body in (b"{", b"[]", b"1"):
        answer = await world.request("POST", url, data=body)
        assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_json")
    assert (await world.control("GET", "/ledger")).status == 400
    assert (await world.control("GET", "/nonsense")).status == 404


async def test_forgetting_an_account(world: World) -> None:
    await world.listen()
    await world.fault("payment.get", "http_500")
    body = {"amount": 500, "currency": "usd", "confirm": True, "metadata": {"order_id": "o"}}
    first = await world.stripe_call("POST", "/payment_intents", json=body, headers={"Idempotency-Key": "key-1"})
    other = new_key()
    await world.stripe_call("POST", "/payment_intents", json=body, headers={"Authorization": f"Bearer {other}"})
    await world.receiver.take(3)
    assert (await world.control("DELETE", f"/accounts/{world.stripe_account}")).status == 204
    assert await world.ledger() == {"payments": [], "refunds": [], "calls": {}}
    assert len((await world.ledger(other))["payments"]) == 1
    gone = await world.stripe_call("GET", f"/payment_intents/{first.body['id']}")
    assert gone.status == 404
    again = await world.stripe_call("POST", "/payment_intents", json=body, headers={"Idempotency-Key": "key-1"})
    assert again.body["id"] != first.body["id"]
    found = await world.stripe().v1.payment_intents.search_async({"query": "metadata['order_id']:'o'"})
    assert [one.id for one in found.data] == [again.body["id"]]
    assert (await world.stripe().v1.webhook_endpoints.list_async()).data == []
    assert (await world.control("DELETE", "/accounts/sk_test_never_seen")).status == 204


async def test_forgetting_a_razorpay_account_forgets_its_secret(world: World) -> None:
    await world.razorpay_order()
    await world.control("DELETE", f"/accounts/{world.razorpay_account}")
    assert (await world.razorpay("GET", "/orders", secret="another")).status == 200
