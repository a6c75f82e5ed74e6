"""End to end with the simulators: they send what happens there, twice, late, shuffled or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.events.order_state import Captured, RequiresAction
from payloops.workflows_bridge.inbox.processing import Patience
from tests.inbox.world import RAZORPAY_SECRET, SECRET, Inbox, razorpay_account, stripe_account
from tests.integration.http.world import Merchant
from tests.workflows.world import eventually

EAGER = Patience(first_s=0.02, most_s=0.1, total_s=30.0)


async def listen(inbox: Inbox, merchant: Merchant, processor: str = "stripe", **manners: Any) -> None:
    """Have the simulator send its events here, as badly as told."""
    stripe = processor == "stripe"
    endpoint = {
        "account": stripe_account(merchant) if stripe else razorpay_account(merchant),
        "url": f"{inbox.settings.public_url}/webhooks/{processor}/{merchant.id}",
        "secret": SECRET if stripe else RAZORPAY_SECRET,
        **manners,
    }
    await inbox.control("POST", "/webhook-endpoints", endpoint)


async def settled(inbox: Inbox, merchant: Merchant, count: int) -> list[Any]:
    """The merchant's events once there are that many and each has its verdict."""

    seen: list[Any] = []

    async def all_judged() -> bool:
        # What is looked at is what is given: another event may come at any time.
        seen[:] = await inbox.events(merchant, "?limit=100")
        return len(seen) >= count and all(one["status"] != "received" for one in seen)

    await eventually(all_judged, f"{count} events have their verdict")
    return seen


MANNERS: dict[str, dict[str, Any]] = {
    "well": {},
    "twice": {"duplicate": 2},
    "late": {"delayMs": 300},
    "shuffled": {"shuffle": True, "duplicate": 1},
}


@pytest.mark.parametrize("manners", MANNERS)
async def test_a_payment_is_told_of_however_badly(inbox: Inbox, merchant: Merchant, manners: str) -> None:
    await listen(inbox, merchant, **MANNERS[manners])
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_visa")
        await inbox.reach(order["id"], "captured")
        events = await settled(inbox, merchant, 3)
    assert {one["type"]: one["status"] for one in events} == {
        "payment_intent.created": "ignored",
        "charge.succeeded": "ignored",
        "payment_intent.succeeded": "processed",
    }
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    ledger = await inbox.control("GET", f"/ledger?account={stripe_account(merchant)}")
    assert [one["amountCaptured"] for one in ledger["payments"]] == [1000]
    trail = await inbox.api.call("GET", f"/v1/orders/{order['id']}/events", key=merchant.api_key)
    assert [one["type"] for one in trail.must(200)["data"]].count("order.payment_captured") == 1


async def test_a_customer_who_authenticates_is_told_of_at_once(inbox: Inbox, merchant: Merchant) -> None:
    """3-D Secure, finished by the webhook; the workflow would not have asked by itself."""
    await listen(inbox, merchant)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_authenticationRequired")
        state = await inbox.reach(order["id"], "requires_action")
        assert isinstance(state, RequiresAction)
        await inbox.control("POST", f"/payments/{state.attempt.processor_order_id}/authenticate", {"result": "succeed"})
        await inbox.reach(order["id"], "captured")

        async def finished() -> bool:
            return inbox.rows("SELECT status FROM workflow_runs") == [("finished",)]

        await eventually(finished, "the workflow was told and ended")
    calls = (await inbox.control("GET", f"/ledger?account={stripe_account(merchant)}"))["calls"]
    assert calls["payment.create"] == 1
    assert "payment.cancel" not in calls


async def test_a_customer_who_fails_is_told_of_too(inbox: Inbox, merchant: Merchant) -> None:
    await listen(inbox, merchant, duplicate=1)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_authenticationRequired")
        state = await inbox.reach(order["id"], "requires_action")
        assert isinstance(state, RequiresAction)
        await inbox.control("POST", f"/payments/{state.attempt.processor_order_id}/authenticate", {"result": "fail"})
        await inbox.reach(order["id"], "failed")
    failure = (await inbox.api.order(merchant, order["id"]))["failure"]
    assert failure["code"] == "payment_intent_authentication_failure"


async def test_a_lost_event_costs_nothing_but_time(inbox: Inbox, merchant: Merchant) -> None:
    await listen(inbox, merchant, drop=True)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_visa")
        await inbox.reach(order["id"], "captured")
    assert await inbox.events(merchant) == []


async def test_a_refund_in_the_processors_dashboard(inbox: Inbox, merchant: Merchant) -> None:
    await listen(inbox, merchant, shuffle=True, duplicate=1)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_visa")
        state = await inbox.reach(order["id"], "captured")
        assert isinstance(state, Captured)
        payment = state.attempt.processor_transaction_id
        await inbox.control("POST", f"/payments/{payment}/refund", {"amount": 400})
        await inbox.reach(order["id"], "partially_refunded")
        await inbox.control("POST", f"/payments/{payment}/refund")
        await inbox.reach(order["id"], "refunded")
        events = await settled(inbox, merchant, 6)
    assert {one["status"] for one in events} == {"processed", "ignored"}
    refunds = (await inbox.api.call("GET", f"/v1/orders/{order['id']}/refunds", key=merchant.api_key)).must(200)
    assert sorted((one["amount"], one["status"]) for one in refunds) == [(400, "success"), (600, "success")]


@pytest.mark.parametrize("token", ["pm_card_pendingRefund", "pm_card_refundFail"])
async def test_our_refund_that_the_bank_decides_later(inbox: Inbox, merchant: Merchant, token: str) -> None:
    await listen(inbox, merchant, duplicate=1)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, token)
        await inbox.reach(order["id"], "captured")
        path = f"/v1/orders/{order['id']}/refund"
        (await inbox.api.call("POST", path, {"amount": 400}, key=merchant.api_key)).must(201)

        async def decided() -> bool:
            path = f"/v1/orders/{order['id']}/refunds"
            (refund,) = (await inbox.api.call("GET", path, key=merchant.api_key)).must(200)
            return bool(refund["status"] == ("success" if token == "pm_card_pendingRefund" else "failed"))

        await eventually(decided, "the bank's word")
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert len(state.refunds) == 1
    assert state.refunded == (400 if token == "pm_card_pendingRefund" else 0)


@pytest.mark.parametrize("result", ["won", "lost"])
async def test_a_dispute_from_its_opening_to_its_end(inbox: Inbox, merchant: Merchant, result: str) -> None:
    await listen(inbox, merchant, shuffle=True)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_createDispute")
        state = await inbox.reach(order["id"], "captured")
        assert isinstance(state, Captured)

        async def disputed(wanted: str) -> None:
            async def shown() -> bool:
                return bool((await inbox.api.order(merchant, order["id"]))["disputeStatus"] == wanted)

            await eventually(shown, f"the dispute is {wanted}")

        await disputed("opened")
        payment = state.attempt.processor_transaction_id
        await inbox.control("POST", f"/payments/{payment}/dispute/close", {"result": result})
        await disputed(result)
        events = await settled(inbox, merchant, 6)
    assert {one["status"] for one in events} <= {"processed", "ignored"}


async def test_a_partial_capture_is_no_refund(inbox: Inbox, merchant: Merchant) -> None:
    await listen(inbox, merchant, shuffle=True, duplicate=1)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_visa", captureMethod="manual")
        await inbox.reach(order["id"], "authorized")
        path = f"/v1/orders/{order['id']}/capture"
        (await inbox.api.call("POST", path, {"amount": 300}, key=merchant.api_key)).must(200)
        state = await inbox.reach(order["id"], "captured")
        assert isinstance(state, Captured)
        await settled(inbox, merchant, 5)
        await inbox.control("POST", f"/payments/{state.attempt.processor_transaction_id}/refund", {"amount": 100})
        await inbox.reach(order["id"], "partially_refunded")
        events = await settled(inbox, merchant, 7)
    assert {one["status"] for one in events} == {"processed", "ignored"}
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.captured, state.refunded) == (300, 100)


async def test_razorpay_from_checkout_to_refund_and_dispute(inbox: Inbox, merchant: Merchant) -> None:
    await listen(inbox, merchant, "razorpay", duplicate=1, shuffle=True)
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, currency="INR")
        data = order["paid"]["processorData"]
        await inbox.control("POST", f"/payments/{data['orderId']}/pay")
        await inbox.reach(order["id"], "captured")
        await inbox.control("POST", f"/payments/{data['orderId']}/refund", {"amount": 250})
        await inbox.reach(order["id"], "partially_refunded")
        await inbox.control("POST", f"/payments/{data['orderId']}/dispute")
        await inbox.control("POST", f"/payments/{data['orderId']}/dispute/close", {"result": "lost"})

        async def lost() -> bool:
            return bool((await inbox.api.order(merchant, order["id"]))["disputeStatus"] == "lost")

        await eventually(lost, "the dispute is lost")
        events = await settled(inbox, merchant, 7)
    assert {one["status"] for one in events} == {"processed"}
    assert len({one["processorEventId"] for one in events}) == len(events)
