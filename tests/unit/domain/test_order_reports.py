"""What follows from reports of a payment: late, twice, out of order, in doubt (the wire contract, "Order status")."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.commands.order import StartPayment
from payloops.commands.order_reports import (
    RecordActionRequired,
    RecordAuthorized,
    RecordCancelFailed,
    RecordCaptured,
    RecordCaptureFailed,
    RecordFailed,
    RecordOutcomeUnknown,
    RecordProcessing,
    RecordVoided,
)
from payloops.errors import AmountMismatch, NotFound
from payloops.events.base import Event, Sealed
from payloops.events.order import (
    CancelFailed,
    CancelRequested,
    CaptureFailed,
    CaptureRequested,
    OrderCancelled,
    PaymentActionRequired,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentOutcomeUnknown,
    PaymentProcessing,
    PaymentStarted,
)
from payloops.events.order_state import Authorized, Cancelled, Captured, Failed, Processing, RequiresAction, status
from tests.spec import (
    AMOUNT,
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    FAILED,
    MANUAL,
    ORDER_ID,
    PROCESSING,
    REQUIRES_ACTION,
    command,
    event,
    given,
)

CALLED_OFF = event(CancelRequested, reason="sold out", workflow_id=f"payment-{ORDER_ID}")
CALLING_OFF = (*REQUIRES_ACTION, CALLED_OFF)
SECOND = (*FAILED, event(PaymentStarted, attempt=2, payment_method_token="pm_other"))
NO_IDS: dict[str, Any] = {"processor_order_id": None, "processor_transaction_id": None}


class TestTheCourseOfAPayment:
    def test_the_customer_must_act(self) -> None:
        action = {"redirect_url": None, "client_secret": Sealed("s"), "processor_data": {"keyId": "rzp_test_1"}}
        given(*PROCESSING).when(command(RecordActionRequired, **action)).then(
            event(PaymentActionRequired, **action)
        ).then_state(RequiresAction)

    def test_the_customer_has_acted(self) -> None:
        given(*REQUIRES_ACTION).when(command(RecordProcessing)).then(event(PaymentProcessing)).then_state(Processing)

    @pytest.mark.parametrize("history", [PROCESSING, REQUIRES_ACTION])
    def test_money_is_held(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordAuthorized)).then(event(PaymentAuthorized)).then_state(Authorized)

    @pytest.mark.parametrize("history", [PROCESSING, REQUIRES_ACTION, AUTHORIZED])
    def test_money_is_taken(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordCaptured)).then(event(PaymentCaptured)).then_state(Captured)

    def test_a_manual_capture_may_take_a_part(self) -> None:
        history = (*AUTHORIZED, event(CaptureRequested, amount=700))
        given(*history).when(command(RecordCaptured, amount=700)).then(event(PaymentCaptured, amount=700)).then_state(
            lambda state: state.captured == state.refundable == 700
        )

    @pytest.mark.parametrize("history", [PROCESSING, REQUIRES_ACTION])
    def test_a_failure_keeps_the_processors_own_codes(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordFailed, decline_code="lost_card")).then(
            event(PaymentFailed, decline_code="lost_card")
        ).then_state(lambda state: state.failure.decline_code == "lost_card" and state.failure.processor == "stripe")

    def test_the_end_of_a_held_payment_releases_it(self) -> None:
        history = (*AUTHORIZED, event(CancelRequested, reason="sold out"))
        given(*history).when(command(RecordVoided)).then(
            event(OrderCancelled, reason="sold out", released=AMOUNT, processor_transaction_id="pi_1")
        )

    def test_an_end_that_nobody_asked_for_has_the_processors_reason(self) -> None:
        given(*PROCESSING).when(command(RecordVoided, processor_transaction_id=None, reason="expired")).then(
            event(OrderCancelled, reason="expired")
        )

    def test_a_report_of_an_attempt_that_never_was_is_not_found(self) -> None:
        given(*PROCESSING).when(command(RecordCaptured, attempt=2)).then_raises(NotFound, match="attempt 2")


class TestLateResults:
    def test_a_late_success_after_a_failure_is_accepted(self) -> None:
        given(*FAILED).when(command(RecordCaptured)).then(event(PaymentCaptured)).then_state(Captured)

    def test_a_late_authorization_after_a_failure_is_taken_at_once_where_nobody_is_to_ask_for_it(self) -> None:
        taken = event(CaptureRequested, amount=1000, workflow_id=f"capture-{ORDER_ID}")
        given(*FAILED).when(command(RecordAuthorized)).then(event(PaymentAuthorized), taken).then_state(Authorized)

    def test_a_late_authorization_while_another_attempt_is_under_way_is_taken_at_once_too(self) -> None:
        taken = event(CaptureRequested, amount=1000, workflow_id=f"capture-{ORDER_ID}")
        given(*SECOND).when(command(RecordAuthorized, attempt=1)).then(
            event(PaymentAuthorized, attempt=1), taken
        ).then_state(lambda state: state.attempt.number == 1 and state.capture.amount == AMOUNT)
        given(*SECOND).when(command(RecordAuthorized, attempt=2)).then(event(PaymentAuthorized, attempt=2))

    def test_a_late_authorization_of_a_manual_order_waits_for_its_capture(self) -> None:
        history = (*MANUAL, event(PaymentStarted), event(PaymentFailed))
        given(*history).when(command(RecordAuthorized)).then(event(PaymentAuthorized)).then_state(Authorized)

    def test_a_late_success_after_a_cancellation_is_accepted(self) -> None:
        history = (*REQUIRES_ACTION, event(OrderCancelled))
        given(*history).when(command(RecordCaptured)).then(event(PaymentCaptured)).then_state(Captured)

    def test_a_late_authorization_after_a_cancellation_is_voided_at_once(self) -> None:
        history = (*REQUIRES_ACTION, event(OrderCancelled, reason="sold out"))
        given(*history).when(command(RecordAuthorized)).then(
            event(PaymentAuthorized), event(CancelRequested, reason="sold out")
        )

    def test_a_late_authorization_after_a_cancellation_without_reason_says_why_it_is_voided(self) -> None:
        history = (*REQUIRES_ACTION, event(OrderCancelled))
        given(*history).when(command(RecordAuthorized)).then(
            event(PaymentAuthorized), event(CancelRequested, reason="authorized after the order was cancelled")
        )

    @pytest.mark.parametrize("history", [CALLING_OFF, (*CALLING_OFF, event(PaymentProcessing))])
    def test_an_authorization_while_being_cancelled_is_voided_at_once(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordAuthorized)).then(
            event(PaymentAuthorized), event(CancelRequested, reason="sold out")
        )

    def test_an_authorization_of_a_payment_that_the_processor_ended_is_stale(self) -> None:
        history = (*PROCESSING, event(OrderCancelled, processor_transaction_id="pi_1"))
        given(*history).when(command(RecordAuthorized)).then_nothing()
        given(*history).when(command(RecordAuthorized, processor_transaction_id="pi_9")).then(
            event(PaymentAuthorized, processor_transaction_id="pi_9"),
            event(CancelRequested, reason="authorized after the order was cancelled"),
        )

    @pytest.mark.parametrize("report", [RecordFailed, RecordVoided, RecordProcessing, RecordActionRequired])
    def test_a_late_failure_never_undoes_a_capture(self, report: type[Any]) -> None:
        given(*CAPTURED).when(command(report)).then_nothing().then_state(Captured)

    @pytest.mark.parametrize("report", [RecordFailed, RecordProcessing, RecordActionRequired])
    def test_a_late_failure_never_undoes_an_authorization(self, report: type[Any]) -> None:
        given(*AUTHORIZED).when(command(report)).then_nothing().then_state(Authorized)

    @pytest.mark.parametrize("report", [RecordFailed, RecordVoided, RecordProcessing, RecordActionRequired])
    def test_a_late_report_of_an_earlier_attempt_does_not_touch_the_current_one(self, report: type[Any]) -> None:
        given(*SECOND).when(command(report, attempt=1)).then_nothing().then_state(
            lambda state: state.attempt.number == 2
        )

    def test_a_late_success_of_an_earlier_attempt_counts_and_the_other_attempt_is_not_forgotten(self) -> None:
        given(*SECOND).when(command(RecordCaptured, attempt=1)).then(event(PaymentCaptured, attempt=1)).then_state(
            lambda state: state.attempt.number == 1 and [a.number for a in state.facts.other_attempts] == [2]
        )

    def test_the_other_attempts_failure_is_then_of_no_consequence(self) -> None:
        history = (*SECOND, event(PaymentCaptured, attempt=1))
        given(*history).when(command(RecordFailed, attempt=2)).then_nothing()

    def test_a_failed_payments_id_is_not_taken_for_the_one_that_succeeds_later(self) -> None:
        history = (*PROCESSING, event(PaymentFailed, processor_order_id="order_1", processor_transaction_id="pay_1"))
        given(*history).when(command(RecordCaptured, **NO_IDS)).then(event(PaymentCaptured, **NO_IDS)).then_state(
            lambda state: (
                state.attempt.processor_order_id == "order_1" and state.attempt.processor_transaction_id is None
            )
        )


class TestTwiceIsOnce:
    @pytest.mark.parametrize(
        ("history", "report"),
        [
            (PROCESSING, RecordActionRequired),
            (REQUIRES_ACTION, RecordProcessing),
            (PROCESSING, RecordAuthorized),
            (PROCESSING, RecordCaptured),
            (PROCESSING, RecordFailed),
            (PROCESSING, RecordVoided),
            (PROCESSING, RecordOutcomeUnknown),
            (CALLING_OFF, RecordCancelFailed),
            ((*AUTHORIZED, event(CaptureRequested)), RecordCaptureFailed),
            (CALLING_OFF, RecordFailed),
            ((*REQUIRES_ACTION, event(OrderCancelled)), RecordAuthorized),
        ],
    )
    def test_the_same_report_again_changes_nothing(self, history: tuple[Event, ...], report: type[Any]) -> None:
        asked = command(report)
        given(*history).when(asked, asked).then_nothing()


class TestFailureAndEndInAnyOrder:
    def test_an_end_after_a_failure_cancels(self) -> None:
        given(*FAILED).when(command(RecordVoided, reason="abandoned")).then(
            event(OrderCancelled, reason="abandoned", processor_transaction_id="pi_1")
        )

    def test_a_failure_after_an_end_says_nothing(self) -> None:
        history = (*PROCESSING, event(OrderCancelled, processor_transaction_id="pi_1"))
        given(*history).when(command(RecordFailed)).then_nothing().then_state(Cancelled)

    def test_an_end_of_an_earlier_attempt_does_not_cancel(self) -> None:
        history = (*SECOND, event(PaymentFailed, attempt=2))
        given(*history).when(command(RecordVoided, attempt=1)).then_nothing().then_state(Failed)

    def test_an_end_of_another_payment_than_the_held_one_does_not_cancel(self) -> None:
        held = (*PROCESSING, event(PaymentAuthorized, processor_transaction_id="pay_1"))
        given(*held).when(command(RecordVoided, processor_transaction_id="pay_2")).then_nothing()

    @pytest.mark.parametrize(
        ("history", "report", "expected"),
        [
            ((*CALLING_OFF, event(PaymentProcessing)), command(RecordFailed), None),
            (CALLING_OFF, command(RecordFailed, ended=True), "pi_1"),
            (CALLING_OFF, command(RecordFailed, ended=True, processor_transaction_id=None), "pi_1"),
        ],
    )
    def test_only_an_end_names_the_payment_that_is_over(
        self, history: tuple[Event, ...], report: Any, expected: str | None
    ) -> None:
        given(*history).when(report).then(event(OrderCancelled, reason="sold out", processor_transaction_id=expected))

    @pytest.mark.parametrize("history", [CALLING_OFF, (*CALLING_OFF, event(PaymentProcessing))])
    def test_a_failure_while_being_cancelled_is_the_end(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordFailed)).then(event(OrderCancelled, reason="sold out"))


class TestAnEndOfOurs:
    """We gave up waiting for the customer and had the processor end the payment: a failure, not a cancellation."""

    GAVE_UP = command(RecordFailed, code="action_timeout", decline_code=None, ended=True)
    TIMED_OUT = event(PaymentFailed, code="action_timeout", decline_code=None, ended=True)
    ENDED = event(OrderCancelled, reason="abandoned", processor_transaction_id="pi_1")

    def test_the_order_has_failed_and_can_be_paid_again(self) -> None:
        given(*REQUIRES_ACTION).when(self.GAVE_UP).then(self.TIMED_OUT).then_state(Failed)
        given(*REQUIRES_ACTION).when(self.GAVE_UP, command(StartPayment, payment_method_token="pm_other")).then(
            event(
                PaymentStarted,
                attempt=2,
                payment_method_token="pm_other",
                workflow_id=f"payment-{ORDER_ID}-2",
            )
        )

    def test_the_processors_word_of_it_changes_nothing(self) -> None:
        given(*REQUIRES_ACTION, self.TIMED_OUT).when(command(RecordVoided)).then_nothing()

    def test_the_processors_word_of_it_may_come_first(self) -> None:
        given(*REQUIRES_ACTION, self.ENDED).when(self.GAVE_UP).then(self.TIMED_OUT).then_state(Failed)
        given(*FAILED, self.ENDED).when(self.GAVE_UP).then(self.TIMED_OUT)
        nameless = event(OrderCancelled)
        given(*PROCESSING, nameless).when(self.GAVE_UP).then(self.TIMED_OUT)

    def test_an_end_of_another_payment_is_not_it(self) -> None:
        other = command(RecordFailed, ended=True, processor_transaction_id="pi_9")
        given(*REQUIRES_ACTION, self.ENDED).when(other).then_nothing()
        given(*PROCESSING, event(PaymentAuthorized, processor_transaction_id="pi_2")).when(
            command(RecordFailed, ended=True)
        ).then_nothing()

    @pytest.mark.parametrize(
        "history",
        [CANCELLED, (*FAILED, event(OrderCancelled)), (*CALLING_OFF, ENDED), (*AUTHORIZED, event(CancelRequested))],
    )
    def test_it_does_not_undo_what_the_merchant_asked_for(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordFailed, ended=True, processor="stripe")).then_nothing()

    def test_a_hold_that_it_released_is_no_money(self) -> None:
        given(*PROCESSING, event(PaymentAuthorized)).when(self.GAVE_UP).then(self.TIMED_OUT).then_state(Failed)
        given(*REQUIRES_ACTION, self.TIMED_OUT).when(command(RecordAuthorized)).then_nothing()

    def test_a_hold_of_it_is_stale_also_after_the_merchant_cancelled(self) -> None:
        history = (*REQUIRES_ACTION, self.TIMED_OUT, event(OrderCancelled))
        given(*history).when(command(RecordAuthorized)).then_nothing()

    def test_it_is_told_after_a_mere_failure_too(self) -> None:
        given(*FAILED).when(self.GAVE_UP).then(self.TIMED_OUT).then_state(lambda state: state.ended)
        given(*FAILED).when(self.GAVE_UP, self.GAVE_UP).then_nothing()

    def test_money_taken_before_the_end_counts(self) -> None:
        given(*REQUIRES_ACTION, self.TIMED_OUT).when(command(RecordCaptured)).then(event(PaymentCaptured))
        given(*CAPTURED).when(self.GAVE_UP).then_nothing()


class TestAmounts:
    @pytest.mark.parametrize("amount", [0, -1, AMOUNT - 1, AMOUNT + 1, 2**53])
    @pytest.mark.parametrize("report", [RecordAuthorized, RecordCaptured])
    def test_another_amount_than_the_orders_is_never_taken_for_it(self, report: type[Any], amount: int) -> None:
        asked = command(report, amount=amount)
        given(*PROCESSING).when(asked).then_raises(AmountMismatch, match=str(amount), param="amount")
        given(*CAPTURED).when(asked).then_raises(AmountMismatch)

    @pytest.mark.parametrize("amount", [0, AMOUNT + 1])
    def test_a_manual_capture_is_of_something_and_at_most_the_order(self, amount: int) -> None:
        given(*AUTHORIZED).when(command(RecordCaptured, amount=amount)).then_raises(AmountMismatch)

    def test_a_hold_is_always_of_the_whole_order(self) -> None:
        history = (*MANUAL, event(PaymentStarted))
        given(*history).when(command(RecordAuthorized, amount=AMOUNT - 1)).then_raises(AmountMismatch)

    @pytest.mark.parametrize("report", [RecordAuthorized, RecordCaptured])
    def test_another_currency_than_the_orders_is_never_taken_for_it(self, report: type[Any]) -> None:
        given(*PROCESSING).when(command(report, currency="JPY")).then_raises(
            AmountMismatch, match="JPY", param="currency"
        )
        given(*PROCESSING).when(command(report, currency="USD")).then_state(lambda state: status(state) != "processing")


class TestUnknownOutcomes:
    def test_no_answer_is_not_a_failure(self) -> None:
        given(*PROCESSING).when(command(RecordOutcomeUnknown)).then(event(PaymentOutcomeUnknown)).then_state(
            lambda state: status(state) == "processing" and state.outcome_unknown
        )

    @pytest.mark.parametrize(
        "report", [RecordActionRequired, RecordAuthorized, RecordCaptured, RecordFailed, RecordVoided]
    )
    def test_a_doubt_ends_with_the_outcome(self, report: type[Any]) -> None:
        history = (*PROCESSING, event(PaymentOutcomeUnknown))
        given(*history).when(command(report)).then_state(
            lambda state: status(state) != "processing" and not getattr(state, "outcome_unknown", False)
        )

    def test_still_processing_is_no_outcome(self) -> None:
        given(*PROCESSING, event(PaymentOutcomeUnknown)).when(command(RecordProcessing)).then_nothing().then_state(
            lambda state: state.outcome_unknown
        )
        given(*REQUIRES_ACTION, event(PaymentOutcomeUnknown)).when(command(RecordProcessing)).then(
            event(PaymentProcessing)
        ).then_state(lambda state: state.outcome_unknown)

    def test_the_customer_still_being_waited_for_ends_the_doubt(self) -> None:
        given(*REQUIRES_ACTION, event(PaymentOutcomeUnknown)).when(
            command(RecordActionRequired, redirect_url=None)
        ).then(event(PaymentActionRequired, redirect_url=None, client_secret=None)).then_state(
            lambda state: not state.outcome_unknown
        )

    def test_a_capture_in_doubt(self) -> None:
        history = (*AUTHORIZED, event(CaptureRequested))
        doubt = event(PaymentOutcomeUnknown, operation="capture")
        given(*history).when(command(RecordOutcomeUnknown, operation="capture")).then(doubt)
        given(*history, doubt).when(command(RecordCaptureFailed)).then(event(CaptureFailed)).then_state(
            lambda state: not state.outcome_unknown and state.capture is None
        )

    def test_a_void_in_doubt(self) -> None:
        history = (*AUTHORIZED, event(CancelRequested))
        doubt = event(PaymentOutcomeUnknown, operation="void")
        given(*history).when(command(RecordOutcomeUnknown, operation="void")).then(doubt)
        given(*history, doubt).when(command(RecordCancelFailed)).then(event(CancelFailed)).then_state(
            lambda state: not state.outcome_unknown and state.cancel is None
        )

    @pytest.mark.parametrize("operation", ["payment", "capture", "void"])
    def test_a_doubt_about_what_is_not_under_way_is_none(self, operation: str) -> None:
        given(*AUTHORIZED).when(command(RecordOutcomeUnknown, operation=operation)).then_nothing()

    def test_an_automatic_capture_can_be_in_doubt(self) -> None:
        history = (*PROCESSING, event(PaymentAuthorized))
        given(*history).when(command(RecordOutcomeUnknown, operation="capture")).then(
            event(PaymentOutcomeUnknown, operation="capture")
        )

    def test_a_doubt_about_an_earlier_attempt_is_none(self) -> None:
        given(*SECOND).when(command(RecordOutcomeUnknown, attempt=1)).then_nothing()


class TestRefusals:
    def test_a_refused_capture_leaves_the_authorization(self) -> None:
        history = (*AUTHORIZED, event(CaptureRequested))
        given(*history).when(command(RecordCaptureFailed)).then(event(CaptureFailed)).then_state(Authorized)

    @pytest.mark.parametrize("history", [CALLING_OFF, (*CALLING_OFF, event(PaymentProcessing))])
    def test_a_refused_cancellation_leaves_the_payment(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(RecordCancelFailed)).then(event(CancelFailed)).then_state(
            lambda state: state.cancel is None
        )

    def test_capture_wins_over_a_void_that_comes_too_late(self) -> None:
        history = (*AUTHORIZED, event(CancelRequested), event(PaymentCaptured))
        given(*history).when(command(RecordCancelFailed)).then_nothing().then_state(Captured)

    def test_a_refusal_of_another_attempts_void_is_not_the_current_ones(self) -> None:
        history = (*AUTHORIZED, event(CancelRequested))
        given(*history).when(command(RecordCancelFailed, attempt=2)).then_nothing()
        given(*history).when(command(RecordCancelFailed, attempt=1)).then(event(CancelFailed))

    def test_a_cancellation_outlives_the_customers_action(self) -> None:
        given(*CALLING_OFF).when(command(RecordProcessing)).then(event(PaymentProcessing)).then_state(
            lambda state: state.cancel.reason == "sold out"
        )
        given(*CALLING_OFF).when(command(RecordProcessing), command(RecordActionRequired)).then_state(
            lambda state: isinstance(state, RequiresAction) and state.cancel is not None
        )
