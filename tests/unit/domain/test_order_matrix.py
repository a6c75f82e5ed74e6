"""Every command in every state of an order: no cell of the table is undecided."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, get_args
from uuid import UUID

import pytest

from payloops.commands import order as commands
from payloops.commands import order_reports as reports
from payloops.commands.order_sync import RequestSync
from payloops.errors import (
    InvalidInput,
    InvalidStatus,
    NotFound,
    PayloopsError,
    RefundExceedsCaptured,
)
from payloops.events import order as e
from payloops.events.base import Event
from payloops.events.order_state import OrderState
from tests.spec import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    FAILED,
    ORDER_ID,
    PENDING,
    PROCESSING,
    REQUIRES_ACTION,
    command,
    event,
    given,
    state_after,
)

CALLED_OFF = event(e.CancelRequested, workflow_id=f"payment-{ORDER_ID}")
PART = event(e.RefundRequested, amount=400)

STATES: Final[Mapping[str, tuple[Event, ...]]] = MappingProxyType(
    {
        "absent": (),
        "pending": PENDING,
        "processing": PROCESSING,
        "processing_in_doubt": (*PROCESSING, event(e.PaymentOutcomeUnknown)),
        "processing_called_off": (*REQUIRES_ACTION, CALLED_OFF, event(e.PaymentProcessing)),
        "requires_action": REQUIRES_ACTION,
        "requires_action_called_off": (*REQUIRES_ACTION, CALLED_OFF),
        "authorized": AUTHORIZED,
        "authorized_automatic": (*PROCESSING, event(e.PaymentAuthorized)),
        "capturing": (*AUTHORIZED, event(e.CaptureRequested)),
        "voiding": (*AUTHORIZED, event(e.CancelRequested)),
        "captured": CAPTURED,
        "refund_pending": (*CAPTURED, PART),
        "partially_refunded": (*CAPTURED, PART, event(e.RefundSucceeded)),
        "refund_failed": (*CAPTURED, PART, event(e.RefundFailed)),
        "refunded": (*CAPTURED, event(e.RefundRequested), event(e.RefundSucceeded)),
        "failed": FAILED,
        "cancelled_unpaid": CANCELLED,
        "cancelled_void": (*AUTHORIZED, event(e.OrderCancelled, released=1000, processor_transaction_id="pi_1")),
    }
)

OPEN: Final = ("processing", "processing_in_doubt", "requires_action")
CALLED: Final = ("processing_called_off", "requires_action_called_off")
HELD: Final = ("authorized", "authorized_automatic", "capturing", "voiding")
WITH_REFUND: Final = ("refund_pending", "partially_refunded", "refund_failed", "refunded")
TAKEN: Final = ("captured", *WITH_REFUND)
UNPAID: Final = ("pending", "cancelled_unpaid")

Cell = type[PayloopsError] | tuple[type[Event], ...]
NOTHING: Final[Cell] = ()


def row(others: Cell, **cells: Cell) -> Mapping[str, Cell]:
    """One command's cells: an absent order is not found, states that are not named have the ``others`` cell."""
    return dict.fromkeys(STATES, others) | {"absent": NotFound} | cells


def cells(states: tuple[str, ...], cell: Cell) -> dict[str, Cell]:
    return dict.fromkeys(states, cell)


def status(word: str, processor: str | None = None) -> reports.RecordStatus:
    return command(reports.RecordStatus, status=word, processor=processor)


PAYMENT_STARTED: Final = (e.PaymentStarted,)
VOIDED_AT_ONCE: Final = (e.PaymentAuthorized, e.CancelRequested)
TAKEN_AT_ONCE: Final = (e.PaymentAuthorized, e.CaptureRequested)
AUTHORIZATION: Final = (
    cells(OPEN, (e.PaymentAuthorized,)) | cells(("failed",), TAKEN_AT_ONCE) | cells(CALLED, VOIDED_AT_ONCE)
)
CAPTURE: Final = cells((*OPEN, *CALLED, *HELD, "failed", "cancelled_void"), (e.PaymentCaptured,))
FAILURE: Final = cells(OPEN, (e.PaymentFailed,)) | cells(CALLED, (e.OrderCancelled,))
END: Final = cells((*OPEN, *CALLED, *HELD, "failed"), (e.OrderCancelled,))
REFUSED_UNPAID: Final = cells(UNPAID, InvalidStatus)

TABLE: Final[Mapping[str, tuple[Any, Mapping[str, Cell]]]] = MappingProxyType(
    {
        "create": (command(commands.CreateOrder), row(InvalidStatus, absent=(e.OrderCreated,))),
        "pay": (
            command(commands.StartPayment, payment_method_token="pm_card_visa"),
            row(InvalidStatus, pending=PAYMENT_STARTED),
        ),
        "pay_with_another_token": (
            command(commands.StartPayment, payment_method_token="pm_other"),
            row(InvalidStatus, pending=PAYMENT_STARTED, failed=PAYMENT_STARTED),
        ),
        "capture": (command(commands.CapturePayment), row(InvalidStatus, authorized=(e.CaptureRequested,))),
        "cancel": (
            command(commands.CancelOrder),
            row(
                InvalidStatus,
                **cells(("pending", "failed"), (e.OrderCancelled,)),
                **cells(("requires_action", "authorized", "authorized_automatic"), (e.CancelRequested,)),
            ),
        ),
        "refund": (
            command(commands.RefundPayment, refund_id=UUID(int=9), amount=100),
            row(InvalidStatus, **cells(TAKEN, (e.RefundRequested,)) | {"refunded": RefundExceedsCaptured}),
        ),
        "sync": (command(RequestSync), row((e.SyncRequested,), **REFUSED_UNPAID)),
        "sync_of_nobody": (command(reports.FinishSync), row(NOTHING)),
        "processing": (
            command(reports.RecordProcessing),
            row(NOTHING, **cells(("requires_action", "requires_action_called_off"), (e.PaymentProcessing,))),
        ),
        "action_required": (
            command(reports.RecordActionRequired),
            row(
                NOTHING,
                **cells(("processing", "processing_in_doubt", "processing_called_off"), (e.PaymentActionRequired,)),
            ),
        ),
        "authorization": (command(reports.RecordAuthorized), row(NOTHING, **AUTHORIZATION, **REFUSED_UNPAID)),
        "authorization_named": (
            command(reports.RecordAuthorized, processor="stripe"),
            row(
                NOTHING,
                **AUTHORIZATION,
                pending=(e.PaymentDiscovered, *TAKEN_AT_ONCE),
                cancelled_unpaid=(e.PaymentDiscovered, *VOIDED_AT_ONCE),
            ),
        ),
        "captured": (command(reports.RecordCaptured), row(NOTHING, **CAPTURE, **REFUSED_UNPAID)),
        "captured_named": (
            command(reports.RecordCaptured, processor="stripe"),
            row(NOTHING, **CAPTURE, **cells(UNPAID, (e.PaymentDiscovered, e.PaymentCaptured))),
        ),
        "failure": (command(reports.RecordFailed), row(NOTHING, **FAILURE, **REFUSED_UNPAID)),
        "failure_named": (
            command(reports.RecordFailed, processor="stripe"),
            row(NOTHING, **FAILURE, pending=(e.PaymentDiscovered, e.PaymentFailed)),
        ),
        "end": (command(reports.RecordVoided), row(NOTHING, **END, **REFUSED_UNPAID)),
        "end_named": (
            command(reports.RecordVoided, processor="stripe"),
            row(NOTHING, **END, pending=(e.PaymentDiscovered, e.OrderCancelled)),
        ),
        "payment_in_doubt": (
            command(reports.RecordOutcomeUnknown),
            row(
                NOTHING,
                **cells(("processing", "requires_action", *CALLED), (e.PaymentOutcomeUnknown,)),
                **REFUSED_UNPAID,
            ),
        ),
        "capture_in_doubt": (
            command(reports.RecordOutcomeUnknown, operation="capture"),
            row(NOTHING, **cells(("authorized_automatic", "capturing"), (e.PaymentOutcomeUnknown,)), **REFUSED_UNPAID),
        ),
        "void_in_doubt": (
            command(reports.RecordOutcomeUnknown, operation="void"),
            row(NOTHING, **cells(("voiding", *CALLED), (e.PaymentOutcomeUnknown,)), **REFUSED_UNPAID),
        ),
        "capture_refused": (
            command(reports.RecordCaptureFailed),
            row(NOTHING, capturing=(e.CaptureFailed,)),
        ),
        "cancel_refused": (
            command(reports.RecordCancelFailed),
            row(NOTHING, **cells(("voiding", *CALLED), (e.CancelFailed,))),
        ),
        "refund_succeeded": (
            command(reports.RecordRefundSucceeded),
            row(NotFound, **cells(WITH_REFUND, NOTHING) | {"refund_pending": (e.RefundSucceeded,)}),
        ),
        "refund_failed": (
            command(reports.RecordRefundFailed),
            row(NotFound, **cells(WITH_REFUND, (e.RefundFailed,)) | {"refund_failed": NOTHING}),
        ),
        "refund_in_doubt": (
            command(reports.RecordRefundUnknown),
            row(NotFound, **cells(WITH_REFUND, NOTHING) | {"refund_pending": (e.RefundOutcomeUnknown,)}),
        ),
        "refund_discovered": (
            command(reports.RecordDiscoveredRefund),
            row(
                InvalidStatus,
                **cells(TAKEN, (e.RefundDiscovered, e.RefundSucceeded)) | {"refunded": InvalidStatus},
            ),
        ),
        "refund_total": (
            command(reports.RecordCumulativeRefund, refunded_total=500),
            row(
                InvalidStatus,
                captured=(e.RefundDiscovered, e.RefundSucceeded),
                refund_pending=(e.RefundTotalTold, e.RefundDiscovered, e.RefundSucceeded),
                partially_refunded=(e.RefundDiscovered, e.RefundSucceeded),
                refund_failed=(e.RefundDiscovered, e.RefundSucceeded),
                refunded=NOTHING,
            ),
        ),
        "dispute": (command(reports.RecordDispute), row(InvalidStatus, **cells(TAKEN, (e.DisputeOpened,)))),
        "dispute_lost": (
            command(reports.RecordDispute, status="lost"),
            row(InvalidStatus, **cells(TAKEN, (e.DisputeOpened, e.DisputeLost))),
        ),
        "publish": (
            command(reports.PublishEvent),
            row((e.ExternalEventPublished,), **cells(TAKEN, NOTHING)),
        ),
        "publish_what_there_is_not": (command(reports.PublishEvent, event_type="order.created"), row(InvalidInput)),
        "worker_pending": (
            status("pending"),
            row(NOTHING, **cells(("requires_action", "requires_action_called_off"), (e.PaymentProcessing,))),
        ),
        "worker_authorized": (
            status("authorized"),
            row(NOTHING, **AUTHORIZATION, **REFUSED_UNPAID, cancelled_void=VOIDED_AT_ONCE),
        ),
        "worker_captured": (status("captured"), row(NOTHING, **CAPTURE, **REFUSED_UNPAID)),
        "worker_failed": (
            status("failed"),
            row(NOTHING, **FAILURE, **REFUSED_UNPAID, capturing=(e.CaptureFailed,), voiding=(e.CancelFailed,)),
        ),
        "worker_cancelled": (status("cancelled"), row(NOTHING, **END, **REFUSED_UNPAID)),
        "worker_refunded": (status("refunded"), row(InvalidStatus, **cells(TAKEN, NOTHING))),
    }
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("asked", TABLE)
def test_cell(asked: str, state: str) -> None:
    what, expected_by_state = TABLE[asked]
    expected = expected_by_state[state]
    outcome = given(*STATES[state]).when(what)
    if isinstance(expected, tuple):
        assert tuple(type(happened) for happened in outcome.then_state(lambda _: True).events) == expected
    else:
        outcome.then_raises(expected)


def test_the_table_has_every_command() -> None:
    every = {*get_args(commands.OrderRequest), *get_args(reports.OrderReport)}
    assert {type(what) for what, _ in TABLE.values()} == every


def test_the_table_has_every_state() -> None:
    assert {type(state_after(*history)) for history in STATES.values()} == set(get_args(OrderState))
    assert all(expected.keys() == STATES.keys() for _, expected in TABLE.values())
