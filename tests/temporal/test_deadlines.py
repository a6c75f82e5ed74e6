"""Deadlines by the schedule of the wire contract, on a server that skips time; nothing else is simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from temporalio.testing import WorkflowEnvironment

from payloops.db import Database
from payloops.events.order_state import Captured, Failed
from payloops.events.webhook_delivery_state import Failed as NotDelivered
from payloops.sandbox.app import Sandbox, build_sandbox
from payloops.values import SystemClock
from payloops.workflows_bridge.machines.results import Activity
from payloops.workflows_bridge.machines.schedule import CONTRACT_SCHEDULE, DeliverySchedule
from payloops.workflows_bridge.temporal.driver import HISTORY_EVENTS_MAX
from tests.deliveries import receiver as r
from tests.deliveries.receiver import receiving
from tests.deliveries.world import DELIVERING
from tests.deliveries.world import open_world as open_delivery_world
from tests.replay import assert_replay_equals_tables
from tests.temporal.engine.delivering import serving_by
from tests.temporal.scenarios.histories import keep_runs
from tests.temporal.skipping import Ready, ServersClock, SkippingWorld, plain_client, result_of
from tests.workflows.world import open_world

pytestmark = [pytest.mark.temporal, pytest.mark.slow]

EARLY_S = 0.5
"""Clocks of two programs differ by a little."""
LATE_S = 45.0
"""What the calls themselves may take, of a machine that is slow and busy; no two steps are as near."""
DAY_S = 86_400
HISTORY_BYTES_MAX = 512 * 1024
"""As JSON, which is more than what a server keeps. It warns at 10 MiB or 10,240 events, and ends a run at 50 MiB."""
CALLS = 1 + len(CONTRACT_SCHEDULE.quick_retries_s)
"""A question that meets an error is repeated quickly, before it counts as unanswered."""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    running = build_sandbox(None, SystemClock(), settle_delay_s=0.3, hold_s=20)
    await running.start("127.0.0.1", 0, 0)
    yield running
    await running.stop()


@pytest.fixture
async def skipping(
    database_url: str, database: Database, sandbox: Sandbox, time_skipping: WorkflowEnvironment
) -> AsyncIterator[SkippingWorld]:
    client = plain_client(time_skipping)
    async with open_world(database_url, database, sandbox) as base:
        yield SkippingWorld(base, client, Ready(client).server)
    await assert_replay_equals_tables(database)


def rounds(calls_s: list[float], failing: int) -> list[tuple[float, float]]:
    """The first and the last call of each question; the first so many failed, and so were repeated quickly."""
    ends = failing * CALLS
    groups = [calls_s[at : at + CALLS] for at in range(0, ends, CALLS)] + [[at_s] for at_s in calls_s[ends:]]
    return [(group[0], group[-1]) for group in groups]


def in_time(measured_s: Sequence[float], wanted_s: Sequence[float]) -> bool:
    """Not before it was time, and soon after."""
    return len(measured_s) == len(wanted_s) and all(
        wanted - EARLY_S <= measured <= wanted + LATE_S for measured, wanted in zip(measured_s, wanted_s, strict=True)
    )


async def test_a_customer_has_fifteen_minutes_and_is_asked_after(skipping: SkippingWorld) -> None:
    world = skipping.base
    async with skipping.serving():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        result, told = await result_of(skipping.client, f"payment-{order_id}")
        state = await world.reach(order_id, "failed")
    assert isinstance(state, Failed)
    assert state.failure.code == result["errorCode"] == "action_timeout"
    assert in_time(told.of(Activity.ASK), [10, 60, 300, 900]), told.calls
    assert in_time(told.of(Activity.CANCEL), [900]), told.calls
    keep_runs("customer-stays-away", told.runs)
    (payment,) = await world.agree(order_id)
    assert payment["status"] == "canceled"


async def test_money_that_came_in_the_last_minute_counts(skipping: SkippingWorld) -> None:
    """The webhook was lost and the three questions came too early: the one before the decision finds it."""
    world = skipping.base
    await world.fault("payment.get", "http_500", times=3 * CALLS)
    async with skipping.serving():
        order_id = await world.paid("pm_card_authenticationRequired")
        await world.reach(order_id, "requires_action")
        await world.authenticate(order_id, "succeed")
        result, told = await result_of(skipping.client, f"payment-{order_id}")
    assert result["status"] == "captured"
    firsts_s = [first_s for first_s, _ in rounds(told.of(Activity.ASK), 3)]
    assert in_time(firsts_s, [10, 60, 300, 900]), told.calls
    assert told.of(Activity.CANCEL) == []
    keep_runs("money-in-the-last-minute", told.runs)
    await world.agree(order_id)


async def test_an_unknown_outcome_is_asked_for_daily_in_runs_that_stay_short(skipping: SkippingWorld) -> None:
    world, days = skipping.base, 60
    await world.fault("payment.get", "http_500", times=(4 + days) * CALLS)
    await world.fault("payment.create", "reset_after")
    async with skipping.serving():
        order_id = await world.paid("pm_card_visa")
        await world.until(order_id, lambda s: bool(getattr(s, "outcome_unknown", False)), "doubt")
        result, told = await result_of(skipping.client, f"payment-{order_id}")
        state = await world.reach(order_id, "captured")
    assert result["success"]
    assert isinstance(state, Captured)
    pauses_s = [5, 30, 300, 3600, *[DAY_S] * (1 + days)]
    questions = rounds(told.of(Activity.ASK), 4 + days)
    assert len(questions) == len(pauses_s)
    ends_s = [0.0, *(last_s for _, last_s in questions)]
    measured_s = [first_s - before_s for before_s, (first_s, _) in zip(ends_s, questions, strict=False)]
    assert in_time(measured_s, pauses_s), measured_s
    assert len(told.runs) > 1
    keep_runs("asked-daily", told.runs)
    assert max(len(run.events) for run in told.runs) < HISTORY_EVENTS_MAX + 20
    assert max(len(run.to_json()) for run in told.runs) < HISTORY_BYTES_MAX
    assert await world.history(order_id) == [
        "OrderCreated",
        "PaymentStarted",
        "PaymentOutcomeUnknown",
        "PaymentCaptured",
    ]
    await world.agree(order_id)


async def test_a_delivery_is_tried_for_a_day_and_ends(
    database_url: str, database: Database, time_skipping: WorkflowEnvironment
) -> None:
    client = plain_client(time_skipping)
    delivering = replace(DELIVERING, schedule=DeliverySchedule(jitter=0.0))
    async with open_delivery_world(database_url, database) as world, receiving() as receiver:
        receiver.behave("hook", then=r.answer(503))
        shop = await world.shop()
        await world.endpoint(shop, receiver.at())
        async with serving_by(world, lambda: Ready(client), delivering, ServersClock()):
            await world.told(shop)
            await receiver.until(1)
            [delivery] = await world.deliveries_of(shop)
            result, told = await result_of(client, f"webhook-{delivery}")
            state = await world.ended(delivery)
    assert isinstance(state, NotDelivered)
    assert (result["success"], result["attempts"]) == (False, 6)
    steps_s = [60, 300, 1800, 7200, 86_400]
    at_s = [sum(steps_s[:number]) for number in range(6)]
    assert in_time(told.of(Activity.ATTEMPT_DELIVERY), at_s), told.calls
    assert len(receiver.received) == 6
    keep_runs("delivery-of-a-day", told.runs)
    await assert_replay_equals_tables(database)
