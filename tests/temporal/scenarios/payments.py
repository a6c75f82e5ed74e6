"""What may become of a payment. Each scenario acts through commands and the processor, and names its orders.

``Stage.world`` is the world of the embedded engine's tests; which engine runs is not the scenario's business.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from payloops.commands.order_results import RecordAuthorized
from payloops.events.order_state import Processing, RequiresAction
from tests.temporal.scenarios.returns import RETURNS
from tests.temporal.scenarios.steps import THREE_D_SECURE, Scenario, asked, asked_to_act, captured, held, refused
from tests.workflows.world import AMOUNT, World, configure, eventually, meta


async def success(world: World) -> UUID:
    return await captured(world)


async def decline(world: World) -> UUID:
    order_id = await world.paid("pm_card_visa_chargeDeclinedInsufficientFunds")
    await world.reach(order_id, "failed")
    return order_id


async def decline_then_another_card(world: World) -> UUID:
    order_id = await decline(world)
    await world.pay(order_id, "pm_card_visa")
    await world.reach(order_id, "captured")
    return order_id


async def a_refused_key(world: World) -> UUID:
    await configure(world, "stripe", {"secretKey": "rk_nobody_knows_this"})
    order_id = await world.paid("pm_card_visa")
    await world.reach(order_id, "failed")
    return order_id


async def secure_passed_and_told(world: World) -> UUID:
    order_id = await asked_to_act(world)
    await world.authenticate(order_id, "succeed")
    await world.complete(order_id)
    await world.reach(order_id, "captured")
    return order_id


async def secure_passed_and_found_by_asking(world: World) -> UUID:
    order_id = await asked_to_act(world)
    await world.authenticate(order_id, "succeed")
    await world.reach(order_id, "captured")
    return order_id


async def secure_failed(world: World) -> UUID:
    order_id = await asked_to_act(world)
    await world.authenticate(order_id, "fail")
    await world.complete(order_id, success=False)
    await world.reach(order_id, "failed")
    return order_id


async def secure_abandoned(world: World) -> UUID:
    order_id = await world.paid(THREE_D_SECURE)
    await world.reach(order_id, "failed")
    return order_id


async def razorpay_checkout(world: World) -> UUID:
    order_id = await world.create(currency="INR")
    await world.pay(order_id, processor="razorpay")
    state = await world.reach(order_id, "requires_action")
    assert isinstance(state, RequiresAction)
    assert state.next_action.processor_data is not None
    await world.control("POST", f"/payments/{state.next_action.processor_data['orderId']}/pay")
    await world.complete(order_id)
    await world.reach(order_id, "captured")
    return order_id


async def timeout_that_had_charged(world: World) -> UUID:
    await world.fault("payment.create", "timeout_after")
    return await captured(world)


async def timeout_that_had_not_charged(world: World) -> UUID:
    await world.fault("payment.create", "timeout_before")
    return await captured(world)


async def timeout_of_a_decline(world: World) -> UUID:
    await world.fault("payment.create", "reset_after")
    order_id = await world.paid("pm_card_visa_chargeDeclined")
    await world.reach(order_id, "failed")
    return order_id


async def unknown_for_days(world: World) -> UUID:
    """Seven questions meet nothing: after the four pauses come the daily ones."""
    await world.fault("payment.get", "http_500", times=7)
    await world.fault("payment.create", "reset_after")
    order_id = await world.paid("pm_card_visa")
    state = await world.until(order_id, lambda s: isinstance(s, Processing) and s.outcome_unknown)
    assert isinstance(state, Processing)
    await world.reach(order_id, "captured")
    return order_id


async def late_success_after_failure(world: World) -> UUID:
    """The processor had said that the customer failed; later it took the money after all, and tells so."""
    order_id = await asked_to_act(world)
    await world.authenticate(order_id, "fail")
    await world.complete(order_id, success=False)
    await world.reach(order_id, "failed")
    (payment,) = await world.payments(order_id)
    await confirm(world, payment["id"])
    await world.report_captured(order_id, attempt=1, transaction_id=payment["id"])
    await world.reach(order_id, "captured")
    return order_id


async def surplus_payment_goes_back(world: World) -> UUID:
    """As before, while another attempt had taken the money already."""
    order_id = await asked_to_act(world)
    await world.authenticate(order_id, "fail")
    await world.complete(order_id, success=False)
    await world.reach(order_id, "failed")
    (payment,) = await world.payments(order_id)
    await world.pay(order_id, "pm_card_visa")
    await world.reach(order_id, "captured")
    await confirm(world, payment["id"])
    await world.report_captured(order_id, attempt=1, transaction_id=payment["id"])
    await world.until(order_id, lambda s: any(x.refund and x.refund.status == "success" for x in s.facts.surplus))
    return order_id


async def confirm(world: World, payment: str) -> None:
    """The customer pays a payment that had failed, at the processor."""
    url = f"{world.sandbox.stripe_url}/v1/payment_intents/{payment}/confirm"
    headers = {"Authorization": f"Bearer {world.stripe}"}
    async with world.http.post(url, headers=headers, data={"payment_method": "pm_card_visa"}) as response:
        assert response.status == 200


async def held_for_an_order_that_nobody_paid_here(world: World) -> UUID:
    """The merchant had its processor hold the money by itself, for an order that is captured automatically."""
    order_id = await world.create()
    url, headers = f"{world.sandbox.stripe_url}/v1/payment_intents", {"Authorization": f"Bearer {world.stripe}"}
    form = {
        "amount": str(AMOUNT),
        "currency": "usd",
        "capture_method": "manual",
        "payment_method": "pm_card_visa",
        "payment_method_types[]": "card",
        "confirm": "true",
        "metadata[order_id]": str(order_id),
    }
    async with world.http.post(url, headers=headers, data=form) as response:
        assert response.status == 200
        payment = (await response.json())["id"]
    told = RecordAuthorized(order_id, world.clock.now(), meta("inbox"), 1, AMOUNT, payment, payment, "USD", "stripe")
    await world.execute(order_id, told)
    await world.reach(order_id, "captured")
    return order_id


async def webhook_before_the_answer(world: World) -> UUID:
    """The processor's event arrives while its answer to the charge is still under way (and gets lost)."""
    await world.fault("payment.create", "timeout_after")
    order_id = await world.paid("pm_card_visa")
    payments: list[Any] = []

    async def made() -> bool:
        payments[:] = await world.payments(order_id)
        return bool(payments) and payments[0]["status"] == "succeeded"

    await eventually(made, "the processor has taken the money")
    await world.report_captured(order_id, attempt=1, transaction_id=payments[0]["id"])
    await world.reach(order_id, "captured")
    return order_id


async def duplicate_signals(world: World) -> UUID:
    """Word of success that is false, three times; then true, twice."""
    order_id = await asked_to_act(world)
    for _ in range(3):
        await world.complete(order_id)
    await asked(world, "payment.get")
    await world.authenticate(order_id, "succeed")
    for _ in range(2):
        await world.complete(order_id)
    await world.reach(order_id, "captured")
    return order_id


async def duplicate_starts(world: World) -> UUID:
    """The row that started the workflow comes again, while it runs and after it has ended."""
    order_id = await asked_to_act(world)
    await start_again(world, order_id)
    await world.authenticate(order_id, "succeed")
    await world.complete(order_id)
    await world.reach(order_id, "captured")
    await start_again(world, order_id)
    return order_id


async def start_again(world: World, order_id: UUID) -> None:
    """As a relay does that died between the start and the mark."""
    started = {
        "orderId": str(order_id),
        "merchantId": str(world.merchant_id),
        "amount": AMOUNT,
        "currency": "USD",
        "captureMethod": "automatic",
        "returnUrl": None,
        "processor": "stripe",
        "paymentMethod": {"type": "card", "token": THREE_D_SECURE},
        "attempt": 1,
    }
    workflow_id = f"payment-{order_id}"
    payload = {
        "type": "PaymentWorkflow",
        "workflowId": workflow_id,
        "taskQueue": "stripe-payments",
        "input": started,
        "merchantId": str(world.merchant_id),
        "orderId": str(order_id),
    }
    row = {"id": str(order_id), "kind": "start", "key": workflow_id, "payload": payload, "correlation_id": "c-again"}
    await world.insert(row)

    async def taken() -> bool:
        return not await world.rows("SELECT seq FROM outbox WHERE key = %s AND kind <> 'wake'", workflow_id)

    await eventually(taken, "the second start is taken")


# --------------------------------------------------------------------------------------------------------- manual, void


async def manual_capture_of_a_part(world: World) -> UUID:
    order_id = await held(world)
    await world.capture(order_id, 1200)
    await world.reach(order_id, "captured")
    return order_id


async def manual_capture_without_an_answer(world: World) -> UUID:
    order_id = await held(world)
    await world.fault("payment.capture", "timeout_after")
    await world.capture(order_id)
    await world.reach(order_id, "captured")
    return order_id


async def void(world: World) -> UUID:
    order_id = await held(world)
    await world.cancel(order_id)
    await world.reach(order_id, "cancelled")
    return order_id


async def void_without_an_answer(world: World) -> UUID:
    order_id = await held(world)
    await world.fault("payment.cancel", "timeout_before")
    await world.cancel(order_id)
    await world.reach(order_id, "cancelled")
    return order_id


# -------------------------------------------------------------------------------------------------------------- cancels


async def cancel_before_payment(world: World) -> UUID:
    order_id = await world.create()
    await world.cancel(order_id)
    return order_id


async def cancel_during_the_charge_is_refused(world: World) -> UUID:
    fault = {"account": world.stripe, "operation": "payment.create", "mode": "slow", "ms": 700, "times": 1}
    await world.control("POST", "/faults", fault)
    order_id = await world.paid("pm_card_visa")
    await asked(world, "payment.create")
    await refused(world, order_id)
    await world.reach(order_id, "captured")
    await refused(world, order_id)
    return order_id


async def cancel_while_the_customer_acts(world: World) -> UUID:
    order_id = await asked_to_act(world)
    await world.cancel(order_id)
    await world.reach(order_id, "cancelled")
    return order_id


async def cancel_after_the_customer_paid(world: World) -> UUID:
    order_id = await asked_to_act(world)
    await world.authenticate(order_id, "succeed")
    await world.cancel(order_id)
    await world.reach(order_id, "captured")
    return order_id


async def cancel_without_an_answer(world: World) -> UUID:
    order_id = await asked_to_act(world)
    await world.fault("payment.cancel", "timeout_after")
    await world.cancel(order_id)
    await world.reach(order_id, "cancelled")
    return order_id


async def cancel_after_a_failure(world: World) -> UUID:
    order_id = await decline(world)
    await world.cancel(order_id)
    await world.reach(order_id, "cancelled")
    return order_id


_QUICK: Final = (
    success,
    decline,
    decline_then_another_card,
    a_refused_key,
    secure_abandoned,
    timeout_that_had_charged,
    timeout_that_had_not_charged,
    timeout_of_a_decline,
    unknown_for_days,
    held_for_an_order_that_nobody_paid_here,
    webhook_before_the_answer,
    manual_capture_of_a_part,
    manual_capture_without_an_answer,
    void,
    void_without_an_answer,
    cancel_before_payment,
    cancel_during_the_charge_is_refused,
    cancel_after_a_failure,
)
_PATIENT: Final = (
    secure_passed_and_told,
    secure_failed,
    razorpay_checkout,
    late_success_after_failure,
    surplus_payment_goes_back,
    duplicate_signals,
    duplicate_starts,
    cancel_while_the_customer_acts,
    cancel_after_the_customer_paid,
    cancel_without_an_answer,
)
SCENARIOS: Final = (
    *(Scenario(play) for play in (*_QUICK, *RETURNS)),
    *(Scenario(play, "patient") for play in _PATIENT),
    Scenario(secure_passed_and_found_by_asking, "asking"),
)
