"""Refunds over the embedded engine."""

from __future__ import annotations

import asyncio

import pytest

from payloops.errors import RefundExceedsCaptured
from payloops.events.order_state import Captured, Existing
from tests.workflows.world import AMOUNT, World

LOST = ("timeout_before", "timeout_after", "reset_before", "reset_after", "http_500")


def settled(state: Existing) -> bool:
    return isinstance(state, Captured) and all(refund.status != "pending" for refund in state.refunds.values())


async def test_all_that_is_left_goes_back(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.refund(order_id, 1000)
        await world.reach(order_id, "partially_refunded")
        await world.refund(order_id)
        state = await world.reach(order_id, "refunded")
        await world.quiet()
    assert isinstance(state, Captured)
    assert all(refund.processor_refund_id for refund in state.refunds.values())
    await world.agree(order_id)


async def test_a_pending_refund_is_asked_for_until_it_is_decided(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_pendingRefund")
        await world.reach(order_id, "captured")
        await world.refund(order_id)
        await world.reach(order_id, "refunded")
        await world.quiet()
    await world.agree(order_id)
    assert (await world.ledger())["calls"]["refund.get"] >= 1


@pytest.mark.parametrize("mode", (*LOST, "http_429"))
async def test_a_refund_without_an_answer_is_made_once(world: World, mode: str) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.fault("refund.create", mode)
        await world.refund(order_id, 1500)
        await world.reach(order_id, "partially_refunded")
        await world.quiet()
    await world.agree(order_id)
    assert len((await world.ledger())["refunds"]) == 1
    assert ("RefundOutcomeUnknown" in await world.history(order_id)) == (mode != "http_429")


async def test_a_refund_that_the_processor_refuses_can_be_asked_for_again(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        (payment,) = await world.payments(order_id)
        await world.control("POST", f"/payments/{payment['id']}/refund", {"amount": AMOUNT})
        await world.refund(order_id)
        state = await world.until(order_id, settled)
        await world.quiet()
    assert isinstance(state, Captured)
    assert [refund.status for refund in state.refunds.values()] == ["failed"]
    assert state.refundable == AMOUNT


async def test_many_refunds_at_once_never_exceed_what_was_captured(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        results = await asyncio.gather(*(world.refund(order_id, 1000) for _ in range(20)), return_exceptions=True)
        assert [type(r) for r in results if isinstance(r, BaseException)] == [RefundExceedsCaptured] * 16
        state = await world.until(order_id, settled)
        await world.quiet()
    assert isinstance(state, Captured)
    assert state.refunded == 4000
    await world.agree(order_id)


async def test_a_payment_that_is_one_too_many_goes_back(world: World) -> None:
    """The first attempt seemed to fail and had taken the money after all, and so does the second."""
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "fail")
        await world.reach(order_id, "failed")
        (first,) = await world.payments(order_id)
        await world.pay(order_id, "pm_card_visa")
        await world.reach(order_id, "captured")
        url = f"{world.sandbox.stripe_url}/v1/payment_intents/{first['id']}/confirm"
        headers = {"Authorization": f"Bearer {world.stripe}"}
        async with world.http.post(url, headers=headers, data={"payment_method": "pm_card_visa"}) as response:
            assert response.status == 200
        await world.report_captured(order_id, attempt=1, transaction_id=first["id"])
        await world.until(order_id, lambda s: any(x.refund and x.refund.status == "success" for x in s.facts.surplus))
        await world.quiet()
    await world.agree(order_id)


async def test_a_late_success_calls_off_the_attempt_that_is_under_way(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "fail")
        await world.reach(order_id, "failed")
        (first,) = await world.payments(order_id)
        await world.pay(order_id, "pm_card_threeDSecure2Required")
        await world.reach(order_id, "requires_action")
        url = f"{world.sandbox.stripe_url}/v1/payment_intents/{first['id']}/confirm"
        headers = {"Authorization": f"Bearer {world.stripe}"}
        async with world.http.post(url, headers=headers, data={"payment_method": "pm_card_visa"}) as response:
            assert response.status == 200
        await world.report_captured(order_id, attempt=1, transaction_id=first["id"])
        await world.reach(order_id, "captured")
        await world.quiet()
    payments = await world.agree(order_id)
    assert [p["status"] for p in payments] == ["succeeded", "canceled"]
