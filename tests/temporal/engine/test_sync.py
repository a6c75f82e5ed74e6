"""Asking the processor now while a Temporal workflow waits, or is gone: learnt at once, and the workflow goes on."""

from __future__ import annotations

import pytest

from payloops.events.order_state import Captured, Existing, Processing
from tests.temporal.engine.fast_workflows import PASSIVE_WORKFLOWS
from tests.temporal.engine.world import TemporalWorld

pytestmark = pytest.mark.temporal


def in_doubt(state: Existing) -> bool:
    return isinstance(state, Processing) and state.outcome_unknown


async def test_a_charge_whose_answer_was_lost(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(PASSIVE_WORKFLOWS):
        await world.fault("payment.create", "timeout_after")
        order_id = await world.paid("pm_card_visa")
        await world.until(order_id, in_doubt)
        await temporal.waits(order_id)
        sync = await world.sync(order_id)
        assert sync.changed
        assert sync.answers is not None
        assert [answer["outcome"] for answer in sync.answers] == ["captured", "listed", "listed"]
        # The workflow was told, found the order settled, and ended.
        result = await temporal.result(f"payment-{order_id}")
    assert (result["success"], result["status"]) == (False, "captured")
    (payment,) = await world.agree(order_id)
    assert payment["amountCaptured"] > 0
    assert (await world.ledger())["calls"]["payment.create"] == 1


async def test_a_charge_that_was_not_made_is_made_by_its_workflow(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(PASSIVE_WORKFLOWS):
        await world.fault("payment.create", "timeout_before")
        order_id = await world.paid("pm_card_visa")
        await world.until(order_id, in_doubt)
        await temporal.waits(order_id)
        sync = await world.sync(order_id)
        assert sync.answers is not None
        assert ([answer["outcome"] for answer in sync.answers], sync.changed) == (["not_found"], False)
        await world.reach(order_id, "captured")
        result = await temporal.result(f"payment-{order_id}")
    assert result["success"]
    assert len(await world.agree(order_id)) == 1


async def test_a_customers_success_that_nobody_told_of(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(PASSIVE_WORKFLOWS):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await temporal.waits(order_id)
        await world.authenticate(order_id, "succeed")
        await world.sync(order_id)
        assert isinstance(await world.state(order_id), Captured)
        await temporal.result(f"payment-{order_id}")
    assert (await world.history(order_id)).count("PaymentCaptured") == 1
    await world.agree(order_id)


async def test_without_a_workflow_the_order_is_asked_about_all_the_same(temporal: TemporalWorld) -> None:
    """A workflow of somebody else's may have been ended by hand."""
    world = temporal.base
    async with temporal.serving(PASSIVE_WORKFLOWS):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await temporal.waits(order_id)
        await temporal.payment(order_id).terminate()
        await world.authenticate(order_id, "succeed")
        sync = await world.sync(order_id)
        assert sync.changed
        assert isinstance(await world.state(order_id), Captured)
        await world.quiet()
    await world.agree(order_id)


async def test_a_refund_whose_answer_was_lost(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(PASSIVE_WORKFLOWS):
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        await world.fault("refund.create", "timeout_after")
        refund_id = await world.refund(order_id, 1500)
        await world.until(order_id, lambda s: isinstance(s, Captured) and s.refunds[refund_id].outcome_unknown)
        await world.sync(order_id)
        state = await world.state(order_id)
    assert isinstance(state, Captured)
    assert state.refunds[refund_id].status == "success"
    await world.agree(order_id)


async def test_a_dispute_that_nobody_told_of(temporal: TemporalWorld) -> None:
    world = temporal.base
    async with temporal.serving(PASSIVE_WORKFLOWS):
        order_id = await world.paid("pm_card_visa")
        await world.reach(order_id, "captured")
        (payment,) = await world.payments(order_id)
        await world.control("POST", f"/payments/{payment['id']}/dispute")
        await world.control("POST", f"/payments/{payment['id']}/dispute/close", {"result": "won"})
        sync = await world.sync(order_id)
        assert sync.changed
        state = await world.state(order_id)
    assert isinstance(state, Captured)
    assert state.dispute_status == "won"
    assert [one for one in await world.history(order_id) if one.startswith("Dispute")] == [
        "DisputeOpened",
        "DisputeWon",
    ]
