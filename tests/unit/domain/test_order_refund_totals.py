"""Refunds told by their sum, beside refunds told one by one: the order agrees with the processor in the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from payloops.commands.order import REFUNDS_MAX, RefundPayment
from payloops.commands.order_refund_results import discovered_refund_id
from payloops.commands.order_reports import (
    RecordCumulativeRefund,
    RecordDiscoveredRefund,
    RecordRefundFailed,
    RecordRefundSucceeded,
)
from payloops.errors import AmountMismatch, InvalidStatus
from payloops.events.base import Event
from payloops.events.order import (
    PaymentCaptured,
    PaymentFailed,
    PaymentStarted,
    RefundDiscovered,
    RefundFailed,
    RefundIdentified,
    RefundRequested,
    RefundSucceeded,
    RefundTotalTold,
    SurplusPaymentCaptured,
)
from payloops.events.order_refund_state import COUNTED_ELSEWHERE
from payloops.events.order_state import Captured
from tests.spec import (
    AMOUNT,
    AUTHORIZED,
    CAPTURED,
    ORDER_ID,
    PROCESSING,
    REFUND_ID,
    command,
    decide,
    event,
    evolve,
    given,
    state_after,
)


def total(amount: int, **fields: Any) -> RecordCumulativeRefund:
    return command(RecordCumulativeRefund, refunded_total=amount, **fields)


def told(name: str, amount: int, status: str = "success") -> RecordDiscoveredRefund:
    return command(RecordDiscoveredRefund, processor_refund_id=name, amount=amount, status=status)


def succeeded(name: str | None, refund_id: UUID = REFUND_ID) -> RecordRefundSucceeded:
    return command(RecordRefundSucceeded, refund_id=refund_id, processor_refund_id=name)


def failed(name: str | None, refund_id: UUID = REFUND_ID) -> RecordRefundFailed:
    return command(RecordRefundFailed, refund_id=refund_id, processor_refund_id=name)


def after(history: Sequence[Event], *heard: Any) -> Captured:
    state = state_after(*history)
    for report in heard:
        for happened in decide(report, state):
            state = evolve(state, happened)
    assert isinstance(state, Captured)
    return state


def booked(state: Captured) -> dict[str | None, int]:
    """The refunds that succeeded, by the processor's id; those known by their amount alone added up under None."""
    sums: dict[str | None, int] = {}
    for refund in state.refunds.values():
        if refund.status == "success":
            sums[refund.processor_refund_id] = sums.get(refund.processor_refund_id, 0) + refund.amount
    return sums


ASKED: Final = (*CAPTURED, event(RefundRequested, amount=400))


class TestATotal:
    def test_what_is_new_in_it_is_booked_by_its_amount(self) -> None:
        outcome = given(*CAPTURED).when(total(300))
        (found, done) = outcome.then_state(lambda state: state.refunded == 300).events
        outcome.then(
            event(RefundDiscovered, refund_id=found.refund_id, amount=300, processor_refund_id=None),
            event(RefundSucceeded, refund_id=done.refund_id, processor_refund_id=None),
        )

    def test_each_next_one_books_the_difference(self) -> None:
        state = after(CAPTURED, total(300), total(450), total(450), total(300))
        assert sorted(refund.amount for refund in state.refunds.values()) == [150, 300]

    def test_of_nothing_says_nothing(self) -> None:
        given(*CAPTURED).when(total(0)).then_nothing()

    def test_what_is_known_by_its_id_is_not_counted_again(self) -> None:
        given(*CAPTURED).when(told("re_1", 300), total(300)).then_nothing()
        assert booked(after(CAPTURED, told("re_1", 300), total(350))) == {"re_1": 300, None: 50}

    def test_a_late_word_of_a_refund_that_failed_since_books_nothing(self) -> None:
        given(*CAPTURED).when(told("re_1", 300), told("re_1", 300, "failed"), total(300)).then_nothing()

    @pytest.mark.parametrize("amount", [AMOUNT + 1, -1])
    def test_more_than_was_captured_is_refused(self, amount: int) -> None:
        given(*CAPTURED).when(total(amount)).then_raises(AmountMismatch)

    def test_before_the_capture_is_known_it_must_wait(self) -> None:
        given(*AUTHORIZED).when(total(300)).then_raises(InvalidStatus, match="captured")

    def test_of_another_payment_it_must_wait_for_that_ones_capture(self) -> None:
        given(*CAPTURED).when(total(300, processor_transaction_id="pi_2")).then_raises(InvalidStatus, match="captured")
        given(*CAPTURED).when(total(300, processor_transaction_id="ch_1")).then_state(lambda s: s.refunded == 300)
        given(*CAPTURED).when(total(300, processor_transaction_id=None)).then_state(lambda s: s.refunded == 300)

    def test_of_a_surplus_payment_it_is_none_of_the_orders(self) -> None:
        history = (
            *PROCESSING,
            event(PaymentFailed),
            event(PaymentStarted, attempt=2),
            event(PaymentCaptured),
            event(SurplusPaymentCaptured),
        )
        given(*history).when(total(AMOUNT, processor_transaction_id="pi_2")).then_nothing()

    def test_they_are_bounded_too(self) -> None:
        history: list[Event] = [*CAPTURED]
        for number in range(1000, 1000 + REFUNDS_MAX):
            history += [event(RefundRequested, refund_id=UUID(int=number), amount=1)]
            history += [event(RefundFailed, refund_id=UUID(int=number), processor_refund_id=None)]
        given(*history).when(total(300)).then_raises(InvalidStatus, match=f"{REFUNDS_MAX} refunds")


class TestOurOwnRefunds:
    def test_what_a_pending_one_can_explain_is_left_to_it(self) -> None:
        given(*ASKED).when(total(400)).then(event(RefundTotalTold, total=400))
        given(*ASKED).when(total(400), total(400)).then_nothing()
        assert booked(after(ASKED, total(400), succeeded("re_1"))) == {"re_1": 400}

    def test_the_rest_is_booked(self) -> None:
        assert booked(after(ASKED, total(500))) == {None: 100}
        assert booked(after(ASKED, total(500), succeeded("re_1"), total(500))) == {"re_1": 400, None: 100}

    def test_what_was_left_to_one_that_never_came_to_be_is_booked_then(self) -> None:
        state = after(ASKED, total(300), failed(None))
        assert booked(state) == {None: 300}
        assert state.refundable == AMOUNT - 300

    def test_what_was_left_to_one_that_failed_at_the_processor_is_not(self) -> None:
        assert booked(after(ASKED, total(400), failed("re_1"))) == {}

    def test_a_failed_call_that_had_refunded_after_all_is_counted_once(self) -> None:
        assert booked(after(ASKED, total(400), failed(None), succeeded("re_1"))) == {"re_1": 400}

    def test_one_that_failed_before_another_took_its_place_is_not_forgotten(self) -> None:
        given(*ASKED).when(failed("re_1"), succeeded("re_2"), total(800)).then_nothing()
        given(*ASKED).when(failed("re_1"), succeeded("re_2"), succeeded("re_1")).then_nothing()

    def test_the_merchant_can_refund_what_totals_leave(self) -> None:
        given(*CAPTURED).when(total(300), command(RefundPayment)).then(event(RefundRequested, amount=700))


class TestTakingTheirPlace:
    def test_one_of_that_amount_is_that_one(self) -> None:
        state = after(CAPTURED, total(300))
        (refund_id,) = state.refunds
        given(*CAPTURED).when(total(300), told("re_1", 300)).then(
            event(RefundIdentified, refund_id=refund_id, processor_refund_id="re_1")
        )
        given(*CAPTURED).when(total(300), told("re_1", 300), told("re_1", 300)).then_nothing()
        assert booked(after(CAPTURED, total(300), told("re_1", 300), total(300))) == {"re_1": 300}

    def test_it_can_fail_under_its_id_then(self) -> None:
        assert booked(after(CAPTURED, total(300), told("re_1", 300, "failed"))) == {}
        assert booked(after(CAPTURED, total(300), told("re_1", 300, "pending"))) == {None: 300}

    def test_a_part_of_one_is_taken_out_of_it(self) -> None:
        outcome = given(*CAPTURED).when(total(300), told("re_1", 100))
        found = outcome.then_state(lambda state: booked(state) == {"re_1": 100, None: 200}).events[0]
        (lump,) = found.counted_before
        part = discovered_refund_id(ORDER_ID, "re_1")
        outcome.then(
            event(
                RefundDiscovered,
                refund_id=part,
                amount=100,
                processor_refund_id="re_1",
                counted_before={lump: 100},
            ),
            event(RefundSucceeded, refund_id=part, processor_refund_id="re_1"),
        )

    def test_several_are_taken_together_and_what_is_taken_whole_counts_no_more(self) -> None:
        state = after(CAPTURED, total(300), total(400), told("re_1", 350))
        assert booked(state) == {"re_1": 350, None: 50}
        assert [r.error_code for r in state.refunds.values() if r.status == "failed"] == [COUNTED_ELSEWHERE]
        assert booked(after(CAPTURED, total(300), total(400), told("re_1", 350), told("re_2", 50))) == {
            "re_1": 350,
            "re_2": 50,
        }

    def test_more_than_they_are_is_partly_new(self) -> None:
        assert booked(after(CAPTURED, total(300), told("re_1", 350))) == {"re_1": 350}

    def test_one_that_is_pending_may_be_a_part_already(self) -> None:
        given(*CAPTURED).when(total(300), told("re_1", 100, "pending")).then_nothing()
        pending = (total(50), told("re_1", 100, "pending"))
        assert after(CAPTURED, *pending).refundable == AMOUNT - 100
        assert booked(after(CAPTURED, *pending, told("re_1", 100))) == {"re_1": 100}

    def test_a_part_that_failed_is_taken_out_too(self) -> None:
        assert booked(after(CAPTURED, total(300), told("re_1", 100, "failed"), told("re_2", 200))) == {"re_2": 200}

    def test_one_counted_elsewhere_is_never_taken_for_another(self) -> None:
        heard = (total(300), total(400), told("re_1", 350), told("re_2", 50), told("re_3", 300))
        state = after(CAPTURED, *heard)
        assert booked(state) == {"re_1": 350, "re_2": 50, "re_3": 300}
        assert [r.amount for r in state.refunds.values() if r.error_code == COUNTED_ELSEWHERE] == [300]


AMOUNTS: Final = st.sampled_from([50, 100, 100, 150])


@dataclasses.dataclass
class World:
    """A processor's refunds: what it tells, and what it has given back in the end."""

    history: list[Event] = dataclasses.field(default_factory=lambda: list(CAPTURED))
    singles: list[Any] = dataclasses.field(default_factory=list)
    totals: list[Any] = dataclasses.field(default_factory=list)
    given_back: int = 0
    ids: set[str] = dataclasses.field(default_factory=set)

    def made(self, name: str, amount: int, refund_id: UUID | None) -> None:
        self.given_back += amount
        self.totals.append(total(self.given_back))
        self.ids.add(name)
        if refund_id is None:
            self.singles.append(told(name, amount))
        else:
            self.singles.append(succeeded(name, refund_id))

    def failed(self, name: str, amount: int, refund_id: UUID | None) -> None:
        self.given_back -= amount
        self.totals.append(total(self.given_back))
        self.ids.discard(name)
        self.singles.append(told(name, amount, "failed") if refund_id is None else failed(name, refund_id))

    def asked(self, refund_id: UUID, amount: int) -> None:
        self.history.append(event(RefundRequested, refund_id=refund_id, amount=amount))


@st.composite
def worlds(draw: st.DrawFn, *, can_fail: bool, can_be_refused: bool) -> World:
    """At most 7 refunds of at most 150, so that there is always room: which came first is not known here."""
    world = World()
    for number in range(1, draw(st.integers(1, 6)) + 1):
        name, amount = f"re_{number}", draw(AMOUNTS)
        ours = UUID(int=number) if draw(st.booleans()) else None
        if ours is not None:
            world.asked(ours, amount)
            if can_be_refused and draw(st.booleans()):
                world.singles.append(failed(None, ours))
                continue
        world.made(name, amount, ours)
        if can_fail and draw(st.integers(0, 3)) == 0:
            world.failed(name, amount, ours)
    return world


def heard_in_any_order(data: st.DataObject, reports: Sequence[Any]) -> list[Any]:
    """All of them, some again, shuffled."""
    again = data.draw(st.lists(st.sampled_from(reports), max_size=5)) if reports else []
    return data.draw(st.permutations([*reports, *again]))


def require_agreement(world: World, heard: Sequence[Any]) -> Captured:
    """0 ≤ refunded ≤ captured at every step, and in the end what the processor gave back."""
    state: Any = state_after(*world.history)
    for report in heard:
        for happened in decide(report, state):
            state = evolve(state, happened)
            assert isinstance(state, Captured)
            assert 0 <= state.refunded <= state.captured - state.refundable <= state.captured
    assert isinstance(state, Captured)
    assert state.refunded == world.given_back
    return state


@settings(deadline=None, max_examples=300)
@given_any(world=worlds(can_fail=True, can_be_refused=False), data=st.data())
def test_all_told_by_their_ids_and_by_any_totals_each_is_booked_once(world: World, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(world.totals), max_size=6))
    state = require_agreement(world, heard_in_any_order(data, [*world.singles, *some]))
    assert booked(state).keys() == world.ids, "none is known by its amount alone any more"


@settings(deadline=None, max_examples=300)
@given_any(world=worlds(can_fail=False, can_be_refused=True), data=st.data())
def test_theirs_told_by_totals_alone_add_up_to_the_last_total(world: World, data: st.DataObject) -> None:
    ours = [report for report in world.singles if not isinstance(report, RecordDiscoveredRefund)]
    some = data.draw(st.lists(st.sampled_from(world.totals or [total(0)]), max_size=6))
    require_agreement(world, heard_in_any_order(data, [*ours, *world.totals[-1:], *some]))


@settings(deadline=None, max_examples=300)
@given_any(world=worlds(can_fail=False, can_be_refused=True), data=st.data())
def test_some_told_by_their_ids_and_the_last_total_agree(world: World, data: st.DataObject) -> None:
    theirs = [report for report in world.singles if isinstance(report, RecordDiscoveredRefund)]
    known = data.draw(st.lists(st.sampled_from(theirs), unique_by=id)) if theirs else []
    ours = [report for report in world.singles if not isinstance(report, RecordDiscoveredRefund)]
    state = require_agreement(world, heard_in_any_order(data, [*ours, *known, *world.totals]))
    assert {report.processor_refund_id for report in known} <= booked(state).keys()
