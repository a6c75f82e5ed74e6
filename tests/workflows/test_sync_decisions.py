"""What a sync decides, without a database: which effects its events have, and what of an answer is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from payloops.events import order as e
from payloops.events.base import Event
from payloops.workflows_bridge import outbox
from payloops.workflows_bridge.contracts import Kind
from payloops.workflows_bridge.machines.results import Outcome, Told
from payloops.workflows_bridge.sync import refunded_payments, report_of, word_of
from tests.spec import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    FAILED,
    MERCHANT_ID,
    ORDER_ID,
    PENDING,
    PROCESSING,
    REQUIRES_ACTION,
    SURPLUS_REFUND_ID,
    event,
    numbered,
    state_after,
)

DOUBT = (*PROCESSING, event(e.PaymentOutcomeUnknown))
SECOND = (*FAILED, event(e.PaymentStarted, attempt=2))


def rows(*history: Event) -> list[dict[str, Any]]:
    """The effects of the last event of a history."""
    *before, last = numbered(history)
    return outbox.intents(state_after(*before), last, state_after(*history))  # type: ignore[arg-type]


def finished(outcome: str, *, changed: bool = False, attempt: int = 1) -> e.SyncFinished:
    answer = {"about": "payment", "attempt": attempt, "outcome": outcome}
    return event(e.SyncFinished, answers=(answer,), changed=changed)


def test_a_question_goes_to_the_relay_in_a_lane_of_its_own() -> None:
    (row,) = rows(*CAPTURED, event(e.SyncRequested))
    assert (row["kind"], row["key"], row["lane"]) == (Kind.SYNC, f"sync-{ORDER_ID}", f"sync:{MERCHANT_ID}")
    assert row["payload"] == {"orderId": str(ORDER_ID), "merchantId": str(MERCHANT_ID), "number": 1}


@pytest.mark.parametrize(
    ("history", "end"),
    [
        (DOUBT, finished("captured", changed=True)),
        (DOUBT, finished("not_found")),
        (REQUIRES_ACTION, finished("captured", changed=True)),
    ],
)
def test_the_workflow_is_told_what_it_can_do_something_about(history: tuple[Event, ...], end: Event) -> None:
    (row,) = rows(*history, event(e.SyncRequested), end)
    assert (row["kind"], row["key"], row["lane"]) == (Kind.SIGNAL, f"payment-{ORDER_ID}", f"stripe:{MERCHANT_ID}")
    assert (row["payload"]["signal"], row["payload"]["attempt"]) == ("askNow", 1)


@pytest.mark.parametrize(
    ("history", "end"),
    [
        (DOUBT, finished("unanswered")),
        (DOUBT, finished("not_found", attempt=2)),
        (PROCESSING, finished("not_found")),
        (CAPTURED, finished("captured")),
        ((*PENDING, event(e.PaymentDiscovered)), finished("captured", changed=True)),
    ],
    ids=["nothing learnt", "of another attempt", "being made", "no news", "no workflow"],
)
def test_otherwise_it_is_left_alone(history: tuple[Event, ...], end: Event) -> None:
    assert rows(*history, event(e.SyncRequested), end) == []


def reported(told: Told, *history: Event, attempt: int = 1) -> str | None:
    report = report_of(Outcome(told, amount=1000), state_after(*history), attempt)
    return None if report is None else str(report["report"])


@pytest.mark.parametrize("told", [Told.CAPTURED, Told.AUTHORIZED])
@pytest.mark.parametrize("attempt", [1, 2])
def test_money_counts_of_every_attempt(told: Told, attempt: int) -> None:
    assert reported(told, *SECOND, attempt=attempt) == told


@pytest.mark.parametrize(("told", "report"), [(Told.DECLINED, "failed"), (Told.VOIDED, "voided")])
def test_an_end_is_of_the_current_attempt_only(told: Told, report: str) -> None:
    assert reported(told, *SECOND, attempt=2) == report
    assert reported(told, *SECOND, attempt=1) is None


def test_that_the_customer_has_acted_is_news_only_while_he_is_waited_for() -> None:
    assert reported(Told.PROCESSING, *REQUIRES_ACTION) == "processing"
    assert reported(Told.PROCESSING, *PROCESSING) is None
    assert reported(Told.PROCESSING, *DOUBT) is None
    assert reported(Told.PROCESSING, *REQUIRES_ACTION, attempt=2) is None


def test_a_customers_action_is_news_only_where_it_ends_a_doubt() -> None:
    assert reported(Told.ACTION_REQUIRED, *DOUBT) == "action_required"
    assert reported(Told.ACTION_REQUIRED, *PROCESSING) is None
    assert reported(Told.ACTION_REQUIRED, *REQUIRES_ACTION) is None
    assert reported(Told.ACTION_REQUIRED, *FAILED) is None


@pytest.mark.parametrize("told", [Told.NOT_FOUND, Told.UNKNOWN, Told.RETRYABLE, Told.MISCONFIGURED])
@pytest.mark.parametrize("history", [DOUBT, REQUIRES_ACTION, AUTHORIZED, CAPTURED, FAILED])
def test_what_tells_nothing_is_never_recorded(told: Told, history: tuple[Event, ...]) -> None:
    assert reported(told, *history) is None


def test_no_answer_is_one_word() -> None:
    assert {word_of(Outcome(told)) for told in (Told.UNKNOWN, Told.RETRYABLE)} == {"unanswered"}
    assert word_of(Outcome(Told.NOT_FOUND)) == "not_found"


@pytest.mark.parametrize("history", [PENDING, DOUBT, AUTHORIZED, FAILED, CANCELLED])
def test_without_captured_money_there_are_no_refunds_to_ask_for(history: tuple[Event, ...]) -> None:
    assert refunded_payments(state_after(*history)) == ()


def test_a_surplus_payments_refund_is_asked_for_until_it_is_decided() -> None:
    history = (*SECOND, event(e.PaymentCaptured), event(e.SurplusPaymentCaptured))
    assert [one.processor_transaction_id for one in refunded_payments(state_after(*history))] == ["pi_1", "pi_2"]
    decided = (*history, event(e.RefundSucceeded, refund_id=SURPLUS_REFUND_ID))
    assert [one.processor_transaction_id for one in refunded_payments(state_after(*decided))] == ["pi_1"]
