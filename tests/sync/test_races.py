"""Syncs at once with each other, with a cancellation and with the processor's own word: one effect, one truth."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from payloops.events.order_state import Cancelled, Captured, status
from tests.inbox import bodies as b
from tests.inbox.world import Inbox
from tests.integration.http.world import Merchant
from tests.sync.world import fault, history, in_doubt, ledger, paid, payment_of, quiet, sync, synced

pytestmark = pytest.mark.usefixtures("relay")
ROUNDS = 5


async def test_twenty_at_once_are_one_question(inbox: Inbox, merchant: Merchant) -> None:
    order = await in_doubt(inbox, merchant, "reset_after")
    # So slow that all of them come while it is asked.
    await fault(inbox, merchant, "payment.get", "slow")
    asked_before = (await ledger(inbox, merchant))["calls"].get("payment.get", 0)
    answers = await asyncio.gather(*(sync(inbox, merchant, order) for _ in range(20)))
    bodies = [answer.must(200) for answer in answers]
    assert all(body["finished"] and body["changed"] for body in bodies)
    assert {body["order"]["status"] for body in bodies} == {"captured"}
    assert [body["asked"] for body in bodies] == [bodies[0]["asked"]] * 20
    assert (await ledger(inbox, merchant))["calls"]["payment.get"] == asked_before + 1
    told = await history(inbox, order)
    assert (told.count("SyncRequested"), told.count("PaymentCaptured"), told.count("SyncFinished")) == (1, 1, 1)


async def waiting_for_its_customer(inbox: Inbox, merchant: Merchant, *, authenticated: bool) -> Any:
    order = await paid(inbox, merchant, "pm_card_authenticationRequired")
    assert order["paid"]["status"] == "requires_action"
    if authenticated:
        payment = await payment_of(inbox, merchant, order)
        await inbox.control("POST", f"/payments/{payment['id']}/authenticate", {"result": "succeed"})
    return order


async def agreed(inbox: Inbox, merchant: Merchant, order: Any) -> str:
    """The order's status, once it and the processor's ledger say the same."""
    await synced(inbox, merchant, order)
    await quiet(inbox)
    state, payment = await inbox.order(order["id"]), await payment_of(inbox, merchant, order)
    taken = state.captured if isinstance(state, Captured) else 0
    given_back = state.refunded if isinstance(state, Captured) else 0
    assert (payment["amountCaptured"], payment["amountRefunded"]) == (taken, given_back)
    assert isinstance(state, Captured) or payment["status"] == "canceled"
    return status(state)


@pytest.mark.parametrize("authenticated", [False, True])
async def test_with_a_cancellation(inbox: Inbox, merchant: Merchant, *, authenticated: bool) -> None:
    for _ in range(ROUNDS):
        order = await waiting_for_its_customer(inbox, merchant, authenticated=authenticated)
        cancel = inbox.api.call("POST", f"/v1/orders/{order['id']}/cancel", {}, key=merchant.api_key)
        cancelled, *answers = await asyncio.gather(cancel, *(sync(inbox, merchant, order) for _ in range(3)))
        assert cancelled.status in (200, 400)
        for answer in answers:
            answer.must(200)
        assert await agreed(inbox, merchant, order) == ("captured" if authenticated else "cancelled")


async def test_with_the_processors_own_word(inbox: Inbox, merchant: Merchant) -> None:
    for _ in range(ROUNDS):
        order = await waiting_for_its_customer(inbox, merchant, authenticated=True)
        payment = await payment_of(inbox, merchant, order)
        thing = b.intent(order["id"], merchant.id, order["amount"], id=payment["id"])
        event = b.stripe_event("payment_intent.succeeded", thing)
        answer, judged = await asyncio.gather(sync(inbox, merchant, order), inbox.tell_stripe(merchant, event))
        answer.must(200)
        assert judged.verdict == "processed", judged.reason
        assert await agreed(inbox, merchant, order) == "captured"
        assert (await history(inbox, order)).count("PaymentCaptured") == 1


async def test_with_the_word_of_a_refund_made_at_the_processor(inbox: Inbox, merchant: Merchant) -> None:
    for _ in range(ROUNDS):
        order = await paid(inbox, merchant, "pm_card_visa")
        payment = await payment_of(inbox, merchant, order)
        await inbox.control("POST", f"/payments/{payment['id']}/refund", {"amount": 300})
        charge = b.charge(order["amount"], refunded=300, payment_intent=payment["id"])
        event = b.stripe_event("charge.refunded", charge)
        answer, judged = await asyncio.gather(sync(inbox, merchant, order), inbox.tell_stripe(merchant, event))
        answer.must(200)
        assert judged.verdict == "processed", judged.reason
        assert await agreed(inbox, merchant, order) == "partially_refunded"
        state = await inbox.order(order["id"])
        assert isinstance(state, Captured)
        assert len(state.refunds) == 1


async def test_with_a_refund_of_ours(inbox: Inbox, merchant: Merchant) -> None:
    for _ in range(ROUNDS):
        order = await paid(inbox, merchant, "pm_card_visa")
        refund = inbox.api.call("POST", f"/v1/orders/{order['id']}/refund", {"amount": 400}, key=merchant.api_key)
        made, answer = await asyncio.gather(refund, sync(inbox, merchant, order))
        made.must(201)
        answer.must(200)
        await quiet(inbox)
        assert await agreed(inbox, merchant, order) == "partially_refunded"


async def test_with_a_void_of_a_hold(inbox: Inbox, merchant: Merchant) -> None:
    for _ in range(ROUNDS):
        order = await paid(inbox, merchant, "pm_card_visa", captureMethod="manual")
        cancel = inbox.api.call("POST", f"/v1/orders/{order['id']}/cancel", {}, key=merchant.api_key)
        cancelled, answer = await asyncio.gather(cancel, sync(inbox, merchant, order))
        cancelled.must(200)
        answer.must(200)
        await quiet(inbox)
        assert await agreed(inbox, merchant, order) == "cancelled"
        state = await inbox.order(order["id"])
        assert isinstance(state, Cancelled)
        assert state.released == order["amount"]
