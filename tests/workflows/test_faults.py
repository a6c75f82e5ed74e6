"""Processors that do not answer: what they did is found out, nothing is done twice, no failure is made of a doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payloops.events.order_state import Authorized, Cancelled, Captured, Existing, Failed, Processing, status
from tests.workflows.world import AMOUNT, FAST, World, configure, eventually

LOST = ("timeout_before", "timeout_after", "reset_before", "reset_after", "http_500")
SLOW_TO_ASK = replace(FAST, doubt_asks_s=(1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize("mode", LOST)
async def test_a_charge_without_an_answer_stays_in_doubt_and_is_then_known(world: World, mode: str) -> None:
    await world.fault("payment.create", mode)
    async with world.relaying(SLOW_TO_ASK):
        order_id = await world.paid("pm_card_visa")
        state = await world.until(order_id, lambda s: isinstance(s, Processing) and s.outcome_unknown)
        assert status(state) == "processing"
        await world.reach(order_id, "captured")
        await world.quiet()
    payments = await world.agree(order_id)
    assert [p["amountCaptured"] for p in payments] == [AMOUNT]
    assert await world.history(order_id) == [
        "OrderCreated",
        "PaymentStarted",
        "PaymentOutcomeUnknown",
        "PaymentCaptured",
    ]


@pytest.mark.parametrize("mode", ("timeout_after", "reset_after"))
async def test_a_decline_without_an_answer_is_found_out(world: World, mode: str) -> None:
    await world.fault("payment.create", mode)
    async with world.relaying():
        order_id = await world.paid("pm_card_visa_chargeDeclined")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert state.failure.code == "card_declined"
    await world.agree(order_id)


async def test_a_customer_can_act_although_the_charges_answer_was_lost(world: World) -> None:
    await world.fault("payment.create", "reset_after")
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        state = await world.reach(order_id, "captured")
        await world.quiet()
    assert isinstance(state, Captured)
    assert len(await world.agree(order_id)) == 1


async def test_an_outcome_is_asked_for_until_it_is_known(world: World) -> None:
    await world.fault("payment.create", "timeout_after")
    await world.fault("payment.get", "http_500", times=12)
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)
    assert (await world.ledger())["calls"]["payment.create"] == 1
    assert (await world.history(order_id)).count("PaymentOutcomeUnknown") == 1


async def test_too_many_requests_are_made_again_soon(world: World) -> None:
    await world.fault("payment.create", "http_429", times=2)
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)
    assert await world.history(order_id) == ["OrderCreated", "PaymentStarted", "PaymentCaptured"]


async def test_a_processor_that_is_not_there_leaves_a_doubt_not_a_failure(world: World) -> None:
    await world.sandbox.stop()
    order_id = await world.paid("pm_card_visa")
    async with world.relaying():
        state = await world.until(order_id, lambda s: isinstance(s, Processing) and s.outcome_unknown)
    assert status(state) == "processing"


async def test_a_replaced_account_is_not_charged_again(world: World) -> None:
    """Of a payment that may have been made in the old account, the new one can't know."""
    await world.fault("payment.create", "timeout_after")
    async with world.relaying(replace(FAST, doubt_asks_s=(2.0, 0.2, 0.5, 1.0))):
        order_id = await world.paid("pm_card_visa")
        await world.until(order_id, lambda s: isinstance(s, Processing) and s.outcome_unknown)
        await configure(world, "stripe", {"secretKey": f"{world.stripe}other"})

        async def asked_in_vain() -> bool:
            return bool((await world.ledger(f"{world.stripe}other"))["calls"].get("payment.get", 0) >= 2)

        await eventually(asked_in_vain, "the new account was asked twice")
        assert status(await world.state(order_id)) == "processing"
        await configure(world, "stripe", {"secretKey": world.stripe})
        await world.reach(order_id, "captured")
        await world.quiet()
    assert (await world.ledger(f"{world.stripe}other"))["payments"] == []
    await world.agree(order_id)


@pytest.mark.parametrize("mode", (*LOST, "http_429"))
async def test_a_capture_without_an_answer(world: World, mode: str) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.fault("payment.capture", mode)
        await world.capture(order_id, 1200)
        state = await world.reach(order_id, "captured")
        await world.quiet()
    assert isinstance(state, Captured)
    assert state.captured == 1200
    await world.agree(order_id)


@pytest.mark.parametrize("mode", (*LOST, "http_429"))
async def test_a_void_without_an_answer(world: World, mode: str) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.fault("payment.cancel", mode)
        await world.cancel(order_id)
        state = await world.reach(order_id, "cancelled")
        await world.quiet()
    assert isinstance(state, Cancelled)
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


@pytest.mark.parametrize("mode", (*LOST, "http_429"))
async def test_a_call_off_without_an_answer(world: World, mode: str) -> None:
    schedule = replace(FAST, action_timeout_s=60, action_asks_s=())
    async with world.relaying(schedule):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.fault("payment.cancel", mode)
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
        await world.quiet()
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


@pytest.mark.parametrize("mode", LOST)
async def test_the_end_of_the_wait_without_an_answer(world: World, mode: str) -> None:
    await world.fault("payment.cancel", mode)
    async with world.relaying(replace(FAST, action_timeout_s=0.2, action_asks_s=())):
        order_id = await world.paid("pm_card_authenticationRequired")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert state.failure.code == "action_timeout"
    await world.agree(order_id)


async def test_no_decision_is_made_while_the_last_question_goes_unanswered(world: World) -> None:
    async with world.relaying(replace(FAST, action_timeout_s=0.3, action_asks_s=())):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.fault("payment.get", "http_500", times=6)
        await world.authenticate(order_id, "succeed")
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)
    assert "payment.cancel" not in (await world.ledger())["calls"]


async def test_a_refused_capture_leaves_the_hold(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await configure(world, "stripe", {"secretKey": "rk_nobody_knows_this"})
        await world.capture(order_id)

        def refused(state: Existing) -> bool:
            return isinstance(state, Authorized) and state.capture is None

        await world.quiet()
        await world.until(order_id, refused)
        assert (await world.history(order_id))[-1] == "CaptureFailed"
        await configure(world, "stripe", {"secretKey": world.stripe})
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
        await world.quiet()
    await world.agree(order_id)


async def test_a_capture_after_the_hold_ended_ends_the_order(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.quiet()
        (payment,) = await world.payments(order_id)
        headers = {"Authorization": f"Bearer {world.stripe}"}
        url = f"{world.sandbox.stripe_url}/v1/payment_intents/{payment['id']}/cancel"
        async with world.http.post(url, headers=headers) as response:
            assert response.status == 200
        await world.capture(order_id)
        await world.reach(order_id, "cancelled")
        await world.quiet()
    await world.agree(order_id)
