"""An external worker's ``updateOrderStatus``: any order status, with ids or without, never an attempt or an amount."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.commands.order_reports import RecordStatus
from payloops.errors import InvalidInput, InvalidStatus
from payloops.events.base import Event
from payloops.events.order import (
    CancelFailed,
    CancelRequested,
    CaptureFailed,
    CaptureRequested,
    OrderCancelled,
    PaymentActionRequired,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDiscovered,
    PaymentFailed,
    PaymentIdentified,
    PaymentProcessing,
    PaymentStarted,
    SurplusPaymentCaptured,
)
from payloops.events.order_state import Captured
from tests.spec import (
    AUTHORIZED,
    CAPTURED,
    FAILED,
    PENDING,
    PROCESSING,
    REQUIRES_ACTION,
    command,
    event,
    given,
)

IDS = {"processor_order_id": "pi_1", "processor_transaction_id": "ch_1"}
NO_IDS: dict[str, Any] = {"processor_order_id": None, "processor_transaction_id": None}
NO_ACTION: dict[str, Any] = {"redirect_url": None, "client_secret": None}


@pytest.mark.parametrize("word", ["pending", "processing"])
def test_pending_from_a_worker_means_still_processing(word: str) -> None:
    given(*REQUIRES_ACTION).when(command(RecordStatus, status=word)).then(event(PaymentProcessing))
    given(*PROCESSING).when(command(RecordStatus, status=word)).then_nothing()
    given(*PROCESSING).when(command(RecordStatus, status=word, **IDS)).then(event(PaymentIdentified, **IDS))


def test_requires_action() -> None:
    given(*PROCESSING).when(command(RecordStatus, status="requires_action")).then(
        event(PaymentActionRequired, **NO_IDS, **NO_ACTION)
    )


def test_authorized_is_of_the_orders_amount() -> None:
    given(*PROCESSING).when(command(RecordStatus, status="authorized", **IDS)).then(event(PaymentAuthorized, **IDS))


def test_captured_without_ids_or_amount_is_of_the_orders_amount() -> None:
    given(*PROCESSING).when(command(RecordStatus, status="captured")).then(event(PaymentCaptured, **NO_IDS))


def test_captured_is_of_the_amount_that_the_merchant_asked_to_capture() -> None:
    history = (*AUTHORIZED, event(CaptureRequested, amount=300))
    given(*history).when(command(RecordStatus, status="captured")).then(event(PaymentCaptured, amount=300, **NO_IDS))


def test_captured_twice_is_one_payment_also_when_only_one_report_has_ids() -> None:
    with_ids, without = command(RecordStatus, status="captured", **IDS), command(RecordStatus, status="captured")
    given(*PROCESSING).when(with_ids, without).then_nothing()
    given(*PROCESSING).when(without, with_ids).then(event(PaymentIdentified, **IDS))


def test_failed_has_the_workers_reason_or_says_that_it_gave_none() -> None:
    reason = {"code": "card_declined", "message": "No.", "decline_code": None}
    given(*PROCESSING).when(
        command(RecordStatus, status="failed", error_code="card_declined", error_message="No.", **IDS)
    ).then(event(PaymentFailed, **reason, **IDS))
    given(*PROCESSING).when(command(RecordStatus, status="failed")).then(
        event(
            PaymentFailed,
            code="payment_failed",
            message="The payment failed; the worker gave no reason.",
            decline_code=None,
            **NO_IDS,
        )
    )


def test_failed_while_a_capture_is_under_way_is_the_captures_failure() -> None:
    asked = command(RecordStatus, status="failed", error_code="card_declined", error_message="The card was declined.")
    given(*AUTHORIZED, event(CaptureRequested)).when(asked).then(event(CaptureFailed))
    given(*AUTHORIZED, event(CancelRequested)).when(asked).then(event(CancelFailed))
    given(*AUTHORIZED).when(asked).then_nothing()


def test_cancelled_ends_the_order() -> None:
    given(*AUTHORIZED, event(CancelRequested)).when(command(RecordStatus, status="cancelled")).then(
        event(OrderCancelled, released=1000, processor_transaction_id="pi_1")
    )


@pytest.mark.parametrize("word", ["partially_refunded", "refunded"])
def test_refunded_is_told_by_the_refunds(word: str) -> None:
    asked = command(RecordStatus, status=word)
    given(*CAPTURED).when(asked).then_nothing().then_state(Captured)
    given(*AUTHORIZED).when(asked).then_raises(InvalidStatus, match="authorized")


def test_a_status_that_there_is_not_is_refused() -> None:
    given(*PROCESSING).when(command(RecordStatus, status="done")).then_raises(InvalidInput, param="status")


class TestWhichAttempt:
    SECOND: tuple[Event, ...] = (
        *REQUIRES_ACTION,
        event(PaymentFailed),
        event(PaymentStarted, attempt=2, payment_method_token="pm_other"),
    )

    def test_the_current_one(self) -> None:
        ids = {"processor_order_id": "pi_2", "processor_transaction_id": "pi_2"}
        given(*self.SECOND).when(command(RecordStatus, status="captured", **ids)).then(
            event(PaymentCaptured, attempt=2, **ids)
        )

    @pytest.mark.parametrize("key", ["processor_order_id", "processor_transaction_id"])
    def test_an_earlier_one_whose_id_it_names(self, key: str) -> None:
        ids = NO_IDS | {key: "pi_1"}
        given(*self.SECOND).when(command(RecordStatus, status="captured", **ids)).then(
            event(PaymentCaptured, attempt=1, **ids)
        )

    def test_one_too_many(self) -> None:
        ids = {"processor_order_id": "pi_1", "processor_transaction_id": "pi_1"}
        own = event(PaymentCaptured, attempt=2, processor_order_id="pi_2", processor_transaction_id="pi_2")
        given(*self.SECOND, own).when(command(RecordStatus, status="captured", **ids)).then(
            event(SurplusPaymentCaptured, attempt=1, **ids)
        )


class TestAnOrderThatWasNeverPaid:
    def test_needs_the_processor_that_took_the_money(self) -> None:
        given(*PENDING).when(command(RecordStatus, status="captured")).then_raises(InvalidStatus)
        given(*PENDING).when(command(RecordStatus, status="captured", processor="stripe")).then(
            event(PaymentDiscovered, **NO_IDS), event(PaymentCaptured, **NO_IDS)
        )

    def test_a_step_says_nothing(self) -> None:
        given(*PENDING).when(command(RecordStatus, status="pending")).then_nothing()


def test_a_late_success_after_a_failure_is_accepted() -> None:
    given(*FAILED).when(command(RecordStatus, status="captured", **IDS)).then(event(PaymentCaptured, **IDS))
