"""What a merchant may ask of an order: the wire contract, "Order status"."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from payloops.commands.order import (
    ATTEMPTS_MAX,
    REFUNDS_MAX,
    CancelOrder,
    CapturePayment,
    CreateOrder,
    ProcessorOption,
    RefundPayment,
    StartPayment,
)
from payloops.errors import (
    InvalidInput,
    InvalidProcessor,
    InvalidStatus,
    NoProcessor,
    RefundExceedsCaptured,
    RuleViolation,
)
from payloops.events.base import Event, Sealed
from payloops.events.order import (
    CancelFailed,
    CancelRequested,
    CaptureFailed,
    CaptureRequested,
    OrderCancelled,
    OrderCreated,
    PaymentAuthorized,
    PaymentFailed,
    PaymentStarted,
    RefundFailed,
    RefundRequested,
    RefundSucceeded,
)
from payloops.events.order_state import Authorized, Cancelled, Captured, Pending, status
from payloops.values import AMOUNT_MAX
from tests.spec import (
    AMOUNT,
    AUTHORIZED,
    CAPTURED,
    FAILED,
    ORDER_ID,
    PENDING,
    PROCESSING,
    REFUND_ID,
    REQUIRES_ACTION,
    command,
    event,
    given,
)


class TestCreate:
    def test_an_order_begins_pending(self) -> None:
        given().when(command(CreateOrder)).then(event(OrderCreated)).then_state(Pending)

    def test_everything_that_was_asked_for_is_kept(self) -> None:
        asked: dict[str, Any] = {
            "customer_id": "c-1",
            "customer_email": Sealed("sealed"),
            "description": "Shoes",
            "metadata": {"size": [1, None, True, 2.5]},
            "return_url": "https://shop.example/back",
            "cancel_url": "https://shop.example/cancel",
            "capture_method": "manual",
            "test_mode": False,
        }
        given().when(command(CreateOrder, **asked)).then(event(OrderCreated, **asked))

    @pytest.mark.parametrize(
        ("amount", "currency"),
        [(1, "USD"), (1, "JPY"), (1, "KWD"), (500, "ISK"), (AMOUNT_MAX, "JPY"), (AMOUNT_MAX, "KWD")],
    )
    def test_amounts_are_minor_units_of_any_currency(self, amount: int, currency: str) -> None:
        asked = {"amount": amount, "currency": currency}
        given().when(command(CreateOrder, **asked)).then(event(OrderCreated, **asked))

    @pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1, 2**63])
    def test_an_amount_that_not_every_client_reads_exactly_is_refused(self, amount: int) -> None:
        given().when(command(CreateOrder, amount=amount)).then_raises(InvalidInput, param="amount")

    @pytest.mark.parametrize("currency", ["XXX", "usd", "XAU", "", "US"])
    def test_a_currency_that_there_is_not_is_refused(self, currency: str) -> None:
        given().when(command(CreateOrder, currency=currency)).then_raises(InvalidInput, param="currency")

    def test_an_id_is_used_once(self) -> None:
        given(*PENDING).when(command(CreateOrder)).then_raises(InvalidStatus, match="exists already")


class TestPay:
    def test_pay_needs_pending(self) -> None:
        given(*PENDING).when(command(StartPayment, payment_method_token="pm_card_visa")).then(event(PaymentStarted))

    def test_pay_after_a_failure_needs_another_token_and_is_the_next_attempt(self) -> None:
        given(*FAILED).when(command(StartPayment, payment_method_token="pm_other")).then(
            event(PaymentStarted, attempt=2, payment_method_token="pm_other", workflow_id=f"payment-{ORDER_ID}-2")
        )

    @pytest.mark.parametrize("token", ["pm_card_visa", None])
    def test_pay_after_a_failure_with_the_same_token_or_none_is_refused(self, token: str | None) -> None:
        asked = command(StartPayment, payment_method_token=token)
        given(*FAILED).when(asked).then_raises(InvalidStatus, match="other than the one that failed")

    def test_a_token_of_an_earlier_attempt_may_be_tried_again(self) -> None:
        history = (
            *FAILED,
            event(PaymentStarted, attempt=2, payment_method_token="pm_other"),
            event(PaymentFailed, attempt=2),
        )
        given(*history).when(command(StartPayment, payment_method_token="pm_card_visa")).then(
            event(PaymentStarted, attempt=3, workflow_id=f"payment-{ORDER_ID}-3")
        )

    def test_attempts_are_counted_on_from_the_last_one_also_when_an_earlier_one_failed_last(self) -> None:
        second = event(PaymentStarted, attempt=2, payment_method_token="pm_other")
        history = (*FAILED, second, event(PaymentAuthorized, attempt=1), event(PaymentFailed, attempt=1, ended=True))
        given(*history).when(command(StartPayment, payment_method_token="pm_third")).then(
            event(
                PaymentStarted,
                attempt=3,
                payment_method_token="pm_third",
                workflow_id=f"payment-{ORDER_ID}-3",
            )
        )

    def test_attempts_are_bounded(self) -> None:
        history: list[Event] = [*PENDING]
        for number in range(1, ATTEMPTS_MAX + 1):
            history += [event(PaymentStarted, attempt=number), event(PaymentFailed, attempt=number)]
        asked = command(StartPayment, payment_method_token="pm_other")
        given(*history).when(asked).then_raises(InvalidStatus, match=f"{ATTEMPTS_MAX} payment attempts")


class TestChooseProcessor:
    @staticmethod
    def options(**priorities: int) -> tuple[ProcessorOption, ...]:
        return tuple(
            ProcessorOption(name, enabled=True, priority=priority, test_mode=True)
            for name, priority in priorities.items()
        )

    @pytest.mark.parametrize(
        ("currency", "options", "chosen"),
        [
            ("USD", {"razorpay": 1, "stripe": 1}, "stripe"),
            ("INR", {"razorpay": 1, "stripe": 1}, "razorpay"),
            ("USD", {"razorpay": 1, "stripe": 2}, "razorpay"),
            ("INR", {"razorpay": 100, "stripe": 1}, "stripe"),
            ("EUR", {"razorpay": 7}, "razorpay"),
            ("INR", {"stripe": 7}, "stripe"),
        ],
    )
    def test_priority_decides_and_the_currency_between_equals(
        self, currency: str, options: dict[str, int], chosen: str
    ) -> None:
        asked = command(StartPayment, options=self.options(**options))
        outcome = given(event(OrderCreated, currency=currency)).when(asked)
        outcome.then(event(PaymentStarted, processor=chosen, payment_method_token=None))

    def test_a_named_processor_is_taken_whatever_the_priorities(self) -> None:
        asked = command(StartPayment, options=self.options(stripe=1, razorpay=9), processor="razorpay")
        given(*PENDING).when(asked).then(event(PaymentStarted, processor="razorpay", payment_method_token=None))

    @pytest.mark.parametrize("named", ["razorpay", "paypal"])
    def test_a_named_processor_must_be_configured_and_enabled(self, named: str) -> None:
        options = (*self.options(stripe=1), ProcessorOption("razorpay", enabled=False, priority=1, test_mode=True))
        asked = command(StartPayment, options=options, processor=named)
        given(*PENDING).when(asked).then_raises(InvalidProcessor, match=named, param="processor")

    def test_none_enabled_is_no_processor(self) -> None:
        options = (ProcessorOption("stripe", enabled=False, priority=1, test_mode=True),)
        given(*PENDING).when(command(StartPayment, options=options)).then_raises(NoProcessor)

    @pytest.mark.parametrize("test_mode", (True, False))
    def test_an_order_is_paid_by_a_configuration_of_its_own_mode_only(self, test_mode: bool) -> None:
        order = event(OrderCreated, test_mode=test_mode)
        other = ProcessorOption("stripe", enabled=True, priority=1, test_mode=not test_mode)
        own = ProcessorOption("razorpay", enabled=True, priority=9, test_mode=test_mode)
        given(order).when(command(StartPayment, options=(other,))).then_raises(NoProcessor, match="mode")
        given(order).when(command(StartPayment, options=(other,), processor="stripe")).then_raises(
            InvalidProcessor, match="mode", param="processor"
        )
        given(order).when(command(StartPayment, options=(other, own))).then(
            event(PaymentStarted, processor="razorpay", payment_method_token=None)
        )

    def test_the_status_is_judged_before_the_processor(self) -> None:
        given(*CAPTURED).when(command(StartPayment, options=())).then_raises(InvalidStatus)


class TestCapture:
    def test_capture_takes_all_that_is_authorized(self) -> None:
        given(*AUTHORIZED).when(command(CapturePayment)).then(event(CaptureRequested))

    def test_capture_takes_less_when_asked(self) -> None:
        given(*AUTHORIZED).when(command(CapturePayment, amount=1)).then(event(CaptureRequested, amount=1))

    def test_capture_of_more_than_authorized_is_refused(self) -> None:
        asked = command(CapturePayment, amount=AMOUNT + 1)
        given(*AUTHORIZED).when(asked).then_raises(RuleViolation, match=str(AMOUNT), param="amount")

    @pytest.mark.parametrize("amount", [0, -5])
    def test_capture_of_nothing_is_refused(self, amount: int) -> None:
        given(*AUTHORIZED).when(command(CapturePayment, amount=amount)).then_raises(InvalidInput, param="amount")

    def test_capture_is_for_manual_capture_only(self) -> None:
        history = (*PROCESSING, event(PaymentAuthorized))
        given(*history).when(command(CapturePayment)).then_raises(InvalidStatus, match="automatically")

    def test_capture_is_once_per_order(self) -> None:
        asked = command(CapturePayment)
        given(*AUTHORIZED).when(asked, asked).then_raises(InvalidStatus, match="under way")

    def test_capture_loses_to_a_cancellation_under_way(self) -> None:
        asked = command(CapturePayment)
        given(*AUTHORIZED).when(command(CancelOrder), asked).then_raises(InvalidStatus, match="being cancelled")

    def test_capture_may_be_asked_again_when_the_processor_refused_it(self) -> None:
        history = (*AUTHORIZED, event(CaptureRequested), event(CaptureFailed))
        given(*history).when(command(CapturePayment, amount=9)).then(
            event(CaptureRequested, amount=9, workflow_id=f"capture-{ORDER_ID}-2")
        )


class TestCancel:
    @pytest.mark.parametrize("history", [PENDING, FAILED])
    def test_cancel_ends_pending_and_failed_at_once(self, history: tuple[Event, ...]) -> None:
        given(*history).when(command(CancelOrder, reason="changed my mind")).then(
            event(OrderCancelled, reason="changed my mind")
        ).then_state(Cancelled)

    def test_cancel_voids_what_is_authorized(self) -> None:
        given(*AUTHORIZED).when(command(CancelOrder)).then(event(CancelRequested)).then_state(Authorized)

    def test_cancel_calls_off_the_customers_action_through_the_payments_workflow(self) -> None:
        given(*REQUIRES_ACTION).when(command(CancelOrder)).then(
            event(CancelRequested, workflow_id=f"payment-{ORDER_ID}")
        )

    def test_cancel_twice_is_refused(self) -> None:
        asked = command(CancelOrder)
        given(*REQUIRES_ACTION).when(asked, asked).then_raises(InvalidStatus, match="being cancelled")

    def test_cancel_loses_to_a_capture_under_way(self) -> None:
        given(*AUTHORIZED).when(command(CapturePayment), command(CancelOrder)).then_raises(
            InvalidStatus, match="capture of this order is under way"
        )

    def test_cancel_of_a_called_off_action_does_not_use_up_the_voids_first_id(self) -> None:
        called_off = event(CancelRequested, workflow_id=f"payment-{ORDER_ID}")
        history = (*REQUIRES_ACTION, called_off, event(CancelFailed), event(PaymentAuthorized))
        given(*history).when(command(CancelOrder)).then(event(CancelRequested, workflow_id=f"void-{ORDER_ID}"))

    def test_cancel_may_be_asked_again_when_the_processor_refused_it(self) -> None:
        history = (*AUTHORIZED, event(CancelRequested), event(CancelFailed))
        given(*history).when(command(CancelOrder)).then(event(CancelRequested, workflow_id=f"void-{ORDER_ID}-2"))


class TestRefund:
    def test_refund_gives_back_all_that_is_left(self) -> None:
        given(*CAPTURED).when(command(RefundPayment)).then(event(RefundRequested)).then_state(
            lambda state: status(state) == "captured" and state.refundable == 0
        )

    def test_refunds_in_parts_end_refunded(self) -> None:
        first = (event(RefundRequested, amount=400), event(RefundSucceeded))
        second_id = UUID(int=9)
        given(*CAPTURED, *first).when(command(RefundPayment, refund_id=second_id, reason="broken")).then(
            event(
                RefundRequested,
                refund_id=second_id,
                amount=600,
                reason="broken",
                workflow_id=f"refund-{second_id}",
            )
        ).then_state(lambda state: status(state) == "partially_refunded")

    def test_pending_and_succeeded_refunds_together_stay_within_the_capture(self) -> None:
        history = (*CAPTURED, event(RefundRequested, amount=400))
        asked = command(RefundPayment, refund_id=UUID(int=9), amount=601)
        given(*history).when(asked).then_raises(RefundExceedsCaptured, match="600", param="amount")

    def test_nothing_left_is_refused(self) -> None:
        history = (*CAPTURED, event(RefundRequested), event(RefundSucceeded))
        asked = command(RefundPayment, refund_id=UUID(int=9))
        given(*history).when(asked).then_raises(RefundExceedsCaptured, match="Nothing is left to refund")

    @pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1])
    def test_refund_of_no_possible_amount_is_refused(self, amount: int) -> None:
        given(*CAPTURED).when(command(RefundPayment, amount=amount)).then_raises(InvalidInput, param="amount")

    def test_a_failed_refunds_amount_can_be_refunded_again(self) -> None:
        history = (*CAPTURED, event(RefundRequested), event(RefundFailed))
        second_id = UUID(int=9)
        given(*history).when(command(RefundPayment, refund_id=second_id)).then(
            event(RefundRequested, refund_id=second_id, workflow_id=f"refund-{second_id}")
        )

    def test_the_same_refund_asked_again_is_one_refund(self) -> None:
        asked = command(RefundPayment, amount=100)
        given(*CAPTURED).when(asked, asked).then_nothing().then_state(Captured)

    def test_refunds_are_bounded(self) -> None:
        history: list[Event] = [*PENDING, event(PaymentStarted), *CAPTURED[2:]]
        for number in range(1, REFUNDS_MAX + 1):
            history += [
                event(RefundRequested, refund_id=UUID(int=number), amount=1),
                event(RefundFailed, refund_id=UUID(int=number)),
            ]
        given(*history).when(command(RefundPayment, refund_id=REFUND_ID)).then_raises(
            InvalidStatus, match=f"{REFUNDS_MAX} refunds"
        )
