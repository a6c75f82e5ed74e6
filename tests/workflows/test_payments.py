"""Whole payments over the embedded engine: every outcome, and the waits on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payloops.events.order_state import Authorized, Cancelled, Captured, Failed, RequiresAction
from payloops.workflows_bridge.machines.schedule import Schedule
from tests.workflows.world import AMOUNT, FAST, World, configure

PATIENT = replace(FAST, action_timeout_s=60, action_asks_s=(50,))
"""Nothing happens by itself while the customer is waited for."""


async def test_a_payment_is_captured(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        state = await world.reach(order_id, "captured")
        await world.quiet()
    assert isinstance(state, Captured)
    (payment,) = await world.agree(order_id)
    assert state.attempt.processor_transaction_id == payment["id"]
    assert payment["amountCaptured"] == AMOUNT
    assert await world.history(order_id) == ["OrderCreated", "PaymentStarted", "PaymentCaptured"]
    assert await world.rows("SELECT type, status, version FROM workflow_runs") == [("PaymentWorkflow", "finished", 1)]


async def test_a_payment_without_a_method_is_the_processors_to_judge(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid(None)
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)


async def test_a_decline_is_recorded_in_the_processors_words(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa_chargeDeclinedInsufficientFunds")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert (state.failure.code, state.failure.decline_code) == ("card_declined", "insufficient_funds")
    await world.agree(order_id)


async def test_another_attempt_after_a_decline_has_its_own_workflow_and_key(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa_chargeDeclined")
        await world.reach(order_id, "failed")
        await world.pay(order_id, "pm_card_visa")
        state = await world.reach(order_id, "captured")
        await world.quiet()
    assert isinstance(state, Captured)
    assert state.attempt.workflow_id == f"payment-{order_id}-2"
    payments = await world.agree(order_id)
    assert [p["metadata"]["attempt"] for p in payments] == ["1", "2"]


async def test_a_customer_who_authenticates_is_found_by_asking(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        state = await world.reach(order_id, "requires_action")
        assert isinstance(state, RequiresAction)
        assert state.next_action.redirect_url
        await world.authenticate(order_id, "succeed")
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)


async def test_the_client_secret_is_sealed_for_its_order(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        state = await world.reach(order_id, "requires_action")
    assert isinstance(state, RequiresAction)
    sealed = state.next_action.client_secret
    assert sealed is not None
    key = await world.personal.key_for(world.merchant_id)
    (payment,) = await world.payments(order_id)
    assert (key.open("orders.client_secret", order_id, sealed) or "").startswith(f"{payment['id']}_secret_")
    for table in ("outbox", "workflow_runs", "stored_events"):
        rows = await world.rows(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%%_secret_%%'")
        assert rows == [(0,)]


async def test_word_from_the_processor_is_checked_at_once(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        await world.complete(order_id)
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)


async def test_false_word_of_success_moves_nothing(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        for _ in range(3):
            await world.complete(order_id)
        await world.quiet()
        await world.reach(order_id, "requires_action")
    assert (await world.ledger())["calls"]["payment.get"] == 3
    await world.agree(order_id)


async def test_a_customer_who_fails_to_authenticate(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "fail")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert state.failure.code == "payment_intent_authentication_failure"
    await world.agree(order_id)


async def test_a_customer_who_stays_away_is_waited_for_and_then_given_up(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert state.failure.code == "action_timeout"
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"
    calls = (await world.ledger())["calls"]
    # After 10 s, 1 min and 5 min, and once more before the decision; a late timer may leave one out.
    assert 1 <= calls.pop("payment.get") <= 4
    assert calls == {"payment.create": 1, "payment.cancel": 1}


async def test_money_that_arrives_at_the_last_moment_counts(world: World) -> None:
    schedule = replace(FAST, action_timeout_s=0.5, action_asks_s=())
    async with world.relaying(schedule):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)
    assert "payment.cancel" not in (await world.ledger())["calls"]


async def test_a_manual_capture_holds_then_takes_a_part(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        state = await world.reach(order_id, "authorized")
        assert isinstance(state, Authorized)
        await world.quiet()
        await world.capture(order_id, 1000)
        captured = await world.reach(order_id, "captured")
        await world.quiet()
    assert isinstance(captured, Captured)
    assert captured.captured == 1000
    (payment,) = await world.agree(order_id)
    assert payment["amountCaptured"] == 1000


async def test_held_money_is_given_free(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.cancel(order_id)
        state = await world.reach(order_id, "cancelled")
        await world.quiet()
    assert isinstance(state, Cancelled)
    assert state.released == AMOUNT
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_a_waiting_customers_payment_is_called_off(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.cancel(order_id)
        state = await world.reach(order_id, "cancelled")
        await world.quiet()
    assert isinstance(state, Cancelled)
    assert state.reason == "changed my mind"
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_a_cancel_that_comes_after_the_customer_paid_finds_the_money(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        await world.cancel(order_id)
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)


async def test_a_cancel_that_no_workflow_takes_moves_the_order_directly(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.quiet()
        await world.rows("DELETE FROM workflow_runs")
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
        await world.quiet()
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_word_that_no_workflow_takes_moves_the_order_directly(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.quiet()
        await world.rows("DELETE FROM workflow_runs")
        await world.authenticate(order_id, "succeed")
        await world.complete(order_id)
        await world.reach(order_id, "captured")
        await world.quiet()
    await world.agree(order_id)


async def test_a_refused_key_fails_the_payment(world: World) -> None:
    await configure(world, "stripe", {"secretKey": "rk_nobody_knows_this"})
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert state.failure.code == "authentication_error"


async def test_razorpay_waits_for_its_checkout(world: World) -> None:
    async with world.relaying():
        order_id = await world.create(currency="INR")
        await world.pay(order_id, processor="razorpay")
        state = await world.reach(order_id, "requires_action")
        assert isinstance(state, RequiresAction)
        data = state.next_action.processor_data
        assert data is not None
        assert data["keyId"] == world.razorpay
        await world.control("POST", f"/payments/{data['orderId']}/pay")
        captured = await world.reach(order_id, "captured")
        await world.quiet()
    assert captured.attempt is not None  # type: ignore[union-attr]
    payments = await world.agree(order_id, world.razorpay)
    assert payments[0]["id"].startswith("pay_")


async def test_razorpay_checkout_that_nobody_uses_is_given_up(world: World) -> None:
    async with world.relaying():
        order_id = await world.create(currency="INR")
        await world.pay(order_id, processor="razorpay")
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    assert state.failure.code == "action_timeout"
    await world.agree(order_id, world.razorpay)


@pytest.mark.parametrize("amount", (None, 1))
async def test_razorpay_refunds(world: World, amount: int | None) -> None:
    async with world.relaying():
        order_id = await world.create(currency="INR")
        await world.pay(order_id, processor="razorpay")
        state = await world.reach(order_id, "requires_action")
        assert isinstance(state, RequiresAction)
        assert state.next_action.processor_data is not None
        await world.control("POST", f"/payments/{state.next_action.processor_data['orderId']}/pay")
        await world.reach(order_id, "captured")
        await world.refund(order_id, amount)
        await world.reach(order_id, "refunded", "partially_refunded")
        await world.quiet()
    await world.agree(order_id, world.razorpay)


def test_the_default_schedule_is_the_contracts() -> None:
    schedule = Schedule()
    assert schedule.action_timeout_s == 15 * 60
    assert list(schedule.action_asks_s) == [10, 60, 5 * 60]
    assert [schedule.doubt_pause_s(n) for n in range(6)] == [5, 30, 5 * 60, 3600, 24 * 3600, 24 * 3600]
