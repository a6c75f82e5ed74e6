"""Events come twice, late and in any order; money is booked once, and where it ends does not depend on any of it."""

from __future__ import annotations

import asyncio
import random
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from payloops.events.order_state import Captured, Existing, status
from payloops.workflows_bridge.inbox.processing import Patience
from tests.inbox import bodies as b
from tests.inbox.test_processing import captured_at_stripe, paid_at_razorpay, paid_at_stripe
from tests.inbox.world import Inbox, stripe_account
from tests.integration.http.world import Merchant
from tests.workflows.world import eventually

EAGER = Patience(first_s=0.02, most_s=0.05, total_s=30.0)


def five(order_id: str, merchant_id: UUID) -> list[b.Json]:
    """What Stripe tells of one payment from the action to the refund."""
    thing = b.intent(order_id, merchant_id)
    return [
        b.stripe_event("payment_intent.requires_action", thing),
        b.stripe_event("payment_intent.processing", thing),
        b.stripe_event("payment_intent.payment_failed", thing),
        b.stripe_event("payment_intent.succeeded", thing),
        b.stripe_event("refund.created", b.refund(300)),
    ]


def final(state: Existing) -> tuple[Any, ...]:
    assert isinstance(state, Captured)
    refunds = sorted((one.amount, one.status, one.processor_refund_id) for one in state.refunds.values())
    return status(state), state.captured, state.refunded, refunds, state.attempt.processor_transaction_id


async def test_every_order_of_five_events_ends_the_same(inbox: Inbox, merchant: Merchant) -> None:
    """A sample of the 120 orders, each event one to three times; the domain's own tests have them all."""
    chance = random.Random(3)
    sample = chance.sample(list(permutations(range(5))), 12)
    ends = set()
    # Before a relay runs, which would have the workflows make payments of their own.
    orders = [await paid_at_stripe(inbox, merchant) for _ in sample]
    async with inbox.relaying(EAGER):
        for order, order_of_events in zip(orders, sample, strict=True):
            events = five(order["id"], merchant.id)
            # The refund names no order: it must find this one, not an earlier one that was paid under the same id.
            for event in events:
                thing = event["data"]["object"]
                suffix = order["id"][-12:]
                if thing["object"] == "refund":
                    thing |= {"id": f"re_{suffix}", "payment_intent": f"pi_{suffix}"}
                    thing["metadata"] = {"order_id": order["id"], "merchant_id": str(merchant.id)}
                else:
                    thing["id"] = f"pi_{suffix}"
            for place in order_of_events:
                copies = [inbox.stripe(merchant, events[place]) for _ in range(chance.randint(1, 3))]
                assert {answer.status for answer in await asyncio.gather(*copies)} == {200}
            verdicts = {
                event["type"]: (await inbox.judged(merchant, "stripe", event["id"])).verdict for event in events
            }
            assert set(verdicts.values()) == {"processed"}, verdicts
            end = final(await inbox.order(order["id"]))
            ends.add((*end[:3], tuple(one[:2] for one in end[3])))
    assert ends == {("partially_refunded", 1000, 300, ((300, "success"),))}


def five_of_razorpay(order_id: str, merchant_id: UUID) -> list[b.Json]:
    """What Razorpay tells of one payment, from the hold to a dispute; two of them say that it was paid."""
    suffix = order_id[-12:]
    payment = {**b.razorpay_payment(order_id, merchant_id), "id": f"pay_{suffix}", "order_id": f"order_{suffix}"}
    order = {**b.razorpay_order(order_id, merchant_id), "id": f"order_{suffix}"}
    refund = b.razorpay_refund(300, refund_id=f"rfnd_{suffix}", payment_id=f"pay_{suffix}")
    dispute = b.razorpay_dispute(id=f"disp_{suffix}", payment_id=f"pay_{suffix}")
    held = {**payment, "status": "authorized", "captured": False}
    return [
        b.razorpay_event("payment.authorized", payment=held),
        b.razorpay_event("payment.captured", payment=payment),
        b.razorpay_event("order.paid", payment=payment, order=order),
        b.razorpay_event("refund.processed", refund=refund, payment=payment),
        b.razorpay_event("payment.dispute.created", dispute=dispute, payment=payment),
    ]


async def test_every_order_of_razorpays_five_events_ends_the_same(inbox: Inbox, merchant: Merchant) -> None:
    """All 120 of them; each event one to three times, under other ids."""
    chance = random.Random(5)
    every = list(permutations(range(5)))
    orders = [await paid_at_razorpay(inbox, merchant) for _ in every]
    ends = set()
    async with inbox.relaying(EAGER):
        for order, places in zip(orders, every, strict=True):
            events = five_of_razorpay(order["id"], merchant.id)
            for place in places:
                # Under another id it is the same event: its id is not signed, its body is.
                ids = [f"{order['id']}-{place}-{copy}" for copy in range(chance.randint(1, 3))]
                told = [inbox.razorpay(merchant, events[place], event_id=each) for each in ids]
                assert {answer.status for answer in await asyncio.gather(*told)} == {200}
            await settled_inbox(inbox, merchant)
            ends.add(final(await inbox.order(order["id"]))[:3])
            shown = await inbox.api.order(merchant, order["id"])
            assert (shown["disputeStatus"], shown["processorOrderId"]) == ("opened", f"order_{order['id'][-12:]}")
    assert ends == {("partially_refunded", 1000, 300)}
    verdicts = inbox.rows(
        "SELECT status, count(*) FROM processor_events WHERE merchant_id = %s GROUP BY 1", merchant.id
    )
    assert verdicts == [("processed", 5 * len(every))]


async def settled_inbox(inbox: Inbox, merchant: Merchant) -> None:
    """Wait until every event that was taken in has its verdict."""

    async def judged() -> bool:
        ((left,),) = inbox.rows(
            "SELECT count(*) FROM processor_events WHERE merchant_id = %s AND status = 'received'", merchant.id
        )
        return bool(left == 0)

    await eventually(judged, "every event has its verdict")


async def test_a_refund_before_its_capture_waits(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    labels = {"order_id": order["id"], "merchant_id": str(merchant.id)}
    early = b.stripe_event("refund.created", b.refund(100, metadata=labels))
    async with inbox.relaying(EAGER):
        (await inbox.stripe(merchant, early)).must(200)

        async def tried() -> bool:
            return inbox.rows("SELECT count(*) FROM outbox WHERE kind = 'process' AND claims > 1") == [(1,)]

        await eventually(tried, "it was tried, and is tried again")
        success = b.stripe_event("payment_intent.succeeded", b.intent(order["id"], merchant.id))
        assert (await inbox.tell_stripe(merchant, success)).verdict == "processed"
        assert (await inbox.judged(merchant, "stripe", early["id"])).verdict == "processed"
    assert final(await inbox.order(order["id"]))[:3] == ("partially_refunded", 1000, 100)


async def test_what_waits_too_long_fails_and_is_processed_on_demand(inbox: Inbox, merchant: Merchant) -> None:
    order = await paid_at_stripe(inbox, merchant)
    labels = {"order_id": order["id"], "merchant_id": str(merchant.id)}
    early = b.stripe_event("charge.dispute.created", b.dispute(metadata=labels))
    async with inbox.relaying(Patience(first_s=0.02, most_s=0.05, total_s=0.3)):
        judged = await inbox.tell_stripe(merchant, early)
        assert judged.verdict == "failed"
        assert judged.reason is not None
        assert judged.reason.endswith("It was tried again until it was given up.")
        await inbox.api.captured(order["id"], 1000)
        path = f"/api/processor-events/{judged.facts.event_id}/reprocess"
        shown = (await inbox.api.call("POST", path, token=merchant.token)).must(202)
        assert (shown["status"], shown["reason"]) == ("received", None)
        assert (await inbox.judged(merchant, "stripe", early["id"])).verdict == "processed"
    assert (await inbox.api.order(merchant, order["id"]))["disputeStatus"] == "opened"


async def charged(inbox: Inbox, merchant: Merchant) -> tuple[Any, str]:
    """An order that was really paid at the simulator, and its payment's id there."""
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_visa")
        state = await inbox.reach(order["id"], "captured")
    assert isinstance(state, Captured)
    return order, state.attempt.processor_transaction_id or ""


@pytest.mark.parametrize("seed", range(3))
async def test_cumulative_totals_and_single_refunds_from_both_sides_are_booked_once(
    inbox: Inbox, merchant: Merchant, seed: int
) -> None:
    """C5, with the processor's own refunds, ours, its totals and its single events, shuffled and repeated."""
    chance = random.Random(seed)
    account = stripe_account(merchant)
    seen: list[b.Json] = []
    order, payment_id = await charged(inbox, merchant)
    ours: list[int] = []
    for _ in range(4):
        amount = chance.randint(1, 120)
        if chance.random() < 0.5:
            await inbox.control("POST", f"/payments/{payment_id}/refund", {"amount": amount})
        else:
            asked = await inbox.api.call(
                "POST", f"/v1/orders/{order['id']}/refund", {"amount": amount}, key=merchant.api_key
            )
            asked.must(201)
            ours.append(amount)
        async with inbox.http.get(
            f"{inbox.sandbox.stripe_url}/v1/events?limit=50", headers={"Authorization": f"Bearer {account}"}
        ) as response:
            seen = (await response.json())["data"]
    async with inbox.relaying(EAGER):
        for event in chance.sample(seen * 2, len(seen) * 2):
            (await inbox.stripe(merchant, event)).must(200)
        for event in seen:
            await inbox.judged(merchant, "stripe", event["id"])
        state = await inbox.reach(order["id"], "partially_refunded")
        while any(one.status == "pending" for one in state.refunds.values()):  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
            state = await inbox.order(order["id"])
        # What our own refunds caused there is told as well.
        async with inbox.http.get(
            f"{inbox.sandbox.stripe_url}/v1/events?limit=50", headers={"Authorization": f"Bearer {account}"}
        ) as response:
            later = (await response.json())["data"]
        chance.shuffle(later)
        for event in later:
            (await inbox.stripe(merchant, event)).must(200)
        for event in later:
            await inbox.judged(merchant, "stripe", event["id"])
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    ledger = await inbox.control("GET", f"/ledger?account={account}")
    theirs = sorted(one["amount"] for one in ledger["refunds"] if one["status"] == "succeeded")
    assert sorted(one.amount for one in state.refunds.values()) == theirs
    assert state.refunded == ledger["payments"][0]["amountRefunded"] == sum(theirs)
    assert sorted(one.amount for one in state.refunds.values() if one.workflow_id) == sorted(ours)


async def test_a_total_that_no_list_explains_is_booked(inbox: Inbox, merchant: Merchant) -> None:
    """The processor does not know the payment, or has lost the refund: its signed word is what there is."""
    order = await captured_at_stripe(inbox, merchant)
    async with inbox.relaying(EAGER):
        for total in (200, 200, 500, 300):
            event = b.stripe_event("charge.refunded", b.charge(refunded=total))
            assert (await inbox.tell_stripe(merchant, event)).verdict == "processed"
        state = await inbox.order(order["id"])
        assert isinstance(state, Captured)
        assert state.refunded == 500
        # Told by its id afterwards, it is one of those, not another.
        await inbox.tell_stripe(merchant, b.stripe_event("refund.created", b.refund(200)))
        await inbox.tell_stripe(merchant, b.stripe_event("refund.created", b.refund(300, refund_id="re_2")))
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert state.refunded == 500
    too_much = b.stripe_event("charge.refunded", b.charge(refunded=1001))
    async with inbox.relaying(EAGER):
        assert (await inbox.tell_stripe(merchant, too_much)).verdict == "quarantined"


async def test_an_old_total_does_not_bring_back_a_refund_that_failed(inbox: Inbox, merchant: Merchant) -> None:
    async with inbox.relaying(EAGER):
        order = await inbox.pay(merchant, "pm_card_refundFail")
        state = await inbox.reach(order["id"], "captured")
        assert isinstance(state, Captured)
        payment_id = state.attempt.processor_transaction_id
        made = await inbox.control("POST", f"/payments/{payment_id}/refund", {"amount": 400})
        total = b.charge(refunded=400, payment_intent=payment_id)

        async def failed() -> bool:
            ledger = await inbox.control("GET", f"/ledger?account={stripe_account(merchant)}")
            return [(one["id"], one["status"]) for one in ledger["refunds"]] == [(made["id"], "failed")]

        await eventually(failed, "the refund fails at the bank")
        assert (await inbox.tell_stripe(merchant, b.stripe_event("charge.refunded", total))).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.refunded, state.refundable) == (0, 1000)


async def test_a_processor_that_does_not_answer_is_asked_again(inbox: Inbox, merchant: Merchant) -> None:
    order, payment_id = await charged(inbox, merchant)
    await inbox.control("POST", f"/payments/{payment_id}/refund", {"amount": 100})
    fault = {"account": stripe_account(merchant), "operation": "refund.get", "mode": "http_500", "times": 3}
    await inbox.control("POST", "/faults", fault)
    charge = b.charge(refunded=100, payment_intent=payment_id)
    async with inbox.relaying(EAGER):
        assert (await inbox.tell_stripe(merchant, b.stripe_event("charge.refunded", charge))).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    (refund,) = state.refunds.values()
    assert (refund.amount, refund.status) == (100, "success")
    assert refund.processor_refund_id is not None


async def test_relays_of_two_processes_do_it_once(inbox: Inbox, merchant: Merchant) -> None:
    order = await captured_at_stripe(inbox, merchant)
    async with inbox.relaying(EAGER), inbox.relaying(EAGER):
        events = [b.stripe_event("refund.updated", b.refund(10, refund_id=f"re_{n % 5}")) for n in range(30)]
        await asyncio.gather(*(inbox.stripe(merchant, event) for event in events))
        for event in events:
            assert (await inbox.judged(merchant, "stripe", event["id"])).verdict == "processed"
    state = await inbox.order(order["id"])
    assert isinstance(state, Captured)
    assert (state.refunded, len(state.refunds)) == (50, 5)
