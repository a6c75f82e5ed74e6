"""Webhooks: signatures, envelopes, retries, and endpoints with bad manners."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from typing import Any

import aiohttp
import pytest
import stripe

from payloops.sandbox.app import build_sandbox
from payloops.values import SystemClock
from tests.sandbox.world import Received, Receiver, World

PAID: Any = {"amount": 500, "currency": "usd", "confirm": True, "metadata": {"order_id": "o-1", "merchant_id": "m-1"}}
IN_ORDER = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def pay(world: World, **more: Any) -> Any:
    answer = await world.stripe_call("POST", "/payment_intents", json=PAID | more, headers={"Idempotency-Key": "key-1"})
    assert answer.status == 200
    return answer


def types(received: list[Received]) -> list[str]:
    return [one.body["type"] for one in received]


def assert_signed_by_stripe(received: Received, secret: str) -> None:
    """An implementation of the signature's definition that shares nothing with the sandbox's."""
    fields = dict(part.split("=", 1) for part in received.headers["Stripe-Signature"].split(","))
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    mac.update(fields["t"].encode() + b"." + received.raw)
    assert fields == {"t": fields["t"], "v1": mac.hexdigest()}


async def test_stripes_events_are_signed_and_complete(world: World) -> None:
    await world.listen(secret="whsec_c2VjcmV0")
    answer = await pay(world)
    received = await world.receiver.take(3)
    assert Counter(types(received)) == Counter(IN_ORDER)
    for one in received:
        assert_signed_by_stripe(one, "whsec_c2VjcmV0")
        event = stripe.Webhook.construct_event(one.raw, one.headers["Stripe-Signature"], "whsec_c2VjcmV0")
        assert event.id.startswith("evt_")
        assert one.headers["Content-Type"] == "application/json; charset=utf-8"
        body = one.body
        assert (body["object"], body["livemode"], body["api_version"]) == ("event", False, stripe.api_version)
        assert body["request"] == {"id": answer.headers["Request-Id"], "idempotency_key": "key-1"}
        assert body["pending_webhooks"] == 1
        assert body["data"]["object"]["metadata"] == PAID["metadata"]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(received[0].raw, received[0].headers["Stripe-Signature"], "whsec_other")


async def test_events_hold_the_state_of_their_moment(world: World) -> None:
    await world.listen()
    intent = (await pay(world, capture_method="manual")).body
    await world.stripe_call("POST", f"/payment_intents/{intent['id']}/capture", json={"amount_to_capture": 400})
    states = {one.body["type"]: one.body["data"] for one in await world.receiver.take(6)}
    assert states["payment_intent.created"]["object"]["status"] == "requires_payment_method"
    assert states["payment_intent.amount_capturable_updated"]["object"]["amount_capturable"] == 500
    assert states["payment_intent.succeeded"]["object"]["amount_received"] == 400
    assert states["charge.captured"]["previous_attributes"] == {"captured": False, "amount_captured": 0}
    assert states["charge.refunded"]["object"]["amount_refunded"] == 100


async def test_razorpays_events_are_signed_and_complete(world: World) -> None:
    account = world.razorpay_account
    await world.listen(account, secret="razorpay-secret")
    order = await world.razorpay_order(payment_capture=True, notes={"order_id": "o-1", "merchant_id": "m-1"})
    paid = await world.act(order["id"], "pay")
    received = {one.body["event"]: one for one in await world.receiver.take(3)}
    assert set(received) == {"payment.authorized", "payment.captured", "order.paid"}
    assert len({one.headers["x-razorpay-event-id"] for one in received.values()}) == 3
    for one in received.values():
        expected = hmac.new(b"razorpay-secret", one.raw, hashlib.sha256).hexdigest()
        assert one.headers["X-Razorpay-Signature"] == expected
        assert one.body["entity"] == "event"
        assert one.body["account_id"].startswith("acc_")
        assert one.body["payload"]["payment"]["entity"]["id"] == paid["id"]
        assert one.body["payload"]["payment"]["entity"]["notes"] == {"order_id": "o-1", "merchant_id": "m-1"}
    assert received["payment.authorized"].body["payload"]["payment"]["entity"]["status"] == "authorized"
    assert received["order.paid"].body["contains"] == ["payment", "order"]
    assert received["order.paid"].body["payload"]["order"]["entity"]["status"] == "paid"
    await world.razorpay("POST", f"/payments/{paid['id']}/refund", json={"amount": 7})
    created, processed = await world.receiver.take(2)
    assert {created.body["event"], processed.body["event"]} == {"refund.created", "refund.processed"}
    assert created.body["contains"] == ["refund", "payment"]
    failed_order = await world.razorpay_order()
    await world.act(failed_order["id"], "pay", {"token": "pm_card_visa_chargeDeclined"})
    assert (await world.receiver.next()).body["event"] == "payment.failed"


async def test_each_account_has_its_own_endpoints(world: World) -> None:
    await world.listen("sk_test_somebody_else")
    await world.listen(secret="whsec_mine")
    await pay(world)
    for one in await world.receiver.take(3):
        assert_signed_by_stripe(one, "whsec_mine")
    assert world.receiver.waiting == 0


async def test_registering_an_address_again_replaces_its_secret(world: World) -> None:
    await world.listen(secret="old")
    await world.listen(secret="new")
    await pay(world)
    for one in await world.receiver.take(3):
        assert_signed_by_stripe(one, "new")
    assert world.receiver.waiting == 0


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_failed_attempts_are_repeated_with_the_same_event(world: World, status: int) -> None:
    await world.listen()
    world.receiver.answers.extend([status] * 3)
    await pay(world)
    received = await world.receiver.take(6)
    assert Counter(one.body["id"] for one in received).most_common(3)[0][1] == 2
    assert Counter(types(received)) == Counter(IN_ORDER * 2)


async def test_attempts_are_bounded(world: World) -> None:
    await world.listen()
    world.receiver.answers.extend([500] * 9)
    await pay(world)
    received = await world.receiver.take(9)
    assert set(Counter(one.body["id"] for one in received).values()) == {3}
    # After the third failure each is given up: what comes next is of the next payment.
    await world.stripe_call("POST", "/payment_intents", json={"amount": 1, "currency": "usd"})
    assert (await world.receiver.next()).body["data"]["object"]["amount"] == 1


async def test_an_endpoint_that_is_down_gets_its_events_later(session: aiohttp.ClientSession) -> None:
    sandbox = build_sandbox(None, SystemClock(), retry_delays_s=[0.02] * 200)
    await sandbox.start()
    receiver = Receiver()
    await receiver.start()
    url = receiver.url
    await receiver.stop()
    there = World(sandbox, session, receiver)
    await there.listen()
    await pay(there)
    app = aiohttp.web.Application()
    got: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: aiohttp.web.Request) -> aiohttp.web.Response:
        got.put_nowait((await request.json())["type"])
        return aiohttp.web.Response()

    app.router.add_post("/hook", take)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", int(url.split(":")[2].split("/")[0])).start()
    async with asyncio.timeout(60):
        assert Counter([await got.get() for _ in range(3)]) == Counter(IN_ORDER)
    await sandbox.stop()
    await runner.cleanup()


@pytest.mark.parametrize(("duplicate", "copies"), [(True, 2), (1, 2), (2, 3), (False, 1)])
async def test_duplicates(world: World, duplicate: Any, copies: int) -> None:
    await world.listen(duplicate=duplicate)
    await pay(world)
    received = await world.receiver.take(3 * copies)
    assert set(Counter(one.body["id"] for one in received).values()) == {copies}


async def test_shuffled_events_arrive_out_of_order(world: World) -> None:
    await world.listen(shuffle=True)
    for _ in range(3):
        intent = (await world.stripe_call("POST", "/payment_intents", json=PAID)).body["id"]
        received = await world.receiver.take(3)
        assert sorted(types(received)) == sorted(IN_ORDER)
        assert types(received) != IN_ORDER, intent


async def test_dropped_events_never_arrive(world: World) -> None:
    await world.listen(drop=True)
    await pay(world)
    await world.listen(drop=0)
    await world.stripe_call("POST", "/payment_intents", json={"amount": 1, "currency": "usd"})
    assert (await world.receiver.next()).body["data"]["object"]["amount"] == 1


async def test_delayed_events_arrive_late(world: World) -> None:
    await world.listen(delayMs=1500)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    await pay(world)
    pending = await world.stripe().v1.events.list_async({"limit": 1})
    assert pending.data[0].pending_webhooks == 1
    await world.receiver.take(3)
    assert loop.time() - start_s >= 1.5


async def test_a_stuck_endpoint_does_not_hold_up_the_others(world: World) -> None:
    release = asyncio.Event()

    async def hang(request: aiohttp.web.Request) -> aiohttp.web.Response:
        await release.wait()
        return aiohttp.web.Response()

    app = aiohttp.web.Application()
    app.router.add_post("/stuck", hang)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    stuck = {
        "account": world.stripe_account,
        "url": f"http://127.0.0.1:{runner.addresses[0][1]}/stuck",
        "secret": "whsec_stuck",
    }
    assert (await world.control("POST", "/webhook-endpoints", stuck)).status == 201
    await world.listen()
    for _ in range(10):
        await world.stripe_call("POST", "/payment_intents", json=PAID)
    await world.receiver.take(30)
    release.set()
    await runner.cleanup()


async def test_a_forgotten_account_gets_nothing_more(world: World) -> None:
    await world.listen(delayMs=60)
    await pay(world)
    assert (await world.control("DELETE", f"/accounts/{world.stripe_account}")).status == 204
    await world.listen(delayMs=100)
    await world.stripe_call("POST", "/payment_intents", json={"amount": 1, "currency": "usd"})
    assert (await world.receiver.next()).body["data"]["object"]["amount"] == 1
