"""The activities alone: what they do, and what they leave alone because the order has gone on."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from payloops.bootstrap.core import merchant_aggregate
from payloops.commands import merchant as mc
from payloops.commands import order_results as r
from payloops.errors import NotFound
from payloops.events.order_state import status
from payloops.values import new_id
from payloops.workflows_bridge import accounts as accounts_module
from payloops.workflows_bridge.activities import Caller
from payloops.workflows_bridge.contracts import ContractViolation
from payloops.workflows_bridge.machines.results import Activity
from tests.workflows.world import AMOUNT, World, configure, meta

CALLER = Caller("payment-x", "corr-1", "00-trace")


def charge_of(world: World, order_id: UUID, attempt: int = 1) -> dict[str, Any]:
    return {"orderId": str(order_id), "merchantId": str(world.merchant_id), "processor": "stripe", "attempt": attempt}


def payment_of(world: World, order_id: UUID, attempt: int = 1) -> dict[str, Any]:
    return {**charge_of(world, order_id, attempt), "processorOrderId": None, "processorTransactionId": None}


def named(world: World, order_id: UUID, transaction_id: str | None) -> dict[str, Any]:
    told = charge_of(world, order_id)
    del told["attempt"]
    return {**told, "processorTransactionId": transaction_id}


async def record(world: World, order_id: UUID, kind: Any, *values: Any, **more: Any) -> None:
    await world.execute(order_id, kind(order_id, world.clock.now(), meta(), *values, **more))


async def test_a_charge_is_made_and_recorded_under_the_workflows_name(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    async with world.acting() as (activities, _):
        told = await activities.call(Activity.CHARGE, charge_of(world, order_id), CALLER)
        assert (told["told"], told["amount"]) == ("captured", AMOUNT)
        report = {**charge_of(world, order_id), "report": "captured", "amount": AMOUNT}
        report |= {name: told[name] for name in ("processorOrderId", "processorTransactionId")}
        answer = await activities.call(Activity.RECORD_PAYMENT, report, CALLER)
        assert answer == {"status": "captured", "current": False}
    *_, event = await world.store.load(order_id)
    assert (event.meta.actor.type, event.meta.actor.id) == ("workflow", "payment-x")
    assert (event.meta.correlation_id, event.meta.traceparent) == ("corr-1", "00-trace")


async def test_a_charge_that_the_order_needs_no_more_is_not_made(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    await record(world, order_id, r.RecordFailed, 1, "declined", "No.")
    async with world.acting() as (activities, _):
        assert (await activities.call(Activity.CHARGE, charge_of(world, order_id), CALLER))["told"] == "obsolete"
        assert (await activities.call(Activity.ASK, payment_of(world, order_id), CALLER))["told"] == "obsolete"
        assert (await activities.call(Activity.CANCEL, payment_of(world, order_id), CALLER))["told"] == "obsolete"
    assert (await world.ledger())["calls"] == {}


async def test_a_charge_of_an_attempt_that_was_overtaken_is_only_asked_about(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    await record(world, order_id, r.RecordFailed, 1, "declined", "No.")
    await world.pay(order_id, "pm_card_mastercard")
    captured = {"processor_order_id": "pi_x", "processor_transaction_id": "pi_x"}
    await record(world, order_id, r.RecordCaptured, 1, AMOUNT, new_id(), **captured)
    async with world.acting() as (activities, _):
        assert (await activities.call(Activity.CHARGE, charge_of(world, order_id, 2), CALLER))["told"] == "obsolete"
    assert (await world.ledger())["payments"] == []


async def test_a_capture_that_was_recorded_as_refused_is_not_made_after_all(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa", capture_method="manual")
        await world.reach(order_id, "authorized")
        await world.quiet()
    (payment,) = await world.payments(order_id)
    capture = {**named(world, order_id, payment["id"]), "amount": None}
    async with world.acting() as (activities, _):
        assert (await activities.call(Activity.CAPTURE, capture, CALLER))["told"] == "obsolete"
        assert (await activities.call(Activity.ASK, named(world, order_id, payment["id"]), CALLER))[
            "told"
        ] == "obsolete"
        assert (await activities.call(Activity.CANCEL, named(world, order_id, payment["id"]), CALLER))[
            "told"
        ] == "obsolete"
        await world.capture(order_id, 500)
        await record(world, order_id, r.RecordCaptureFailed, "c", "m")
        assert (await activities.call(Activity.CAPTURE, capture, CALLER))["told"] == "obsolete"
        await world.capture(order_id, 700)
        told = await activities.call(Activity.CAPTURE, capture, CALLER)
        assert (told["told"], told["amount"]) == ("captured", 700)


async def test_an_automatic_capture_is_of_held_money_only(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    async with world.acting() as (activities, _):
        capture = {**payment_of(world, order_id), "amount": AMOUNT}
        assert (await activities.call(Activity.CAPTURE, capture, CALLER))["told"] == "obsolete"


async def test_a_refund_that_is_decided_is_left_alone(world: World) -> None:
    async with world.relaying():
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.quiet()
    refund_id = await world.refund(order_id, 100)
    refund = {
        **named(world, order_id, None),
        "refundId": str(refund_id),
        "transactionId": None,
        "amount": 100,
        "reason": None,
        "processorRefundId": None,
    }
    async with world.acting() as (activities, _):
        assert (await activities.call(Activity.ASK_REFUND, refund, CALLER))["told"] == "not_found"
        assert (await activities.call(Activity.REFUND, refund, CALLER))["told"] == "refunded"
        assert (await activities.call(Activity.ASK_REFUND, refund, CALLER))["told"] == "refunded"
        failed = {**refund, "report": "failed", "code": "c", "message": "m"}
        assert (await activities.call(Activity.RECORD_REFUND, failed, CALLER))["status"] == "captured"
        assert (await activities.call(Activity.REFUND, refund, CALLER))["told"] == "obsolete"
        assert (await activities.call(Activity.ASK_REFUND, refund, CALLER))["told"] == "obsolete"


@pytest.mark.parametrize("activity", (Activity.CHARGE, Activity.ASK, Activity.CANCEL))
async def test_without_a_configuration_nothing_can_be_asked(world: World, activity: Activity) -> None:
    order_id = await world.paid("pm_card_visa")
    remove = mc.RemoveProcessor(world.merchant_id, world.clock.now(), meta(), "stripe")
    await world.handler.execute(merchant_aggregate(), world.merchant_id, remove)
    async with world.acting() as (activities, _):
        told = await activities.call(activity, payment_of(world, order_id), CALLER)
    assert (told["told"], told["code"]) == ("misconfigured", "processor_not_configured")


async def test_without_a_configuration_no_money_moves_back_or_forth(world: World) -> None:
    async with world.relaying():
        held = await world.paid("pm_card_visa", capture_method="manual")
        taken = await world.paid("pm_card_visa")
        await world.reach(held, "authorized")
        await world.reach(taken, "captured")
        await world.quiet()
    await world.capture(held)
    refund_id = await world.refund(taken)
    remove = mc.RemoveProcessor(world.merchant_id, world.clock.now(), meta(), "stripe")
    await world.handler.execute(merchant_aggregate(), world.merchant_id, remove)
    refund = {**named(world, taken, None), "refundId": str(refund_id), "transactionId": None}
    refund |= {"amount": AMOUNT, "reason": None, "processorRefundId": None}
    async with world.acting() as (activities, _):
        for activity, told in (
            (Activity.CAPTURE, {**named(world, held, None), "amount": None}),
            (Activity.REFUND, refund),
            (Activity.ASK_REFUND, refund),
        ):
            assert (await activities.call(activity, told, CALLER))["code"] == "processor_not_configured"


async def test_a_call_that_was_made_before_says_so(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    again = Caller("payment-x", "c", repeated=True)
    async with world.acting() as (activities, _):
        assert (await activities.call(Activity.CHARGE, charge_of(world, order_id), again))["repeated"] is True
        assert "repeated" not in await activities.call(Activity.ASK, payment_of(world, order_id), again)


async def test_an_amount_that_the_order_can_not_have_is_refused(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    async with world.acting() as (activities, _):
        report = {**charge_of(world, order_id), "report": "captured", "amount": AMOUNT + 1}
        assert await activities.call(Activity.RECORD_PAYMENT, report, CALLER) == {"refused": "amount_mismatch"}
    assert status(await world.state(order_id)) == "processing"


async def test_what_does_not_exist_is_an_error(world: World) -> None:
    order_id = await world.paid("pm_card_visa")
    async with world.acting() as (activities, _):
        with pytest.raises(NotFound):
            await activities.call(Activity.CHARGE, charge_of(world, uuid4()), CALLER)
        with pytest.raises(ContractViolation):
            await activities.call("makeCoffee", {}, CALLER)
        with pytest.raises(ContractViolation):
            await activities.call(Activity.RECORD_PAYMENT, {**charge_of(world, order_id), "report": "?"}, CALLER)
        refund = {"orderId": str(order_id), "refundId": str(uuid4()), "report": "?"}
        with pytest.raises(ContractViolation):
            await activities.call(Activity.RECORD_REFUND, refund, CALLER)


async def test_a_merchant_whose_data_was_erased_gets_no_client_secret(world: World) -> None:
    order_id = await world.paid("pm_card_authenticationRequired")
    await world.personal.destroy(world.merchant_id)
    async with world.acting() as (activities, _):
        told = await activities.call(Activity.CHARGE, charge_of(world, order_id), CALLER)
    assert told["told"] == "action_required"
    assert "clientSecret" not in told


async def test_adapters_are_kept_as_long_as_their_configuration(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.acting() as (_, accounts):
        first = await accounts.account(world.merchant_id, "stripe")
        assert first is not None
        assert await accounts.account(world.merchant_id, "stripe") is first
        assert await accounts.account(uuid4(), "stripe") is None
        await configure(world, "stripe", {"secretKey": "sk_test_another"})
        second = await accounts.account(world.merchant_id, "stripe")
        assert second is not None
        assert second.name != first.name
        monkeypatch.setattr(accounts_module, "ADAPTERS_MAX", 1)
        await accounts.account(world.merchant_id, "razorpay")
        assert await accounts.account(world.merchant_id, "stripe") is not second
        assert "sk_test_another" not in repr(second)
    with pytest.raises(RuntimeError):
        await accounts.account(world.merchant_id, "stripe")
