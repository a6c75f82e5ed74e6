"""What became of each attempt, as the order's events tell it."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.events import order as e
from payloops.events.base import Event
from payloops.projections.order_attempts import PaymentAttempt, payment_attempts
from tests.spec import AUTHORIZED, CANCELLED, CAPTURED, FAILED, PENDING, PROCESSING, REQUIRES_ACTION, event, numbered

DOUBT = event(e.PaymentOutcomeUnknown)
SECOND = event(e.PaymentStarted, attempt=2, processor="razorpay", workflow_id="payment-2")


def attempts(*history: Event) -> tuple[PaymentAttempt, ...]:
    return payment_attempts(numbered(history))  # type: ignore[arg-type]


def only(*history: Event) -> PaymentAttempt:
    (attempt,) = attempts(*history)
    return attempt


@pytest.mark.parametrize("history", [PENDING, CANCELLED])
def test_an_order_that_was_not_paid_has_none(history: tuple[Event, ...]) -> None:
    assert attempts(*history) == ()


@pytest.mark.parametrize(
    ("history", "status", "finished"),
    [
        (PROCESSING, "processing", False),
        (REQUIRES_ACTION, "requires_action", False),
        ((*REQUIRES_ACTION, event(e.PaymentProcessing)), "processing", False),
        (AUTHORIZED, "authorized", False),
        (CAPTURED, "captured", True),
        (FAILED, "failed", True),
        ((*FAILED, event(e.OrderCancelled)), "failed", True),
        ((*FAILED, event(e.PaymentCaptured)), "captured", True),
        ((*AUTHORIZED, event(e.CancelRequested), event(e.OrderCancelled)), "cancelled", True),
    ],
)
def test_where_it_stands(history: tuple[Event, ...], status: str, *, finished: bool) -> None:
    attempt = only(*history)
    assert (attempt.status, attempt.finished_at is not None) == (status, finished)


@pytest.mark.parametrize(
    ("history", "unknown"),
    [
        ((*PROCESSING, DOUBT), True),
        ((*PROCESSING, DOUBT, event(e.PaymentIdentified)), True),
        ((*PROCESSING, DOUBT, event(e.PaymentActionRequired)), False),
        ((*PROCESSING, DOUBT, event(e.PaymentCaptured)), False),
        ((*PROCESSING, DOUBT, event(e.PaymentFailed)), False),
        ((*AUTHORIZED, event(e.CaptureRequested), event(e.PaymentOutcomeUnknown, operation="capture")), True),
        ((*AUTHORIZED, DOUBT, event(e.CaptureFailed)), False),
        ((*AUTHORIZED, DOUBT, event(e.CancelFailed)), False),
        ((*AUTHORIZED, DOUBT, event(e.OrderCancelled)), False),
    ],
)
def test_a_doubt_lasts_until_it_is_known(history: tuple[Event, ...], *, unknown: bool) -> None:
    assert only(*history).outcome_unknown is unknown


def test_a_failed_one_says_why_and_keeps_the_processors_id() -> None:
    failed = event(e.PaymentFailed, code="card_declined", processor_transaction_id="pi_failed")
    attempt = only(*PROCESSING, failed)
    assert attempt.failure is not None
    assert (attempt.failure.code, attempt.processor_transaction_id) == ("card_declined", "pi_failed")
    assert only(*PROCESSING, failed, event(e.PaymentCaptured)).failure is None


def test_the_last_comes_first() -> None:
    second, first = attempts(*FAILED, SECOND)
    assert (second.number, second.processor, second.status) == (2, "razorpay", "processing")
    assert (first.number, first.status, first.workflow_id) == (1, "failed", event(e.PaymentStarted).workflow_id)


def test_a_late_success_is_of_its_own_attempt() -> None:
    second, first = attempts(*FAILED, SECOND, event(e.PaymentCaptured), event(e.PaymentFailed, attempt=2))
    assert (first.status, second.status) == ("captured", "failed")


@pytest.mark.parametrize(
    ("surplus", "status"),
    [
        (event(e.SurplusPaymentCaptured, attempt=1), "captured"),
        (event(e.SurplusPaymentAuthorized, attempt=1), "authorized"),
    ],
)
def test_a_payment_too_many_is_marked(surplus: Any, status: str) -> None:
    second, first = attempts(*FAILED, SECOND, event(e.PaymentCaptured, attempt=2), surplus)
    assert (second.status, second.surplus) == ("captured", False)
    assert (first.status, first.surplus, first.failure) == (status, True, None)


def test_a_second_payment_of_one_attempt_does_not_hide_the_first() -> None:
    attempt = only(*CAPTURED, event(e.SurplusPaymentCaptured, attempt=1, processor_transaction_id="pi_2"))
    assert (attempt.status, attempt.surplus, attempt.processor_transaction_id) == ("captured", False, "pi_1")


def test_one_that_was_begun_elsewhere_has_no_start() -> None:
    attempt = only(*PENDING, event(e.PaymentDiscovered), event(e.PaymentCaptured))
    assert (attempt.started_at, attempt.workflow_id, attempt.status) == (None, None, "captured")
