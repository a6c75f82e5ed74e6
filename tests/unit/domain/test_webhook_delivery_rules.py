"""What can be asked of, and told to, a webhook delivery."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from payloops.commands.webhook_delivery import (
    GiveUpDelivery,
    RecordAttempt,
    RetryDelivery,
    ScheduleDelivery,
    WebhookDeliveryRequest,
    decide,
)
from payloops.errors import InvalidStatus, NotFound, PayloopsError
from payloops.events import webhook_delivery as e
from payloops.events.base import Event
from payloops.events.codec import EventMapper
from payloops.events.webhook_delivery_state import (
    INITIAL,
    Absent,
    Delivered,
    Failed,
    ImpossibleHistory,
    Pending,
    Retrying,
    WebhookDeliveryState,
    evolve,
    has_ended,
)
from tests.spec import MERCHANT_ID, NOW, command, event, given, numbered, state_after
from tests.webhook_specs import ATTEMPTED_AT, DELIVERY_ID, ENDPOINT_ID, EVENT_ID, NEXT_AT, NO_MORE, RETRY_LATER

SECOND_ROUND: Final = f"webhook-{DELIVERY_ID}-2"
PENDING: Final[tuple[Event, ...]] = (event(e.DeliveryScheduled),)
RETRYING: Final = (*PENDING, event(e.DeliveryAttempted, **RETRY_LATER))
DELIVERED: Final = (*PENDING, event(e.DeliveryAttempted))
FAILED: Final = (*PENDING, event(e.DeliveryAttempted, **NO_MORE))
GIVEN_UP: Final = (*PENDING, event(e.DeliveryGivenUp))


class TestScheduling:
    def test_a_delivery_begins_without_an_attempt(self) -> None:
        given().when(command(ScheduleDelivery)).then(event(e.DeliveryScheduled)).then_state(
            lambda made: (
                isinstance(made, Pending)
                and (made.facts.round, made.facts.attempts, made.facts.merchant_id) == (1, 0, MERCHANT_ID)
                and made.facts.correlation_id == "now"
            )
        )

    def test_scheduled_twice_is_once(self) -> None:
        given(*DELIVERED).when(command(ScheduleDelivery)).then_nothing()

    def test_a_sample_has_its_body_and_no_order(self) -> None:
        body = {"sample": True}
        given().when(command(ScheduleDelivery, order_id=None, payload=body)).then(
            event(e.DeliveryScheduled, order_id=None, payload=body)
        ).then_state(lambda made: made.facts.payload == body)


class TestAttempts:
    def test_one_that_arrives_ends_it(self) -> None:
        given(*PENDING).when(command(RecordAttempt)).then(event(e.DeliveryAttempted)).then_state(
            lambda now: isinstance(now, Delivered) and now.delivered_at == NOW
        )

    def test_one_that_does_not_is_tried_again(self) -> None:
        given(*PENDING).when(command(RecordAttempt, **RETRY_LATER)).then(
            event(e.DeliveryAttempted, **RETRY_LATER)
        ).then_state(
            lambda now: (
                isinstance(now, Retrying)
                and (now.next_retry_at, now.facts.attempts, now.facts.last_attempt_at) == (NEXT_AT, 1, ATTEMPTED_AT)
                and (now.facts.last_status_code, now.facts.last_error) == (500, "it answered 500")
            )
        )

    def test_the_last_one_ends_it_as_failed(self) -> None:
        given(*RETRYING).when(command(RecordAttempt, attempt=2, **NO_MORE)).then(
            event(e.DeliveryAttempted, attempt=2, **NO_MORE)
        ).then_state(Failed)

    @pytest.mark.parametrize("again", [{}, dict(RETRY_LATER), dict(NO_MORE)])
    def test_the_same_attempt_told_twice_is_once(self, again: dict[str, Any]) -> None:
        given(*RETRYING).when(command(RecordAttempt, **again)).then_nothing()

    def test_no_number_is_skipped(self) -> None:
        given(*RETRYING).when(command(RecordAttempt, attempt=3)).then_raises(InvalidStatus, match="can't follow")

    def test_only_a_retry_names_a_time_for_the_next(self) -> None:
        without = {**RETRY_LATER, "next_attempt_at": None}
        given(*PENDING).when(command(RecordAttempt, **without)).then_raises(InvalidStatus, match="names the time")
        given(*PENDING).when(command(RecordAttempt, next_attempt_at=NEXT_AT)).then_raises(InvalidStatus)

    def test_an_attempt_under_way_when_it_was_given_up_counts_if_it_arrived(self) -> None:
        given(*GIVEN_UP).when(command(RecordAttempt)).then(event(e.DeliveryAttempted)).then_state(Delivered)
        given(*GIVEN_UP).when(command(RecordAttempt, **RETRY_LATER)).then_state(Failed)

    def test_a_failure_that_comes_after_the_success_undoes_nothing(self) -> None:
        given(*DELIVERED).when(command(RecordAttempt, attempt=2, **NO_MORE)).then_state(
            lambda now: isinstance(now, Delivered) and now.facts.attempts == 2
        )


class TestGivingUp:
    def test_it_ends_as_failed_without_an_attempt(self) -> None:
        given(*RETRYING).when(command(GiveUpDelivery)).then(event(e.DeliveryGivenUp)).then_state(
            lambda now: (
                isinstance(now, Failed)
                and (now.facts.attempts, now.facts.last_error) == (1, "the endpoint was removed")
            )
        )


class TestRetrying:
    @pytest.mark.parametrize("history", [PENDING, RETRYING], ids=["pending", "retrying"])
    def test_one_under_way_is_told_to_go_on_now(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RetryDelivery)).then(event(e.DeliveryRetried)).then_state(
            lambda now: not has_ended(now) and now.facts.round == 1
        )

    def test_its_next_attempt_is_due_at_once(self) -> None:
        given(*RETRYING).when(command(RetryDelivery)).then_state(lambda now: now.next_retry_at == NOW)

    @pytest.mark.parametrize("history", [DELIVERED, FAILED, GIVEN_UP], ids=["delivered", "failed", "given up"])
    def test_one_that_has_ended_begins_another_round(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RetryDelivery)).then(
            event(e.DeliveryRetried, signal=False, round=2, workflow_id=SECOND_ROUND)
        ).then_state(
            lambda now: isinstance(now, Pending) and (now.facts.round, now.facts.workflow_id) == (2, SECOND_ROUND)
        )

    def test_attempts_go_on_counting(self) -> None:
        second = event(e.DeliveryRetried, signal=False, round=2, workflow_id=SECOND_ROUND)
        given(*FAILED, second).when(command(RecordAttempt, attempt=2)).then(
            event(e.DeliveryAttempted, attempt=2)
        ).then_state(lambda now: isinstance(now, Delivered) and now.facts.attempts == 2)

    def test_each_round_has_a_workflow_of_its_own(self) -> None:
        outcome = given(*FAILED).when(
            command(RetryDelivery), command(RecordAttempt, attempt=2, **NO_MORE), command(RetryDelivery)
        )
        outcome.then(event(e.DeliveryRetried, signal=False, round=3, workflow_id=f"webhook-{DELIVERY_ID}-3"))


class TestTarget:
    @pytest.mark.parametrize("target", ["disabled", "removed"])
    def test_nothing_is_sent_to_an_endpoint_that_takes_nothing(self, target: str) -> None:
        given().when(command(ScheduleDelivery, target=target)).then_raises(InvalidStatus, match=target)
        given(*FAILED).when(command(RetryDelivery, target=target)).then_raises(InvalidStatus, match=target)


Cell = type[PayloopsError] | tuple[type[Event], ...]
STATES: Final[Mapping[str, tuple[Event, ...]]] = MappingProxyType(
    {
        "absent": (),
        "pending": PENDING,
        "retrying": RETRYING,
        "delivered": DELIVERED,
        "failed": FAILED,
        "given_up": GIVEN_UP,
    }
)


def row(others: Cell, **cells: Cell) -> Mapping[str, Cell]:
    return dict.fromkeys(STATES, others) | {"absent": NotFound} | cells


TABLE: Final[tuple[tuple[Any, Mapping[str, Cell]], ...]] = (
    (command(ScheduleDelivery), row((), absent=(e.DeliveryScheduled,))),
    (command(RecordAttempt), row((), pending=(e.DeliveryAttempted,), given_up=(e.DeliveryAttempted,))),
    (command(GiveUpDelivery), row((), pending=(e.DeliveryGivenUp,), retrying=(e.DeliveryGivenUp,))),
    (command(RetryDelivery), row((e.DeliveryRetried,))),
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("line", TABLE, ids=[type(what).__name__ for what, _ in TABLE])
def test_cell(line: tuple[Any, Mapping[str, Cell]], state: str) -> None:
    what, expected = line[0], line[1][state]
    outcome = given(*STATES[state]).when(what)
    if isinstance(expected, tuple):
        assert tuple(type(happened) for happened in outcome.then_state(lambda _: True).events) == expected
    else:
        outcome.then_raises(expected)


def test_the_table_has_every_command() -> None:
    assert {type(what) for what, _ in TABLE} == set(get_args(WebhookDeliveryRequest))


class TestHistory:
    def test_a_stream_begins_with_the_scheduling(self) -> None:
        with pytest.raises(ImpossibleHistory, match="begins a stream"):
            evolve(INITIAL, event(e.DeliveryAttempted))

    @pytest.mark.parametrize(
        ("history", "happened"),
        [
            (PENDING, event(e.DeliveryScheduled)),
            (PENDING, event(e.DeliveryAttempted, attempt=2)),
            (PENDING, event(e.DeliveryAttempted, verdict="retry")),
            (PENDING, event(e.DeliveryRetried, signal=False, round=2)),
            (FAILED, event(e.DeliveryRetried)),
        ],
    )
    def test_an_event_that_does_not_fit_is_refused(self, history: tuple[Event, ...], happened: Event) -> None:
        (last,) = numbered([happened], after=len(history))
        with pytest.raises(ImpossibleHistory):
            evolve(state_after(*history), last)  # type: ignore[arg-type]

    def test_versions_are_consecutive(self) -> None:
        with pytest.raises(ImpossibleHistory, match="follows version 1"):
            evolve(state_after(*PENDING), event(e.DeliveryGivenUp, originator_version=3))


def test_ids_are_the_same_for_ever() -> None:
    assert str(e.delivery_id(EVENT_ID, ENDPOINT_ID)) == "b80e8815-8914-5e91-aff4-5a1c9fa477f3"
    assert e.delivery_workflow_id(DELIVERY_ID) == f"webhook-{DELIVERY_ID}"
    assert e.delivery_workflow_id(DELIVERY_ID, 2) == SECOND_ROUND
    assert len({e.attempt_id(DELIVERY_ID, number) for number in range(1, 9)}) == 8


MAPPER: Final = EventMapper()
verdicts = st.sampled_from(["delivered", "retry", "failed"])


class DeliveryLife(RuleBasedStateMachine):
    """One delivery, told whatever comes, in any order and any number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[e.WebhookDeliveryEvent] = []
        self.state: WebhookDeliveryState = INITIAL

    @initialize()
    def schedule(self) -> None:
        self.ask(command(ScheduleDelivery))

    @rule(attempt=st.integers(1, 4), verdict=verdicts)
    def attempted(self, attempt: int, verdict: str) -> None:
        at = NEXT_AT if verdict == "retry" else None
        self.ask(command(RecordAttempt, attempt=attempt, verdict=verdict, next_attempt_at=at))

    @rule(asked=st.sampled_from([command(ScheduleDelivery), command(GiveUpDelivery), command(RetryDelivery)]))
    def ask(self, asked: Any) -> None:
        try:
            decided = decide(asked, self.state)
        except PayloopsError:
            return
        for happened in decided:
            assert MAPPER.to_event(MAPPER.to_stored_event(happened)) == happened
            before, self.state = self.state, evolve(self.state, happened)
            self.history.append(happened)
            assert not isinstance(self.state, Absent)
            assert self.state.facts.attempts == sum(isinstance(one, e.DeliveryAttempted) for one in self.history)
            if isinstance(before, Delivered) and not isinstance(happened, e.DeliveryRetried):
                assert isinstance(self.state, Delivered), "what was delivered stays so until it is sent anew"

    def teardown(self) -> None:
        """A replay gives the same state, and each round had a workflow of its own."""
        replayed: WebhookDeliveryState = INITIAL
        for happened in self.history:
            replayed = evolve(replayed, happened)
        assert replayed == self.state
        rounds = [one for one in self.history if isinstance(one, e.DeliveryRetried) and not one.signal]
        assert len({one.workflow_id for one in rounds}) == len(rounds)


TestDeliveryLife = DeliveryLife.TestCase
TestDeliveryLife.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
