"""Whole payments in memory, under every mishap that hypothesis can think of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payloops.commands import order as oc
from payloops.events import order as e
from payloops.events.order_state import Authorized, Cancelled, Captured, Existing, Failed, status
from tests.workflows.simulation import AMOUNT, Fate, Mishap, Simulation

DAY_S = 24 * 3600.0
END_S = 30 * DAY_S

fates = st.dictionaries(st.integers(1, 3), st.sampled_from(("money", "declined", "action", "slow")), max_size=3)
mishaps = st.lists(
    st.sampled_from(("none", "none", "none", "lost_before", "lost_after", "busy", "refused")), max_size=14
)
crashes = st.dictionaries(st.integers(0, 25), st.sampled_from(("before", "after")), max_size=4)
moments = st.sampled_from((0.0, 0.1, 1.0, 7.0, 20.0, 61.0, 400.0, 899.0, 900.0, 901.0, 5000.0, 90_000.0))
happenings = st.lists(
    st.tuples(
        moments,
        st.sampled_from(
            (
                "succeed",
                "fail",
                "works-on-it",
                "cancel",
                "capture",
                "refund",
                "webhook-1",
                "webhook-2",
                "completePayment",
                "cancelPayment",
                "pay-again",
            )
        ),
    ),
    max_size=8,
)


def simulate(
    fates: Mapping[int, Fate],
    mishaps: Sequence[Mishap],
    crashes: Mapping[int, str],
    happenings: list[tuple[float, str]],
    *,
    manual: bool = False,
) -> Simulation:
    world = Simulation(
        fates, iter(chain(mishaps, repeat("none"))), crashes, capture_method="manual" if manual else "automatic"
    )
    assert world.pay("token-1")
    for number, (moment, what) in enumerate(happenings):
        world.at(moment, lambda what=what, number=number: happen(world, what, number))  # type: ignore[misc]
    asyncio.run(world.run(END_S / 2))
    for payment in world.processor.payments.values():
        if payment.status == "processing":
            payment.authenticate(succeed=True)
    asyncio.run(world.run(END_S))
    return world


def happen(world: Simulation, what: str, number: int) -> None:
    attempt = max(world.processor.payments, default=1)
    match what:
        case "succeed" | "fail":
            payment = world.processor.payments.get(attempt)
            if payment is not None:
                payment.authenticate(succeed=what == "succeed")
        case "works-on-it":
            payment = world.processor.payments.get(attempt)
            if payment is not None and payment.status == "requires_action":
                payment.status = "processing"
        case "cancel":
            world.request(oc.CancelOrder, "no")
        case "capture":
            world.request(oc.CapturePayment, 1200)
        case "refund":
            world.request(oc.RefundPayment, UUID(int=100 + number), 700)
        case "webhook-1" | "webhook-2":
            world.webhook(int(what[-1]))
        case "pay-again":
            world.pay(f"token-{number}")
        case _:
            world.signal(what, attempt)


@settings(max_examples=200, deadline=None)
@given(fates=fates, mishaps=mishaps, crashes=crashes, happenings=happenings, manual=st.booleans())
# Charged, the answer lost in a crash, and then the key is refused: no failure may be made of that.
@example(fates={}, mishaps=["none", "refused"], crashes={0: "after"}, happenings=[], manual=False)
@example(fates={}, mishaps=["none", "busy", "refused"], crashes={0: "after"}, happenings=[], manual=False)
# A timer that has done a part of its work, and a signal that comes before it is tried again.
@example(fates={}, mishaps=["busy"], crashes={1: "after"}, happenings=[(1.0, "cancelPayment")], manual=False)
def test_every_payment_ends_and_agrees_with_the_processor(
    fates: dict[int, Fate],
    mishaps: list[Mishap],
    crashes: dict[int, str],
    happenings: list[tuple[float, str]],
    manual: bool,
) -> None:
    world = simulate(fates, mishaps, crashes, happenings, manual=manual)
    state = cast("Existing", world.state)
    payments = world.processor.payments.values()
    story = [type(event).__name__ for event in world.events]
    assert world.pending == [], story
    assert world.taken == sum(payment.captured for payment in payments), story
    held = [payment for payment in payments if payment.status == "requires_capture"]
    if isinstance(state, Authorized):
        assert manual
        assert len(held) == 1, story
        assert (state.capture, state.cancel) == (None, None), story
    else:
        assert isinstance(state, Captured | Failed | Cancelled), (status(state), story)
        assert not held, story
    given_back = sum(amount for payment in payments for amount in payment.refunds.values())
    if isinstance(state, Captured):
        surplus = sum(s.amount for s in state.facts.surplus if s.refund is not None and s.refund.status == "success")
        assert state.refunded + surplus == given_back, story
        assert all(refund.status != "pending" for refund in state.refunds.values()), story
    assert not [payment for payment in payments if payment.status == "requires_action"], story


@settings(max_examples=200, deadline=None)
@given(mishaps=mishaps, crashes=crashes, fate=st.sampled_from(("money", "declined")))
def test_without_customers_and_merchants_only_the_card_decides(
    mishaps: list[Mishap], crashes: dict[int, str], fate: Fate
) -> None:
    """Lost answers, busy processors and crashes delay what happens; they never change it."""
    lasting = [mishap for mishap in mishaps if mishap != "refused"]
    world = simulate({1: fate}, lasting, crashes, [])
    assert status(cast("Existing", world.state)) == ("captured" if fate == "money" else "failed")
    payments = world.processor.payments
    assert len(payments) == 1
    assert payments[1].captured == (AMOUNT if fate == "money" else 0)


@pytest.mark.parametrize("where", ("before", "after"))
@pytest.mark.parametrize("call", range(6))
@pytest.mark.parametrize("manual", (True, False))
def test_a_crash_at_any_call_changes_nothing(call: int, where: str, manual: bool) -> None:
    happenings = [(20.0, "succeed"), (300.0, "capture"), (1000.0, "refund")]
    calm = simulate({1: "action"}, [], {}, happenings, manual=manual)
    world = simulate({1: "action"}, [], {call: where}, happenings, manual=manual)
    assert [type(event) for event in world.events] == [type(event) for event in calm.events]
    assert world.taken == calm.taken


def test_the_times_of_a_customer_who_stays_away() -> None:
    asked: list[float] = []
    world = Simulation({1: "action"}, iter(repeat("none")), {})
    ask = world.processor.get_payment

    async def noting(ref: Any) -> Any:
        asked.append(world.now)
        return await ask(ref)

    world.processor.get_payment = noting  # type: ignore[method-assign]
    assert world.pay("token")
    asyncio.run(world.run(END_S))
    assert asked == [10, 60, 300, 900]
    failed = world.events[-1]
    assert isinstance(failed, e.PaymentFailed)
    assert failed.code == "action_timeout"
    assert world.processor.payments[1].status == "canceled"


def test_the_times_of_a_doubt() -> None:
    asked: list[float] = []
    world = Simulation({1: "money"}, iter(chain(["lost_after"], repeat("refused"))), {})
    ask = world.processor.get_payment

    async def noting(ref: Any) -> Any:
        asked.append(world.now)
        return await ask(ref)

    world.processor.get_payment = noting  # type: ignore[method-assign]
    assert world.pay("token")
    asyncio.run(world.run(3 * DAY_S))
    assert asked == [5, 35, 335, 3935, 3935 + DAY_S, 3935 + 2 * DAY_S]
    assert status(cast("Existing", world.state)) == "processing"
    assert [type(event).__name__ for event in world.events].count("PaymentOutcomeUnknown") == 1


def test_a_processor_that_knows_nothing_of_a_lost_charge_is_asked_to_make_it_for_a_day() -> None:
    world = Simulation({1: "money"}, iter(repeat("lost_before", 3)), {})
    assert world.pay("token")
    asyncio.run(world.run(END_S))
    assert status(cast("Existing", world.state)) == "captured"
    lost = Simulation({1: "money"}, _lost_charges(), {})
    assert lost.pay("token")
    asyncio.run(lost.run(END_S))
    failed = lost.events[-1]
    assert isinstance(failed, e.PaymentFailed)
    assert failed.code == "payment_not_found"
    assert lost.processor.payments == {}


def _lost_charges() -> Any:
    """Every charge is lost on the way, every question answered."""
    while True:
        yield "lost_before"
        yield "none"
