"""What holds of an order after any requests and any reports, repeated, late and in any order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, get_args
from uuid import UUID

from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from payloops.commands import order as commands
from payloops.commands import order_reports as reports
from payloops.commands.order_sync import RequestSync
from payloops.errors import PayloopsError
from payloops.events import order as e
from payloops.events.codec import EventMapper
from payloops.events.order_state import (
    INITIAL,
    Absent,
    Captured,
    OrderState,
    Processing,
    RequiresAction,
    attempts_of,
    evolve,
    status,
)
from payloops.events.public_events import last_published
from payloops.events.webhook_event_types import EVENT_TYPES
from tests.spec import AMOUNT, CAPTURED, PROCESSING, command, decide, event, state_after

MAPPER: Final = EventMapper()

attempts = st.integers(1, 3)
payment_ids = st.sampled_from([None, "pi_1", "pi_2", "ch_1", "pay_1", "pay_2"])
amounts = st.sampled_from([AMOUNT, AMOUNT, AMOUNT, 1, 400, 600, 0, AMOUNT + 1])
refund_ids = st.integers(1, 4).map(lambda number: UUID(int=number))
processor_refund_ids = st.sampled_from([None, "re_1", "re_2", "re_3"])
processors = st.sampled_from([None, "stripe"])


def built(command_class: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(command, st.just(command_class), **fields)


IDS: Final = {"processor_order_id": payment_ids, "processor_transaction_id": payment_ids}

requests = st.one_of(
    built(commands.StartPayment, payment_method_token=st.sampled_from([None, "pm_a", "pm_b"])),
    built(commands.CapturePayment, amount=st.none() | amounts),
    built(commands.CancelOrder),
    built(commands.RefundPayment, refund_id=refund_ids, amount=st.none() | amounts),
    built(RequestSync),
)
payment_reports = st.one_of(
    built(reports.RecordProcessing, attempt=attempts, **IDS),
    built(reports.RecordActionRequired, attempt=attempts, **IDS),
    built(reports.RecordAuthorized, attempt=attempts, amount=amounts, processor=processors, **IDS),
    built(
        reports.RecordCaptured,
        attempt=attempts,
        amount=amounts,
        processor=processors,
        **IDS,
    ),
    built(reports.RecordFailed, attempt=attempts, processor=processors, ended=st.booleans(), **IDS),
    built(reports.RecordVoided, attempt=attempts, processor=processors, processor_transaction_id=payment_ids),
    built(reports.RecordOutcomeUnknown, attempt=attempts, operation=st.sampled_from(["payment", "capture", "void"])),
    built(reports.RecordCaptureFailed, attempt=st.none() | attempts),
    built(reports.RecordCancelFailed, attempt=st.none() | attempts),
    built(
        reports.RecordStatus,
        status=st.sampled_from(
            [
                "pending",
                "requires_action",
                "authorized",
                "captured",
                "refunded",
                "failed",
                "cancelled",
                "no such status",
            ]
        ),
        processor=processors,
        **IDS,
    ),
)
refund_reports = st.one_of(
    built(reports.RecordRefundSucceeded, refund_id=refund_ids, processor_refund_id=processor_refund_ids),
    built(reports.RecordRefundFailed, refund_id=refund_ids, processor_refund_id=processor_refund_ids),
    built(reports.RecordRefundUnknown, refund_id=refund_ids),
    built(
        reports.RecordDiscoveredRefund,
        processor_refund_id=st.sampled_from(["re_1", "re_2", "re_3", "re_4"]),
        amount=st.sampled_from([1, 400, 600, 0]),
        status=st.sampled_from(["pending", "success", "failed"]),
        processor_transaction_id=payment_ids,
    ),
    built(
        reports.RecordCumulativeRefund,
        refunded_total=st.sampled_from([1, 400, 401, 600, AMOUNT, 0, AMOUNT + 1]),
        processor_transaction_id=payment_ids,
    ),
)
others = st.one_of(
    built(
        reports.RecordDispute,
        processor_dispute_id=st.sampled_from(["dp_1", "dp_2"]),
        amount=amounts,
        status=st.sampled_from(["opened", "won", "lost"]),
    ),
    built(reports.PublishEvent, event_type=st.sampled_from(["payment.captured", "checkout.expired", "no such type"])),
    built(reports.FinishSync, number=st.integers(1, 2)),
)


class OrderLife(RuleBasedStateMachine):
    """One order, asked and told whatever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[e.OrderEvent] = []
        self.state: Any = INITIAL

    @initialize(method=st.sampled_from(["automatic", "manual"]), paid=st.sampled_from([True, True, True, False]))
    def create(self, method: str, *, paid: bool) -> None:
        self.take(command(commands.CreateOrder, capture_method=method))
        if paid:
            self.take(command(commands.StartPayment, payment_method_token="pm_0"))

    @rule(asked=requests)
    def ask(self, asked: Any) -> None:
        self.take(asked)

    @precondition(lambda self: isinstance(self.state, Processing | RequiresAction) and self.state.attempt.number < 3)
    @rule()
    def try_again(self) -> None:
        """The current payment fails and the merchant tries another token."""
        self.tell(command(reports.RecordFailed, attempt=self.state.attempt.number))
        self.take(command(commands.StartPayment, payment_method_token=f"pm_{len(self.history)}"))

    @rule(told=payment_reports | refund_reports | others)
    def tell_anything(self, told: Any) -> None:
        self.tell(told)

    @rule(told=payment_reports, which=st.integers(0, 2))
    def tell_what_fits(self, told: Any, which: int) -> None:
        """A report of an attempt that there is, with its own ids and the order's amount."""
        known = () if isinstance(self.state, Absent) else attempts_of(self.state)
        number = known[which % len(known)].number if known else 1
        fitting = {"attempt": number, "processor_transaction_id": f"pi_{number}", "amount": AMOUNT}
        fields = {field.name for field in dataclasses.fields(told)}
        self.tell(dataclasses.replace(told, **{name: fitting[name] for name in fitting.keys() & fields}))

    def tell(self, told: Any) -> None:
        if hasattr(told, "surplus_refund_id"):
            told = dataclasses.replace(told, surplus_refund_id=UUID(int=1000 + len(self.history)))
        if self.take(told):
            assert decide(told, self.state) == (), "a report that was heard says nothing new the second time"

    @precondition(lambda self: isinstance(self.state, Captured))
    @rule(number=refund_ids, amount=st.sampled_from([None, 1, 400, 600]))
    def refund(self, number: UUID, amount: int | None) -> None:
        self.take(command(commands.RefundPayment, refund_id=number, amount=amount))

    @precondition(
        lambda self: isinstance(self.state, Captured) and bool(self.state.refunds or self.state.facts.surplus)
    )
    @rule(told=refund_reports, which=st.integers(0, 9))
    def settle(self, told: Any, which: int) -> None:
        """A report of a refund that there is."""
        surplus = [one.refund.refund_id for one in self.state.facts.surplus if one.refund is not None]
        known = [*self.state.refunds, *surplus]
        if known and hasattr(told, "refund_id"):
            told = dataclasses.replace(told, refund_id=known[which % len(known)])
        self.tell(told)

    def take(self, asked: Any) -> bool:
        """Whether it was accepted. What was decided must fold, one event after the other, without losing money."""
        try:
            decided = decide(asked, self.state)
        except PayloopsError as refusal:
            note(f"{type(asked).__name__}: {type(refusal).__name__}")
            return False
        for happened in decided:
            note(f"{type(asked).__name__}: {type(happened).__name__}")
            assert happened.originator_version == len(self.history) + 1
            assert MAPPER.to_event(MAPPER.to_stored_event(happened)) == happened
            after = evolve(self.state, happened)
            require_money_goes_forward(self.state, after)
            require_public_events_are_counted(self.state, happened, after)
            require_bounds(after)
            self.history.append(happened)
            self.state = after
        return True

    def teardown(self) -> None:
        """A replay gives the same state."""
        replayed: OrderState = INITIAL
        for happened in self.history:
            replayed = evolve(replayed, happened)
        assert replayed == self.state


def require_bounds(state: Any) -> None:
    """0 ≤ refunded (pending included) ≤ captured ≤ amount."""
    if isinstance(state, Captured):
        assert 0 <= state.refunded <= state.captured - state.refundable <= state.captured <= state.facts.amount
        assert state.captured > 0


def require_money_goes_forward(before: Any, after: Any) -> None:
    """Taken money is never taken back by an event, nor lost: neither the order's own nor surplus."""
    if isinstance(before, Captured):
        assert isinstance(after, Captured)
        assert after.captured == before.captured
        given_back = {one.refund.refund_id for one in before.facts.surplus if one.refund is not None}
        assert given_back <= {one.refund.refund_id for one in after.facts.surplus if one.refund is not None}
        assert before.refunds.keys() <= after.refunds.keys()
    if before != INITIAL and not isinstance(before, Captured):
        assert status(after) not in ("partially_refunded", "refunded")


def require_public_events_are_counted(before: OrderState, happened: e.OrderEvent, after: Any) -> None:
    """Without gaps, and every change of the order's status is told."""
    counted = 0 if isinstance(before, Absent) else before.facts.public_events
    published = last_published(before, after)
    if published is None:
        assert after.facts.public_events == counted
        assert (
            isinstance(before, Absent) or isinstance(happened, e.PaymentDiscovered) or status(before) == status(after)
        )
    else:
        assert published.sequence == after.facts.public_events == counted + 1
        assert published.version == happened.originator_version == after.facts.published_version(published.type)
        assert published.type in EVENT_TYPES


TestOrderLife = OrderLife.TestCase
TestOrderLife.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)


def told(history: Sequence[e.OrderEvent], *all_reports: Any) -> Any:
    """The state after the reports."""
    state = state_after(*history)
    for report in all_reports:
        for happened in decide(report, state):
            state = evolve(state, happened)
    return state


@st.composite
def shuffled(draw: st.DrawFn, pool: Sequence[Any]) -> list[Any]:
    """Some of the pool, some of it more than once, in any order."""
    chosen = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=len(pool), unique_by=id))
    return draw(st.permutations(chosen + draw(st.lists(st.sampled_from(chosen), max_size=4))))


ONE_PAYMENT: Final = (
    command(reports.RecordProcessing),
    command(reports.RecordActionRequired),
    command(reports.RecordAuthorized),
    command(reports.RecordCaptured),
    command(reports.RecordFailed),
    command(reports.RecordFailed, ended=True),
    command(reports.RecordVoided),
    command(reports.RecordOutcomeUnknown),
)


def strongest(heard: Sequence[Any]) -> str | None:
    """The status that the strongest of the reports on one payment means."""
    for report, word in (
        (command(reports.RecordCaptured), "captured"),
        (command(reports.RecordFailed, ended=True), "failed"),
        (command(reports.RecordVoided), "cancelled"),
        (command(reports.RecordAuthorized), "authorized"),
        (command(reports.RecordFailed), "failed"),
    ):
        if report in heard:
            return word
    return None


@settings(deadline=None)
@given(heard=shuffled(ONE_PAYMENT))
def test_reports_of_one_payment_end_the_same_in_any_order_and_number(heard: list[Any]) -> None:
    expected = strongest(heard)
    assume(expected is not None)
    assert status(told(PROCESSING, *heard)) == expected  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    heard=shuffled(ONE_PAYMENT),
    nameless=st.sets(st.sampled_from([reports.RecordAuthorized, reports.RecordCaptured, reports.RecordFailed])),
)
def test_money_taken_wins_whatever_ids_are_missing(heard: list[Any], nameless: set[type]) -> None:
    assume(any(isinstance(report, reports.RecordCaptured) for report in heard))
    without = {"processor_order_id": None, "processor_transaction_id": None}
    heard = [dataclasses.replace(r, **without) if type(r) in nameless else r for r in heard]
    state = told(PROCESSING, *heard)  # type: ignore[arg-type]
    assert status(state) == "captured"
    assert state.facts.surplus == ()


@settings(deadline=None)
@given(
    heard=shuffled(
        [
            report
            for number in (1, 2, 3)
            for report in (
                command(
                    reports.RecordCaptured,
                    attempt=number,
                    processor_order_id=f"pi_{number}",
                    processor_transaction_id=f"pi_{number}",
                    surplus_refund_id=UUID(int=100 + number),
                ),
                command(reports.RecordAuthorized, attempt=number, processor_transaction_id=f"pi_{number}"),
                command(reports.RecordFailed, attempt=number),
            )
        ]
    )
)
def test_of_several_attempts_that_take_money_one_is_the_orders_and_each_other_goes_back_once(heard: list[Any]) -> None:
    history = list(PROCESSING)
    for number in (2, 3):
        history += [event(e.PaymentFailed, attempt=number - 1), event(e.PaymentStarted, attempt=number)]
    state = told(history, *heard)  # type: ignore[arg-type]
    takers = {report.attempt for report in heard if isinstance(report, reports.RecordCaptured)}
    assume(takers)
    surplus = [one.attempt for one in state.facts.surplus if one.refund is not None]
    assert sorted([state.attempt.number, *surplus]) == sorted(takers)
    holders = {report.attempt for report in heard if isinstance(report, reports.RecordAuthorized)}
    holds = {one.attempt for one in state.facts.surplus if one.refund is None}
    assert holds == holders - takers, "every hold beside is released, unless it took money after all"
    assert {a.number for a in (state.attempt, *state.facts.other_attempts)} == {1, 2, 3}


REFUND: Final = UUID(int=9)
ONE_REFUND: Final = (
    command(reports.RecordRefundFailed, refund_id=REFUND, processor_refund_id=None),
    command(reports.RecordRefundFailed, refund_id=REFUND),
    command(reports.RecordRefundSucceeded, refund_id=REFUND, processor_refund_id=None),
    command(reports.RecordRefundSucceeded, refund_id=REFUND),
    command(reports.RecordRefundUnknown, refund_id=REFUND),
)


@settings(deadline=None)
@given(heard=shuffled(ONE_REFUND))
def test_reports_of_one_refund_end_the_same_in_any_order_and_number(heard: list[Any]) -> None:
    history = (*CAPTURED, event(e.RefundRequested, refund_id=REFUND, amount=400))
    refund = told(history, *heard).refunds[REFUND]  # type: ignore[arg-type]
    kinds = {(type(report), getattr(report, "processor_refund_id", None)) for report in heard}
    if (reports.RecordRefundFailed, "re_1") in kinds:
        expected = "failed"
    elif any(kind is reports.RecordRefundSucceeded for kind, _ in kinds):
        expected = "success"
    else:
        expected = "failed" if (reports.RecordRefundFailed, None) in kinds else "pending"
    assert refund.status == expected


@settings(deadline=None)
@given(
    ours=st.lists(st.sampled_from([100, 150]), min_size=1, max_size=3),
    theirs=st.lists(st.sampled_from([100, 150]), min_size=1, max_size=3),
    data=st.data(),
)
def test_refunds_from_both_sides_are_each_booked_once(ours: list[int], theirs: list[int], data: st.DataObject) -> None:
    history = list(CAPTURED)
    heard: list[Any] = []
    for number, amount in enumerate(ours, 1):
        history.append(event(e.RefundRequested, refund_id=UUID(int=number), amount=amount))
        heard.append(
            command(reports.RecordRefundSucceeded, refund_id=UUID(int=number), processor_refund_id=f"re_{number}")
        )
    for number, amount in enumerate(theirs, 11):
        heard.append(
            command(
                reports.RecordDiscoveredRefund,
                processor_refund_id=f"re_{number}",
                amount=amount,
            )
        )
    again = data.draw(st.lists(st.sampled_from(heard), max_size=4))
    state = told(history, *data.draw(st.permutations(heard + again)))  # type: ignore[arg-type]
    assert state.refunded == sum(ours) + sum(theirs) == AMOUNT - state.refundable
    booked = [refund.processor_refund_id for refund in state.refunds.values()]
    assert sorted(map(str, booked)) == sorted(report.processor_refund_id for report in heard)


def test_every_report_is_among_what_is_told() -> None:
    """So that a new report can't be forgotten here."""
    named = {
        reports.RecordProcessing,
        reports.RecordActionRequired,
        reports.RecordAuthorized,
        reports.RecordCaptured,
        reports.RecordFailed,
        reports.RecordVoided,
        reports.RecordOutcomeUnknown,
        reports.RecordCaptureFailed,
        reports.RecordCancelFailed,
        reports.RecordRefundSucceeded,
        reports.RecordRefundFailed,
        reports.RecordRefundUnknown,
        reports.RecordDiscoveredRefund,
        reports.RecordCumulativeRefund,
        reports.RecordDispute,
        reports.PublishEvent,
        reports.RecordStatus,
        reports.FinishSync,
    }
    assert named == set(get_args(reports.OrderReport))
