"""Whole payments through a real Temporal server: relay, workflows, activities, the simulated processors."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowFailureError

from payloops.events.order_state import Authorized, Cancelled, Captured, Failed, RequiresAction
from tests.temporal import servers
from tests.temporal.engine.fast_workflows import QUICK_WORKFLOWS
from tests.temporal.engine.world import TemporalWorld, cause_of, history_of
from tests.temporal.scenarios.workflows import WORKFLOWS
from tests.workflows.world import AMOUNT

pytestmark = pytest.mark.temporal


async def test_a_payment_is_captured(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_visa")
        state = await world.reach(order_id, "captured")
        await world.quiet()
        result = await temporal.result(f"payment-{order_id}")
    assert isinstance(state, Captured)
    (payment,) = await world.agree(order_id)
    assert payment["amountCaptured"] == AMOUNT
    assert result == {
        "success": True,
        "status": "captured",
        "processorOrderId": payment["id"],
        "processorTransactionId": payment["id"],
        "errorCode": None,
        "errorMessage": None,
    }
    assert await world.history(order_id) == ["OrderCreated", "PaymentStarted", "PaymentCaptured"]
    _, started, captured = await world.store.load(order_id)
    assert captured.meta.correlation_id == started.meta.correlation_id
    assert captured.meta.actor.id == f"payment-{order_id}"
    assert await world.rows("SELECT * FROM workflow_runs") == []


async def test_a_decline_and_another_attempt(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_visa_chargeDeclinedInsufficientFunds")
        state = await world.reach(order_id, "failed")
        assert isinstance(state, Failed)
        assert (state.failure.code, state.failure.decline_code) == ("card_declined", "insufficient_funds")
        first = await temporal.result(f"payment-{order_id}")
        await world.pay(order_id, "pm_card_visa")
        await world.reach(order_id, "captured")
        second = await temporal.result(f"payment-{order_id}-2")
    assert (first["success"], first["status"], first["errorCode"]) == (False, "failed", "insufficient_funds")
    assert (second["success"], second["status"]) == (True, "captured")
    assert len(await world.agree(order_id)) == 2


async def test_a_refund(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        refund_id = await world.refund(order_id, 1000)
        await world.reach(order_id, "partially_refunded")
        result = await temporal.result(f"refund-{refund_id}")
    await world.agree(order_id)
    assert result.pop("processorRefundId").startswith("re_")
    assert result == {"success": True, "status": "success", "errorCode": None, "errorMessage": None}


async def test_a_refund_that_is_asked_after_goes_on_in_new_runs(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(QUICK_WORKFLOWS):
        order_id = await world.paid("pm_card_pendingRefund")
        await world.reach(order_id, "captured")
        refund_id = await world.refund(order_id)
        await world.reach(order_id, "refunded")
        result = await temporal.result(f"refund-{refund_id}")
    assert result["success"]
    await world.agree(order_id)
    runs = await servers.listed(temporal.client, f'WorkflowId="refund-{refund_id}"', 2)
    assert len(runs) > 1
    for run in runs:
        assert run.search_attributes["OrderId"] == [str(order_id)]
        assert (await run.memo())["correlationId"]


async def test_a_manual_capture_takes_a_part(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        assert isinstance(await world.reach(order_id, "authorized"), Authorized)
        await world.capture(order_id, 1000)
        await world.reach(order_id, "captured")
        held = await temporal.result(f"payment-{order_id}")
        taken = await temporal.result(f"capture-{order_id}")
    (payment,) = await world.agree(order_id)
    assert payment["amountCaptured"] == 1000
    assert (held["success"], held["status"]) == (True, "authorized")
    assert (taken["success"], taken["status"]) == (True, "captured")


async def test_held_money_is_given_free(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.cancel(order_id)
        state = await world.reach(order_id, "cancelled")
        result = await temporal.result(f"void-{order_id}")
    assert isinstance(state, Cancelled)
    assert state.released == AMOUNT
    assert (result["success"], result["status"]) == (True, "cancelled")
    await world.agree(order_id)


async def test_a_customer_who_authenticated_is_reported_by_a_signal(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(WORKFLOWS["lasting"]):
        order_id = await world.paid("pm_card_authenticationRequired")
        state = await world.reach(order_id, "requires_action")
        assert isinstance(state, RequiresAction)
        await world.quiet()
        await world.authenticate(order_id, "succeed")
        await world.complete(order_id)
        await world.reach(order_id, "captured")
        result = await temporal.result(f"payment-{order_id}")
    assert result["status"] == "captured"
    await world.agree(order_id)
    assert (await world.ledger())["calls"]["payment.get"] == 1


async def test_a_customer_who_authenticated_is_found_by_asking(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(WORKFLOWS["asking"]):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        await world.reach(order_id, "captured")
    await world.agree(order_id)


async def test_a_customer_who_stays_away_is_given_up(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(QUICK_WORKFLOWS):
        order_id = await world.paid("pm_card_authenticationRequired")
        state = await world.reach(order_id, "failed")
    assert isinstance(state, Failed)
    assert state.failure.code == "action_timeout"
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_false_word_of_success_moves_nothing(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        for _ in range(3):
            await world.complete(order_id)
        await world.quiet()
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
    await world.agree(order_id)


async def test_a_cancel_while_the_customer_is_waited_for(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.cancel(order_id)
        state = await world.reach(order_id, "cancelled")
        result = await temporal.result(f"payment-{order_id}")
    assert isinstance(state, Cancelled)
    assert (result["success"], result["status"]) == (False, "cancelled")
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_signals_that_come_before_the_first_call_and_during_it(temporal: TemporalWorld) -> None:
    """No worker takes the workflow yet; the signals wait for it, and are acted upon when the charge has ended."""
    world = temporal.base
    async with temporal.relaying():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.quiet()
        handle = temporal.payment(order_id)
        await handle.signal("completePayment", {"success": True, "processorTransactionId": None, "eventId": "evt"})
        await handle.signal("cancelPayment", {})
        await handle.signal("nobodyKnowsThis", {})
        async with temporal.working():
            result = await temporal.result(f"payment-{order_id}")
    assert result["status"] == "cancelled"
    (payment,) = await world.payments(order_id)
    assert payment["status"] == "canceled"
    assert (await world.ledger())["calls"]["payment.create"] == 1


async def test_razorpay_waits_for_its_checkout(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving():
        order_id = await world.create(currency="INR")
        await world.pay(order_id, processor="razorpay")
        state = await world.reach(order_id, "requires_action")
        assert isinstance(state, RequiresAction)
        assert state.next_action.processor_data is not None
        await world.control("POST", f"/payments/{state.next_action.processor_data['orderId']}/pay")
        await world.complete(order_id)
        await world.reach(order_id, "captured")
    await world.agree(order_id, world.razorpay)


@pytest.mark.parametrize("mode", ("timeout_after", "reset_before", "http_500"))
async def test_a_charge_without_an_answer_is_asked_after(temporal: TemporalWorld, mode: str) -> None:
    world = temporal.base
    await world.fault("payment.create", mode)
    async with temporal.relaying(), temporal.working(workflows=QUICK_WORKFLOWS, timeout_s=0.3):
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
    assert len(await world.agree(order_id)) == 1


async def test_what_a_person_sees_of_a_payment(temporal: TemporalWorld) -> None:
    """Memo, search attributes and summary; the state on request; and nothing secret anywhere in the history."""
    world = temporal.base
    async with temporal.serving():
        order_id = await world.paid("pm_card_authenticationRequired", customer_id="customer-7")
        await world.reach(order_id, "requires_action")
        await world.quiet()
        handle = temporal.payment(order_id)
        doing = await temporal.waits(order_id)
        found = await handle.describe()
        history = await history_of(handle)
        (payment,) = await world.payments(order_id)
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
    memo = await found.memo()
    assert memo["correlationId"].startswith("c-")
    assert set(memo) == {"correlationId", "traceContext"}
    attributes = {name: values for name, values in found.search_attributes.items() if not name.startswith("Build")}
    assert attributes["CorrelationId"] == [memo["correlationId"]]
    assert attributes["MerchantId"] == [str(world.merchant_id)]
    assert attributes["OrderId"] == [str(order_id)]
    assert await found.static_summary() == f"order {order_id}"
    assert (doing["workflow"], doing["doing"], doing["activity"]) == ("PaymentWorkflow", "waiting", None)
    assert doing["wakeAt"] > 0
    assert doing["machine"]["processor_transaction_id"] == payment["id"]
    assert "told" not in doing["machine"]
    for secret in (world.stripe, "_secret_", "customer-7"):
        assert secret not in history


async def test_a_workflow_whose_input_is_none_fails_at_once_and_says_why(temporal: TemporalWorld) -> None:
    async with temporal.working(("stripe-payments",)):
        for number, (told, why) in enumerate(
            (({"orderId": "x"}, "PaymentInput: merchantId is missing"), ("x", "the input is no object"))
        ):
            handle = await temporal.client.start_workflow(
                "PaymentWorkflow",
                told,
                id=f"payment-odd-{number}-{temporal.base.merchant_id}",
                task_queue="stripe-payments",
            )
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
            problem = cause_of(failed.value)
            assert problem.type == "ContractViolation"
            assert why in problem.message
