"""Ids that a processor tells later, and payments that were not begun here."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.commands.order import CancelOrder
from payloops.commands.order_reports import (
    RecordActionRequired,
    RecordAuthorized,
    RecordCaptured,
    RecordFailed,
    RecordOutcomeUnknown,
    RecordProcessing,
    RecordVoided,
)
from payloops.errors import AmountMismatch, InvalidStatus, NotFound
from payloops.events.base import Event
from payloops.events.order import (
    CancelRequested,
    CaptureRequested,
    OrderCancelled,
    OrderCreated,
    PaymentActionRequired,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDiscovered,
    PaymentFailed,
    PaymentIdentified,
    PaymentProcessing,
)
from payloops.events.order_state import status
from tests.spec import (
    CANCELLED,
    CAPTURED,
    MANUAL,
    ORDER_ID,
    PENDING,
    PROCESSING,
    command,
    event,
    given,
)

CALLED_OFF = event(CancelRequested, reason="sold out", workflow_id=f"payment-{ORDER_ID}")
NO_IDS: dict[str, Any] = {"processor_order_id": None, "processor_transaction_id": None}
NAMELESS = (*PROCESSING, event(PaymentCaptured, **NO_IDS))


class TestIdsThatBecomeKnownLater:
    def test_the_same_capture_with_and_without_id_is_one_payment(self) -> None:
        given(*NAMELESS).when(command(RecordCaptured)).then(event(PaymentIdentified)).then_state(
            lambda state: state.attempt.processor_transaction_id == "pi_1" and state.facts.surplus == ()
        )
        given(*CAPTURED).when(command(RecordCaptured, **NO_IDS)).then_nothing()

    def test_a_known_id_is_never_replaced(self) -> None:
        given(*CAPTURED).when(command(RecordCaptured, processor_transaction_id="ch_1")).then_nothing()

    @pytest.mark.parametrize(
        ("history", "report"),
        [
            (PROCESSING, RecordProcessing),
            (NAMELESS, RecordAuthorized),
            ((*PROCESSING, event(PaymentAuthorized, **NO_IDS)), RecordAuthorized),
        ],
    )
    def test_any_report_without_news_may_bring_ids(self, history: tuple[Event, ...], report: type[Any]) -> None:
        given(*history).when(command(report, processor_order_id="pi_1", processor_transaction_id="pi_1")).then(
            event(PaymentIdentified)
        )

    def test_news_and_ids_come_together(self) -> None:
        history = (*PROCESSING, event(PaymentActionRequired, **NO_IDS))
        given(*history).when(command(RecordProcessing, processor_order_id="order_1")).then(
            event(PaymentProcessing),
            event(PaymentIdentified, processor_order_id="order_1", processor_transaction_id=None),
        )
        given(*history).when(command(RecordActionRequired, processor_transaction_id=None)).then(
            event(PaymentIdentified, processor_transaction_id=None)
        )


class TestPaymentsBegunElsewhere:
    def test_money_that_a_processor_took_for_an_unpaid_order_counts(self) -> None:
        given(*PENDING).when(command(RecordCaptured, processor="stripe")).then(
            event(PaymentDiscovered), event(PaymentCaptured)
        ).then_state(lambda state: state.attempt.workflow_id is None and status(state) == "captured")

    def test_a_failure_of_it_is_a_failed_attempt(self) -> None:
        given(*PENDING).when(command(RecordFailed, processor="stripe")).then(
            event(PaymentDiscovered, processor_transaction_id=None), event(PaymentFailed)
        )

    def test_its_end_cancels(self) -> None:
        given(*PENDING).when(command(RecordVoided, processor="stripe")).then(
            event(PaymentDiscovered, processor_order_id=None),
            event(OrderCancelled, processor_transaction_id="pi_1"),
        )

    @pytest.mark.parametrize("report", [RecordProcessing, RecordActionRequired])
    def test_its_steps_say_nothing(self, report: type[Any]) -> None:
        given(*PENDING).when(command(report)).then_nothing()

    def test_money_held_is_taken_at_once_where_nobody_is_to_ask_for_it(self) -> None:
        taken = event(CaptureRequested, workflow_id=f"capture-{ORDER_ID}")
        held = command(RecordAuthorized, processor="stripe")
        given(*PENDING).when(held).then(event(PaymentDiscovered), event(PaymentAuthorized), taken).then_state(
            lambda state: status(state) == "authorized" and state.capture.amount == taken.amount
        )
        given(*PENDING).when(held, held).then_nothing()

    def test_money_held_for_a_manual_order_waits_for_its_capture(self) -> None:
        given(*MANUAL).when(command(RecordAuthorized, processor="stripe")).then(
            event(PaymentDiscovered), event(PaymentAuthorized)
        ).then_state(lambda state: status(state) == "authorized" and state.capture is None)

    def test_money_held_for_a_cancelled_order_is_voided(self) -> None:
        given(*CANCELLED).when(command(RecordAuthorized, processor="stripe")).then(
            event(PaymentDiscovered),
            event(PaymentAuthorized),
            event(CancelRequested, reason="authorized after the order was cancelled"),
        )

    def test_money_taken_for_a_cancelled_order_counts(self) -> None:
        given(*CANCELLED).when(command(RecordCaptured, processor="stripe")).then(
            event(PaymentDiscovered), event(PaymentCaptured)
        )

    @pytest.mark.parametrize("report", [RecordFailed, RecordVoided])
    def test_no_money_for_a_cancelled_order_is_no_news(self, report: type[Any]) -> None:
        given(*CANCELLED).when(command(report, processor="stripe")).then_nothing()

    @pytest.mark.parametrize("report", [RecordCaptured, RecordFailed, RecordVoided, RecordOutcomeUnknown])
    def test_without_a_processor_it_is_refused(self, report: type[Any]) -> None:
        given(*PENDING).when(command(report)).then_raises(InvalidStatus, match="No payment")

    def test_it_can_only_be_the_first_attempt(self) -> None:
        asked = command(RecordCaptured, processor="stripe", attempt=2)
        given(*PENDING).when(asked).then_raises(NotFound, match="attempt 2")

    def test_another_amount_is_refused_here_too(self) -> None:
        given(*PENDING).when(command(RecordCaptured, processor="stripe", amount=1)).then_raises(AmountMismatch)

    def test_its_hold_is_cancelled_by_a_void(self) -> None:
        given(*MANUAL, event(PaymentDiscovered), event(PaymentActionRequired)).when(command(CancelOrder)).then(
            event(CancelRequested)
        ).then_state(lambda state: state.facts.voids_requested == 1)

    def test_the_order_counts_attempts_on_from_it(self) -> None:
        assert (
            given(event(OrderCreated), event(PaymentDiscovered), event(PaymentFailed))
            .when(command(RecordFailed))
            .then_nothing()
            .state.attempt.number
            == 1
        )
