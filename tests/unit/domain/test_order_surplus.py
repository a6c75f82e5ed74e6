"""A second payment of one order: it never counts as the order's; what it holds is released, what it took goes back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from payloops.commands.order_reports import (
    RecordAuthorized,
    RecordCancelFailed,
    RecordCaptured,
    RecordDiscoveredRefund,
    RecordRefundFailed,
    RecordRefundSucceeded,
    RecordRefundUnknown,
    RecordVoided,
)
from payloops.errors import AmountMismatch
from payloops.events.base import Event
from payloops.events.order import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentIdentified,
    PaymentStarted,
    RefundFailed,
    RefundOutcomeUnknown,
    RefundSucceeded,
    SurplusPaymentAuthorized,
    SurplusPaymentCaptured,
)
from payloops.events.order_state import Captured, status
from tests.spec import (
    CAPTURED,
    FAILED,
    MANUAL,
    ORDER_ID,
    PROCESSING,
    SURPLUS_REFUND_ID,
    command,
    event,
    given,
)

SECOND = (*FAILED, event(PaymentStarted, attempt=2, payment_method_token="pm_other"))
PI_2: dict[str, Any] = {"attempt": 2, "processor_order_id": "pi_2", "processor_transaction_id": "pi_2"}
NAMELESS_2: dict[str, Any] = {"attempt": 2, "processor_order_id": None, "processor_transaction_id": None}
FIRST_CAPTURED_LATE = (*SECOND, event(PaymentCaptured))
SECOND_CAPTURED = (*SECOND, event(PaymentCaptured, **PI_2))
SURPLUS = (*FIRST_CAPTURED_LATE, event(SurplusPaymentCaptured))
OTHER_ID = UUID(int=99)


class TestTwoAttemptsThatBothTakeMoney:
    def test_the_second_is_surplus_and_goes_back(self) -> None:
        given(*FIRST_CAPTURED_LATE).when(command(RecordCaptured, **PI_2)).then(
            event(SurplusPaymentCaptured)
        ).then_state(lambda state: state.captured == 1000 and state.refundable == 1000 and status(state) == "captured")

    def test_the_earlier_one_arriving_last_is_surplus_as_well(self) -> None:
        given(*SECOND_CAPTURED).when(command(RecordCaptured)).then(
            event(SurplusPaymentCaptured, attempt=1, processor_order_id="pi_1", processor_transaction_id="pi_1")
        )

    def test_reported_twice_it_goes_back_once(self) -> None:
        again = command(RecordCaptured, **PI_2, surplus_refund_id=OTHER_ID)
        given(*FIRST_CAPTURED_LATE).when(command(RecordCaptured, **PI_2), again).then_nothing()

    def test_reported_with_and_without_id_it_goes_back_once(self) -> None:
        nameless = command(RecordCaptured, **NAMELESS_2, surplus_refund_id=OTHER_ID)
        given(*SURPLUS).when(nameless).then_nothing()
        given(*FIRST_CAPTURED_LATE).when(nameless, command(RecordCaptured, **PI_2)).then(
            event(PaymentIdentified, **PI_2)
        ).then_state(lambda state: [one.processor_transaction_id for one in state.facts.surplus] == ["pi_2"])

    def test_it_is_surplus_even_when_no_id_of_either_is_known(self) -> None:
        nameless = {"processor_order_id": None, "processor_transaction_id": None}
        history = (*SECOND, event(PaymentCaptured, attempt=1, **nameless))
        given(*history).when(command(RecordCaptured, attempt=2, **nameless)).then(
            event(SurplusPaymentCaptured, **nameless)
        )

    def test_ids_known_from_its_course_go_with_it(self) -> None:
        history = (*SECOND, event(PaymentAuthorized, **PI_2), event(PaymentCaptured, attempt=1))
        given(*history).when(command(RecordCaptured, **NAMELESS_2)).then(event(SurplusPaymentCaptured))

    def test_another_amount_than_the_orders_is_not_given_back_unseen(self) -> None:
        given(*FIRST_CAPTURED_LATE).when(command(RecordCaptured, **PI_2, amount=1)).then_raises(AmountMismatch)


class TestOneAttemptThatTakesMoneyTwice:
    """A customer in Razorpay's checkout can pay one of its orders by several payments."""

    HISTORY = (*PROCESSING, event(PaymentCaptured, processor_order_id="order_1", processor_transaction_id="pay_1"))

    def test_the_second_payment_is_surplus(self) -> None:
        given(*self.HISTORY).when(
            command(RecordCaptured, processor_order_id="order_1", processor_transaction_id="pay_2")
        ).then(event(SurplusPaymentCaptured, attempt=1, processor_order_id="order_1", processor_transaction_id="pay_2"))

    def test_a_third_is_surplus_again(self) -> None:
        second = event(
            SurplusPaymentCaptured, attempt=1, processor_order_id="order_1", processor_transaction_id="pay_2"
        )
        third = {"processor_order_id": "order_1", "processor_transaction_id": "pay_3"}
        given(*self.HISTORY, second).when(command(RecordCaptured, **third, surplus_refund_id=OTHER_ID)).then(
            event(SurplusPaymentCaptured, attempt=1, **third, refund_id=OTHER_ID)
        )

    def test_its_ids_are_not_taken_for_the_first_ones(self) -> None:
        history = (*PROCESSING, event(PaymentAuthorized, processor_order_id=None, processor_transaction_id="pay_1"))
        again = command(RecordAuthorized, processor_order_id="order_1", processor_transaction_id="pay_2")
        given(*history).when(again, again).then_nothing().then_state(
            lambda state: state.attempt.processor_order_id is None
        )

    def test_an_id_of_another_kind_names_the_same_payment(self) -> None:
        given(*CAPTURED).when(command(RecordCaptured, processor_transaction_id="ch_77")).then_nothing()


class TestHeldTwice:
    def test_a_second_hold_is_released(self) -> None:
        history = (*SECOND, event(PaymentAuthorized, attempt=1))
        given(*history).when(command(RecordAuthorized, **PI_2)).then(event(SurplusPaymentAuthorized)).then_state(
            lambda state: state.facts.voids_requested == 1 and state.cancel is None
        )

    def test_a_hold_beside_a_capture_is_released(self) -> None:
        given(*FIRST_CAPTURED_LATE).when(command(RecordAuthorized, **PI_2)).then(event(SurplusPaymentAuthorized))

    def test_reported_twice_it_is_released_once(self) -> None:
        asked = command(RecordAuthorized, **PI_2)
        given(*FIRST_CAPTURED_LATE).when(asked, asked).then_nothing()

    def test_a_hold_that_another_payments_capture_overtakes_is_released(self) -> None:
        history = (*SECOND, event(PaymentAuthorized, **PI_2))
        given(*history).when(command(RecordCaptured, attempt=1)).then(
            event(PaymentCaptured, attempt=1), event(SurplusPaymentAuthorized)
        )

    def test_a_surplus_hold_that_takes_money_after_all_goes_back(self) -> None:
        history = (*FIRST_CAPTURED_LATE, event(SurplusPaymentAuthorized))
        given(*history).when(command(RecordCaptured, **PI_2)).then(event(SurplusPaymentCaptured)).then_state(
            lambda state: len(state.facts.surplus) == 1
        )

    def test_a_surplus_hold_that_takes_money_first_is_the_orders_own(self) -> None:
        history = (*SECOND, event(PaymentAuthorized, attempt=1), event(SurplusPaymentAuthorized))
        first_hold = {"attempt": 1, "processor_order_id": "pi_1", "processor_transaction_id": "pi_1"}
        given(*history).when(command(RecordCaptured, **PI_2)).then(
            event(PaymentCaptured, **PI_2),
            event(SurplusPaymentAuthorized, **first_hold, workflow_id=f"void-{ORDER_ID}-2"),
        ).then_state(lambda state: [one.attempt for one in state.facts.surplus] == [1])

    @pytest.mark.parametrize("report", [RecordVoided, RecordCancelFailed])
    def test_the_voids_result_is_not_the_orders(self, report: type[Any]) -> None:
        history = (*MANUAL, *SECOND[1:], event(PaymentAuthorized, attempt=1), event(SurplusPaymentAuthorized))
        given(*history).when(command(report, attempt=2)).then_nothing()


class TestTheSurplusRefund:
    @pytest.mark.parametrize(
        ("report", "expected"),
        [
            (RecordRefundSucceeded, RefundSucceeded),
            (RecordRefundFailed, RefundFailed),
            (RecordRefundUnknown, RefundOutcomeUnknown),
        ],
    )
    def test_its_result_is_recorded_and_leaves_the_orders_money_alone(
        self, report: type[Any], expected: type[Event]
    ) -> None:
        given(*SURPLUS).when(command(report, refund_id=SURPLUS_REFUND_ID)).then(
            event(expected, refund_id=SURPLUS_REFUND_ID)
        ).then_state(lambda state: state.refunded == 0 and state.refundable == 1000 and state.refunds == {})

    def test_a_late_success_counts_whatever_is_left_of_the_order(self) -> None:
        failed = event(RefundFailed, refund_id=SURPLUS_REFUND_ID, processor_refund_id=None)
        asked = command(RecordRefundSucceeded, refund_id=SURPLUS_REFUND_ID)
        given(*SURPLUS, failed).when(asked).then(event(RefundSucceeded, refund_id=SURPLUS_REFUND_ID))

    def test_found_at_the_processor_it_is_not_the_orders_refund(self) -> None:
        found = command(RecordDiscoveredRefund, amount=1000, processor_transaction_id="pi_2")
        given(*SURPLUS).when(found).then(
            event(RefundSucceeded, refund_id=SURPLUS_REFUND_ID, processor_refund_id="re_9")
        ).then_state(lambda state: status(state) == "captured")

    def test_a_part_of_it_given_back_by_hand_is_not_the_orders_refund(self) -> None:
        given(*SURPLUS).when(command(RecordDiscoveredRefund, processor_transaction_id="pi_2")).then_nothing()

    def test_another_refund_of_it_is_not_booked_on_the_order(self) -> None:
        done = event(RefundSucceeded, refund_id=SURPLUS_REFUND_ID)
        asked = command(RecordRefundSucceeded, refund_id=SURPLUS_REFUND_ID, processor_refund_id="re_8")
        given(*SURPLUS, done).when(asked).then_nothing().then_state(Captured)
