"""Each fault on each processor: what the caller sees, and what was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import stripe

from payloops.sandbox.app import build_sandbox
from payloops.values import SystemClock
from tests.sandbox.world import Receiver, World

BODY: Any = {"amount": 500, "currency": "usd", "confirm": True}
LOST = (aiohttp.ClientConnectionError, TimeoutError)


@pytest.fixture
async def impatient(session: aiohttp.ClientSession, receiver: Receiver) -> AsyncIterator[World]:
    """A sandbox that holds calls open for 50 ms only."""
    sandbox = build_sandbox(None, SystemClock(), hold_s=0.05)
    await sandbox.start()
    yield World(sandbox, session, receiver)
    await sandbox.stop()


async def pay(world: World, key: str = "key-1") -> Any:
    return await world.stripe_call("POST", "/payment_intents", json=BODY, headers={"Idempotency-Key": key})


@pytest.mark.parametrize(
    ("mode", "is_done"),
    [("timeout_before", False), ("timeout_after", True), ("reset_before", False), ("reset_after", True)],
)
async def test_lost_calls(impatient: World, mode: str, is_done: bool) -> None:
    world = impatient
    await world.fault("payment.create", mode)
    with pytest.raises(LOST):
        await pay(world)
    ledger = await world.ledger()
    assert (len(ledger["payments"]), ledger["calls"]) == (int(is_done), {"payment.create": 1})
    # The same key finds out, and the payment exists once whatever happened.
    again = await pay(world)
    assert again.status == 200
    assert again.headers.get("Idempotent-Replayed") == ("true" if is_done else None)
    ledger = await world.ledger()
    assert (len(ledger["payments"]), ledger["calls"]) == (1, {"payment.create": 2})


@pytest.mark.parametrize("mode", ["timeout_before", "timeout_after"])
async def test_a_timed_out_call_is_held_open(world: World, mode: str) -> None:
    await world.fault("payment.create", mode)
    held = asyncio.create_task(pay(world))
    await world.arrival(world.stripe_account, "payment.create")
    # Other calls are served meanwhile.
    assert (await pay(world, "key-2")).status == 200
    assert not held.done()
    await world.sandbox.stop()
    with pytest.raises(LOST):
        await held


async def test_the_sdk_sees_connection_errors(world: World) -> None:
    await world.fault("payment.create", "reset_after")
    with pytest.raises(stripe.APIConnectionError):
        await world.stripe().v1.payment_intents.create_async(BODY, {"idempotency_key": "key-1"})


@pytest.mark.parametrize(("mode", "error"), [("http_500", stripe.APIError), ("http_429", stripe.RateLimitError)])
async def test_http_failures_do_nothing(world: World, mode: str, error: type[Exception]) -> None:
    await world.fault("payment.create", mode)
    with pytest.raises(error):
        await world.stripe().v1.payment_intents.create_async(BODY, {"idempotency_key": "key-1"})
    assert (await world.ledger())["payments"] == []
    done = await world.stripe().v1.payment_intents.create_async(BODY, {"idempotency_key": "key-1"})
    assert done.status == "succeeded"


async def test_http_failures_in_stripes_shape(world: World) -> None:
    await world.fault("payment.create", "http_429")
    limited = await pay(world)
    assert (limited.status, limited.body["error"]["code"]) == (429, "rate_limit")
    assert (limited.headers["Stripe-Should-Retry"], limited.headers["Retry-After"]) == ("true", "1")
    await world.fault("payment.create", "http_500")
    failed = await pay(world)
    assert (failed.status, failed.body["error"]["type"]) == (500, "api_error")


async def test_slow_calls_are_done_in_the_end(world: World) -> None:
    await world.fault("payment.create", "slow", ms=30)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    assert (await pay(world)).status == 200
    assert loop.time() - start_s >= 0.03
    await world.fault("payment.get", "slow", ms=1)
    assert (await world.stripe_call("GET", "/payment_intents")).status == 200


async def test_faults_add_up_and_are_spent_in_order(world: World) -> None:
    await world.fault("payment.create", "http_500", times=2)
    await world.fault("payment.create", "http_429")
    await world.fault("payment.create", "http_500")
    await world.fault("payment.get", "http_500")
    assert [(await pay(world, f"key-{n}")).status for n in range(6)] == [500, 500, 429, 500, 200, 200]
    assert (await world.stripe_call("GET", "/payment_intents")).status == 500
    assert (await world.stripe_call("GET", "/payment_intents")).status == 200


async def test_each_fault_is_spent_by_one_of_many_concurrent_calls(world: World) -> None:
    await world.fault("payment.create", "http_500", times=7)
    answers = await asyncio.gather(*(pay(world, f"key-{n}") for n in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 13 + [500] * 7
    ledger = await world.ledger()
    assert (len(ledger["payments"]), ledger["calls"]) == (13, {"payment.create": 20})


async def test_faults_belong_to_an_account(world: World) -> None:
    await world.fault("payment.create", "http_500", account="sk_test_somebody_else")
    assert (await pay(world)).status == 200


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("payment.get", "GET", "/payment_intents/{id}"),
        ("payment.get", "GET", "/payment_intents/search?query=status:'succeeded'"),
        ("payment.capture", "POST", "/payment_intents/{id}/capture"),
        ("payment.cancel", "POST", "/payment_intents/{id}/cancel"),
        ("refund.create", "POST", "/refunds"),
        ("refund.get", "GET", "/refunds/re_x"),
    ],
)
async def test_every_operation_of_stripe_can_fail(world: World, operation: str, method: str, path: str) -> None:
    intent = await pay(world)
    await world.fault(operation, "http_500")
    assert (await world.stripe_call(method, path.format(id=intent.body["id"]))).status == 500


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("payment.create", "POST", "/orders"),
        ("payment.get", "GET", "/orders/order_x"),
        ("payment.get", "GET", "/payments/pay_x"),
        ("payment.capture", "POST", "/payments/pay_x/capture"),
        ("refund.create", "POST", "/payments/pay_x/refund"),
        ("refund.get", "GET", "/payments/pay_x/refunds"),
    ],
)
async def test_every_operation_of_razorpay_can_fail(world: World, operation: str, method: str, path: str) -> None:
    account = world.razorpay_account
    await world.fault(operation, "http_500", account=account)
    await world.fault(operation, "http_429", account=account)
    failed = await world.razorpay(method, path)
    assert (failed.status, failed.body["error"]["code"]) == (500, "SERVER_ERROR")
    assert (await world.razorpay(method, path)).status == 429


async def test_a_razorpay_refund_whose_answer_was_lost(world: World) -> None:
    account = world.razorpay_account
    order = await world.razorpay_order(payment_capture=True)
    paid = await world.act(order["id"], "pay")
    await world.fault("refund.create", "reset_after", account=account)
    path, headers = f"/payments/{paid['id']}/refund", {"X-Refund-Idempotency": "refund-key-1"}
    with pytest.raises(LOST):
        await world.razorpay("POST", path, json={"amount": 5}, headers=headers)
    again = await world.razorpay("POST", path, json={"amount": 5}, headers=headers)
    assert again.status == 200
    assert [refund["id"] for refund in (await world.ledger(account))["refunds"]] == [again.body["id"]]
