"""Refunds and disputes through the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.world import World


async def paid(world: World, token: str = "pm_card_visa", **params: Any) -> Any:
    given: Any = {"amount": 1000, "currency": "usd", "confirm": True, "payment_method": token, **params}
    return await world.stripe().v1.payment_intents.create_async(given)


async def charge_of(world: World, intent: Any) -> Any:
    return await world.stripe().v1.charges.retrieve_async(intent.latest_charge, {"expand": ["refunds"]})


async def test_a_full_refund_of_a_payment(world: World) -> None:
    client = world.stripe()
    intent = await paid(world)
    refund = await client.v1.refunds.create_async(
        {"payment_intent": intent.id, "reason": "requested_by_customer", "metadata": {"refund_id": "r-1"}}
    )
    assert refund.id.startswith("re_")
    assert (refund.amount, refund.status, refund.reason) == (1000, "succeeded", "requested_by_customer")
    assert (refund.payment_intent, refund.charge) == (intent.id, intent.latest_charge)
    charge = await charge_of(world, intent)
    assert (charge.amount_refunded, charge.refunded) == (1000, True)
    assert [one.id for one in charge.refunds.data] == [refund.id]
    again = await client.v1.refunds.retrieve_async(refund.id, {"expand": ["charge", "payment_intent"]})
    expanded: Any = again
    assert again.metadata is not None
    assert again.metadata.to_dict() == {"refund_id": "r-1"}
    assert expanded.charge.refunded
    assert expanded.payment_intent.id == intent.id


async def test_partial_refunds_add_up(world: World) -> None:
    client = world.stripe()
    intent = await paid(world)
    await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})
    await client.v1.refunds.create_async({"charge": intent.latest_charge, "amount": 200})
    charge = await charge_of(world, intent)
    assert (charge.amount_refunded, charge.refunded) == (500, False)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 501})
    assert too_much.value.param == "amount"
    rest = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert rest.amount == 500
    with pytest.raises(stripe.InvalidRequestError) as nothing_left:
        await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert nothing_left.value.code == "charge_already_refunded"
    filters: list[Any] = [{"payment_intent": intent.id}, {"charge": intent.latest_charge}]
    for params in filters:
        listed = await client.v1.refunds.list_async(params)
        assert [refund.amount for refund in listed.data] == [500, 200, 300]
    ledger = await world.ledger()
    assert ledger["payments"][0]["amountRefunded"] == 1000
    assert [refund["amount"] for refund in ledger["refunds"]] == [300, 200, 500]


async def test_charge_refunded_is_cumulative(world: World) -> None:
    await world.listen()
    intent = await paid(world)
    for amount in (300, 200):
        await world.stripe().v1.refunds.create_async({"payment_intent": intent.id, "amount": amount})
    amounts = set()
    for _ in range(2):
        event = (await world.receiver.until("charge.refunded")).body
        amounts.add(
            (event["data"]["previous_attributes"]["amount_refunded"], event["data"]["object"]["amount_refunded"])
        )
    assert amounts == {(0, 300), (300, 500)}


async def test_only_the_captured_part_can_be_refunded(world: World) -> None:
    client = world.stripe()
    intent = await paid(world, capture_method="manual")
    with pytest.raises(stripe.InvalidRequestError) as uncaptured:
        await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert uncaptured.value.code == "charge_not_refundable"
    await client.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 600})
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 601})
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.amount == 600


async def test_unpaid_intents_cannot_be_refunded(world: World) -> None:
    intent = await paid(world, confirm=False)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.refunds.create_async({"payment_intent": intent.id})
    assert (refused.value.code, refused.value.param) == ("charge_not_refundable", "payment_intent")
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await world.stripe().v1.refunds.create_async({"payment_intent": "pi_unknown"})
    assert (unknown.value.code, unknown.value.http_status) == ("resource_missing", 404)
    with pytest.raises(stripe.InvalidRequestError) as nothing:
        await world.stripe().v1.refunds.create_async({})
    assert nothing.value.code == "parameter_missing"


async def test_a_pending_refund_succeeds_later(world: World) -> None:
    await world.listen()
    intent = await paid(world, "pm_card_pendingRefund")
    refund = await world.stripe().v1.refunds.create_async({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    updated = (await world.receiver.until("refund.updated")).body
    assert updated["data"]["object"]["id"] == refund.id
    assert (updated["data"]["previous_attributes"], updated["data"]["object"]["status"]) == (
        {"status": "pending"},
        "succeeded",
    )
    assert updated["request"]["id"] is None
    again = await world.stripe().v1.refunds.retrieve_async(refund.id)
    assert again.status == "succeeded"


async def test_a_refund_can_fail_later(world: World) -> None:
    await world.listen()
    intent = await paid(world, "pm_card_refundFail")
    refund = await world.stripe().v1.refunds.create_async({"payment_intent": intent.id, "amount": 400})
    assert refund.status == "succeeded"
    failed = (await world.receiver.until("refund.failed")).body
    assert failed["data"]["object"]["failure_reason"] == "expired_or_canceled_card"
    charge = await charge_of(world, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    ledger = await world.ledger()
    assert ledger["payments"][0]["amountRefunded"] == 0
    assert [one["status"] for one in ledger["refunds"]] == ["failed"]


async def test_a_card_refund_cannot_be_cancelled_but_relabelled(world: World) -> None:
    refunds = world.stripe().v1.refunds
    intent = await paid(world)
    refund = await refunds.create_async({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError):
        await refunds.cancel_async(refund.id)
    changed = await refunds.update_async(refund.id, {"metadata": {"a": "b"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"a": "b"}
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await refunds.retrieve_async("re_unknown")
    assert unknown.value.http_status == 404


async def test_a_charge_is_disputed_by_its_card(world: World) -> None:
    await world.listen()
    intent = await paid(world, "pm_card_createDispute")
    assert intent.status == "succeeded"
    created = (await world.receiver.until("charge.dispute.created")).body["data"]["object"]
    assert (created["payment_intent"], created["amount"], created["status"]) == (intent.id, 1000, "needs_response")
    disputes = await world.stripe().v1.disputes.list_async({"payment_intent": intent.id})
    assert [dispute.id for dispute in disputes.data] == [created["id"]]
    assert (await world.stripe().v1.disputes.retrieve_async(created["id"])).reason == "fraudulent"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await world.stripe().v1.refunds.create_async({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"


@pytest.mark.parametrize("result", ["won", "lost"])
async def test_disputes_are_decided(world: World, result: str) -> None:
    await world.listen()
    intent = await paid(world)
    dispute = await world.act(intent.id, "dispute")
    assert (dispute["paymentId"], dispute["amount"]) == (intent.id, 1000)
    await world.receiver.until("charge.dispute.created")
    assert (await world.control("POST", f"/payments/{intent.id}/dispute")).status == 400
    closed = await world.act(intent.id, "dispute/close", {"result": result})
    assert closed["status"] == result
    event = (await world.receiver.until("charge.dispute.closed")).body
    assert event["data"]["object"]["status"] == result
    assert (await world.control("POST", f"/payments/{intent.id}/dispute/close", {"result": "won"})).status == 400
    if result == "won":
        refund = await world.stripe().v1.refunds.create_async({"payment_intent": intent.id})
        assert refund.status == "succeeded"


async def test_a_refund_from_the_dashboard(world: World) -> None:
    await world.listen()
    intent = await paid(world)
    refund = await world.act(intent.id, "refund", {"amount": 250})
    assert (refund["paymentId"], refund["amount"], refund["idempotencyKey"]) == (intent.id, 250, None)
    event = (await world.receiver.until("charge.refunded")).body
    assert (event["data"]["object"]["amount_refunded"], event["request"]["id"]) == (250, None)
    assert (await world.act(intent.id, "refund"))["amount"] == 750
    over = await world.control("POST", f"/payments/{intent.id}/refund", {"amount": 1})
    assert (over.status, over.body["error"]["code"]) == (400, "charge_already_refunded")
