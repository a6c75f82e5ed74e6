"""Disputes that a sync finds out about, when their webhooks were lost, are late, or come at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from payloops.commands import order_disputes
from payloops.events.order_state import Captured
from tests.inbox import bodies as b
from tests.inbox.world import Inbox, razorpay_account
from tests.integration.http.world import Merchant
from tests.sync.world import WAIT, fault, history, paid, payment_of, quiet, synced

pytestmark = pytest.mark.usefixtures("relay")
ROUNDS = 5


async def disputed(inbox: Inbox, merchant: Merchant, order: Any, end: str | None = None) -> b.Json:
    """The customer disputes the order's payment, nobody here is told; the dispute as an event would show it."""
    payment = await payment_of(inbox, merchant, order)
    made = await inbox.control("POST", f"/payments/{payment['id']}/dispute")
    if end is not None:
        await decided(inbox, merchant, order, end)
    labels = {"order_id": order["id"], "merchant_id": str(merchant.id)}
    return b.dispute(end or "needs_response", order["amount"], id=made["id"], payment_intent=payment["id"]) | {
        "metadata": labels
    }


async def decided(inbox: Inbox, merchant: Merchant, order: Any, end: str) -> None:
    payment = await payment_of(inbox, merchant, order)
    await inbox.control("POST", f"/payments/{payment['id']}/dispute/close", {"result": end})


def outcomes(body: Any) -> dict[str, str]:
    return {one["about"]: one["outcome"] for one in body["asked"]}


async def of_disputes(inbox: Inbox, order: Any) -> list[str]:
    """The order's events about disputes."""
    return [name for name in await history(inbox, order) if name.startswith("Dispute")]


async def test_a_payment_without_one_is_listed_as_such(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    body = await synced(inbox, merchant, order)
    assert outcomes(body) == {"payment": "captured", "refunds": "listed", "disputes": "listed"}
    assert (body["order"]["disputeStatus"], body["changed"]) == (None, False)
    assert await of_disputes(inbox, order) == []


@pytest.mark.parametrize(("end", "event"), [("won", "DisputeWon"), ("lost", "DisputeLost")])
async def test_one_that_nobody_told_of_is_recorded_once(inbox: Inbox, merchant: Merchant, end: str, event: str) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    thing = await disputed(inbox, merchant, order)
    body = await synced(inbox, merchant, order)
    assert (body["order"]["disputeStatus"], body["changed"], outcomes(body)["disputes"]) == ("opened", True, "listed")
    assert (await synced(inbox, merchant, order))["changed"] is False
    await decided(inbox, merchant, order, end)
    body = await synced(inbox, merchant, order)
    assert (body["order"]["disputeStatus"], body["changed"]) == (end, True)
    # The webhooks that were lost come after all, the end first.
    for event_type, status in (("closed", end), ("created", "needs_response"), ("updated", end)):
        late = b.stripe_event(f"charge.dispute.{event_type}", thing | {"status": status})
        assert (await inbox.tell_stripe(merchant, late)).verdict == "processed"
    assert (await synced(inbox, merchant, order))["changed"] is False
    assert await of_disputes(inbox, order) == ["DisputeOpened", event]
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    (dispute,) = state.disputes
    assert (dispute.processor_dispute_id, dispute.amount, dispute.reason) == (
        thing["id"],
        order["amount"],
        "fraudulent",
    )


async def test_one_that_is_over_already_is_told_from_its_beginning(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    await disputed(inbox, merchant, order, "lost")
    body = await synced(inbox, merchant, order)
    assert (body["order"]["disputeStatus"], body["order"]["amountRefunded"]) == ("lost", 0)
    assert await of_disputes(inbox, order) == ["DisputeOpened", "DisputeLost"]
    trail = (await inbox.api.call("GET", f"/api/orders/{order['id']}/events", token=merchant.token)).must(200)["data"]
    told = [one for one in trail if one["type"].startswith("order.dispute")]
    assert {one["actor"]["id"] for one in told} == {"stripe"}
    listed = await inbox.api.call("GET", f"/v1/orders/{order['id']}/transactions", key=merchant.api_key)
    latest, *_ = listed.must(200)
    assert (latest["type"], latest["status"]) == ("dispute", "success")


async def test_one_that_webhooks_told_of_is_no_news(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    thing = await disputed(inbox, merchant, order)
    event = b.stripe_event("charge.dispute.created", thing)
    assert (await inbox.tell_stripe(merchant, event)).verdict == "processed"
    body = await synced(inbox, merchant, order)
    assert (body["order"]["disputeStatus"], body["changed"]) == ("opened", False)
    assert await of_disputes(inbox, order) == ["DisputeOpened"]


async def test_with_the_processors_own_word_at_the_same_time(inbox: Inbox, merchant: Merchant) -> None:
    for _ in range(ROUNDS):
        order = await paid(inbox, merchant, "pm_card_visa")
        thing = await disputed(inbox, merchant, order, "won")
        words = [
            b.stripe_event("charge.dispute.closed", thing),
            b.stripe_event("charge.dispute.created", thing | {"status": "needs_response"}),
        ]
        body, *judged = await asyncio.gather(
            synced(inbox, merchant, order), *(inbox.tell_stripe(merchant, word) for word in words)
        )
        assert outcomes(body)["disputes"] == "listed"
        assert {one.verdict for one in judged} == {"processed"}
        await quiet(inbox)
        assert await of_disputes(inbox, order) == ["DisputeOpened", "DisputeWon"]


async def test_a_list_that_is_not_given_changes_nothing_of_the_rest(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    await disputed(inbox, merchant, order)
    payment = await payment_of(inbox, merchant, order)
    await inbox.control("POST", f"/payments/{payment['id']}/dispute/close", {"result": "won"})
    await inbox.control("POST", f"/payments/{payment['id']}/refund", {"amount": 300})
    await fault(inbox, merchant, "dispute.get", "http_500")
    body = await synced(inbox, merchant, order)
    assert outcomes(body) == {"payment": "captured", "refunds": "listed", "disputes": "unanswered"}
    assert (body["order"]["disputeStatus"], body["order"]["amountRefunded"]) == (None, 300)
    await fault(inbox, merchant, "refund.get", "http_500")
    body = await synced(inbox, merchant, order)
    assert outcomes(body) == {"payment": "captured", "refunds": "unanswered", "disputes": "listed"}
    assert body["order"]["disputeStatus"] == "won"


async def test_what_does_not_fit_is_left_to_people(
    inbox: Inbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await paid(inbox, merchant, "pm_card_visa")
    await disputed(inbox, merchant, order)
    monkeypatch.setattr(order_disputes, "DISPUTES_MAX", 0)
    body = await synced(inbox, merchant, order)
    assert outcomes(body) == {"payment": "captured", "refunds": "listed", "disputes": "not_booked"}
    assert (body["order"]["disputeStatus"], body["changed"]) == (None, False)


async def test_at_razorpay_only_the_payments_own_is_taken(inbox: Inbox, merchant: Merchant) -> None:
    orders = []
    for _ in range(2):
        order = await inbox.api.new_order(merchant, currency="INR")
        pay = {"processor": "razorpay"}
        answer = await inbox.api.call("POST", f"/v1/orders/{order['id']}/pay", pay, key=merchant.api_key, headers=WAIT)
        order["at_razorpay"] = answer.must(200)["processorData"]["orderId"]
        await inbox.control("POST", f"/payments/{order['at_razorpay']}/pay")
        assert (await synced(inbox, merchant, order))["order"]["status"] == "captured"
        orders.append(order)
    first, second = orders
    await inbox.control("POST", f"/payments/{first['at_razorpay']}/dispute")
    assert (await synced(inbox, merchant, second))["order"]["disputeStatus"] is None
    body = await synced(inbox, merchant, first)
    assert (body["order"]["disputeStatus"], outcomes(body)["disputes"]) == ("opened", "listed")
    await inbox.control("POST", f"/payments/{first['at_razorpay']}/dispute/close", {"result": "lost"})
    assert (await synced(inbox, merchant, first))["order"]["disputeStatus"] == "lost"
    assert await of_disputes(inbox, second) == []
    books = await inbox.control("GET", f"/ledger?account={razorpay_account(merchant)}")
    assert books["calls"]["dispute.get"] == 5
