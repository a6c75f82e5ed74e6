"""Payments that were begun at the processor itself, of which its signed events tell, up to where their money ends."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from payloops.events.order_state import Authorized, Captured
from tests.inbox.test_courier import EAGER, listen, settled
from tests.inbox.world import Inbox, razorpay_account, stripe_account
from tests.integration.http.world import Merchant
from tests.workflows.world import eventually


async def held_at_stripe(inbox: Inbox, merchant: Merchant, order: Any) -> str:
    """The merchant's own program has Stripe hold the order's money: a payment of which nobody here knows."""
    form = {
        "amount": str(order["amount"]),
        "currency": order["currency"].lower(),
        "capture_method": "manual",
        "payment_method": "pm_card_visa",
        "payment_method_types[]": "card",
        "confirm": "true",
        "metadata[order_id]": order["id"],
        "metadata[merchant_id]": str(merchant.id),
    }
    headers = {"Authorization": f"Bearer {stripe_account(merchant)}"}
    async with inbox.http.post(f"{inbox.sandbox.stripe_url}/v1/payment_intents", data=form, headers=headers) as reply:
        assert reply.status == 200, await reply.text()
        payment: dict[str, Any] = await reply.json()
    assert payment["status"] == "requires_capture"
    return str(payment["id"])


async def held_at_razorpay(inbox: Inbox, merchant: Merchant, order: Any) -> str:
    """A customer pays an order that was made in Razorpay's dashboard, where payments wait to be captured."""
    paid = await paid_at_razorpay(inbox, merchant, order)
    assert paid["status"] == "authorized"
    return str(paid["id"])


async def paid_at_razorpay(inbox: Inbox, merchant: Merchant, order: Any, **more: Any) -> Any:
    body = {
        "amount": order["amount"],
        "currency": order["currency"],
        "notes": {"order_id": order["id"], "merchant_id": str(merchant.id)},
        **more,
    }
    headers = {"Authorization": aiohttp.encode_basic_auth(razorpay_account(merchant), "razorpay-secret")}
    async with inbox.http.post(f"{inbox.sandbox.razorpay_url}/v1/orders", json=body, headers=headers) as reply:
        assert reply.status == 200, await reply.text()
        made = await reply.json()
    return await inbox.control("POST", f"/payments/{made['id']}/pay")


HELD_AT = {"stripe": held_at_stripe, "razorpay": held_at_razorpay}
ACCOUNT_AT = {"stripe": stripe_account, "razorpay": razorpay_account}
CURRENCY_AT = {"stripe": "USD", "razorpay": "INR"}


async def ledger_of(inbox: Inbox, merchant: Merchant, processor: str) -> Any:
    return await inbox.control("GET", f"/ledger?account={ACCOUNT_AT[processor](merchant)}")


@pytest.mark.parametrize("processor", HELD_AT)
async def test_what_is_held_for_a_pending_order_is_taken(inbox: Inbox, merchant: Merchant, processor: str) -> None:
    await listen(inbox, merchant, processor, duplicate=1)
    async with inbox.relaying(EAGER):
        order = await inbox.api.new_order(merchant, currency=CURRENCY_AT[processor])
        payment = await HELD_AT[processor](inbox, merchant, order)
        state = await inbox.reach(order["id"], "captured")
        assert isinstance(state, Captured)
        assert (state.captured, state.attempt.processor_transaction_id) == (order["amount"], payment)
        assert (state.facts.captures_requested, state.facts.surplus) == (1, ())

        async def ended() -> bool:
            return inbox.rows("SELECT workflow_id, status FROM workflow_runs") == [
                (f"capture-{order['id']}", "finished")
            ]

        await eventually(ended, "the capture's workflow ended, and there was no other")
    ledger = await ledger_of(inbox, merchant, processor)
    assert [(one["id"], one["amountCaptured"]) for one in ledger["payments"]] == [(payment, order["amount"])]
    assert ledger["calls"]["payment.capture"] == 1


@pytest.mark.parametrize("processor", HELD_AT)
async def test_what_is_held_for_a_manual_order_waits(inbox: Inbox, merchant: Merchant, processor: str) -> None:
    await listen(inbox, merchant, processor)
    async with inbox.relaying(EAGER):
        order = await inbox.api.new_order(merchant, currency=CURRENCY_AT[processor], captureMethod="manual")
        payment = await HELD_AT[processor](inbox, merchant, order)
        await inbox.reach(order["id"], "authorized")
        await settled(inbox, merchant, 1)
        state = await inbox.order(order["id"])
        assert isinstance(state, Authorized)
        assert (state.capture, state.attempt.processor_transaction_id) == (None, payment)
        path = f"/v1/orders/{order['id']}/capture"
        (await inbox.api.call("POST", path, {}, key=merchant.api_key)).must(200)
        await inbox.reach(order["id"], "captured")
    assert (await ledger_of(inbox, merchant, processor))["calls"]["payment.capture"] == 1


@pytest.mark.parametrize("manners", [{}, {"shuffle": True, "duplicate": 1}])
async def test_what_razorpay_takes_by_itself_is_taken_once(
    inbox: Inbox, merchant: Merchant, manners: dict[str, Any]
) -> None:
    """It tells that the money is held all the same, a moment before it tells that it took it."""
    await listen(inbox, merchant, "razorpay", **manners)
    async with inbox.relaying(EAGER):
        order = await inbox.api.new_order(merchant, currency="INR")
        paid = await paid_at_razorpay(inbox, merchant, order, payment_capture=True)
        assert paid["status"] == "captured"
        events = await settled(inbox, merchant, 3)
        assert {one["status"] for one in events} == {"processed"}
        state = await inbox.reach(order["id"], "captured")

        async def ended() -> bool:
            return all(status == "finished" for (status,) in inbox.rows("SELECT status FROM workflow_runs"))

        await eventually(ended, "no workflow is at it any more")
    assert isinstance(state, Captured)
    assert (state.captured, state.facts.surplus) == (order["amount"], ())
    ledger = await ledger_of(inbox, merchant, "razorpay")
    assert [one["amountCaptured"] for one in ledger["payments"]] == [order["amount"]]
    assert ledger["refunds"] == []
