"""Signals whose workflow is gone: the order is moved directly, or asked about again later."""

from __future__ import annotations

import pytest

from payloops.events.order_state import Existing, Failed, RequiresAction
from payloops.workflows_bridge import untaken
from tests.workflows.test_payments import PATIENT
from tests.workflows.world import World, configure


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again at once instead of after half a minute."""
    monkeypatch.setattr(untaken, "ASK_AGAIN_S", 0.05)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("mode", ("timeout_before", "timeout_after", "http_500", "http_429"))
async def test_a_cancel_without_an_answer_is_tried_again(world: World, mode: str) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.quiet()
        await world.rows("DELETE FROM workflow_runs")
        await world.fault("payment.cancel", mode, times=2)
        await world.cancel(order_id)
        await world.reach(order_id, "cancelled")
        await world.quiet()
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_a_decline_is_recorded(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.quiet()
        await world.rows("DELETE FROM workflow_runs")
        await world.authenticate(order_id, "fail")
        await world.complete(order_id, success=False)
        state = await world.reach(order_id, "failed")
        await world.quiet()
    assert isinstance(state, Failed)
    await world.agree(order_id)


async def test_a_processor_that_refuses_our_key_refuses_the_cancel(world: World) -> None:
    async with world.relaying(PATIENT):
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.quiet()
        await world.rows("DELETE FROM workflow_runs")
        await configure(world, "stripe", {"secretKey": "rk_nobody_knows_this"})
        await world.cancel(order_id)
        await world.quiet()

        def refused(state: Existing) -> bool:
            return isinstance(state, RequiresAction) and state.cancel is None

        await world.until(order_id, refused)
    assert (await world.history(order_id))[-1] == "CancelFailed"


async def test_word_of_what_is_settled_is_ignored(world: World) -> None:
    async with world.relaying(PATIENT) as relay:
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        await world.complete(order_id)
        await world.complete(order_id)
        await world.reach(order_id, "captured")
        await world.quiet()
        assert relay.counters.untaken <= 1
        assert (await world.history(order_id)).count("PaymentCaptured") == 1
    await world.agree(order_id)
