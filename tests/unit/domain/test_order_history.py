"""A history that no command could have written is refused, so that it can be neither appended nor misread."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args
from uuid import UUID

import pytest

from payloops.events import order as e
from payloops.events.base import Event
from payloops.events.order_state import (
    Authorized,
    Cancelled,
    Captured,
    Failed,
    ImpossibleHistory,
    Pending,
    Processing,
    RequiresAction,
    attempts_of,
    evolve,
)
from tests.spec import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    FAILED,
    PENDING,
    PROCESSING,
    REFUND_ID,
    REQUIRES_ACTION,
    event,
    numbered,
    state_after,
)

STATES: Final[Mapping[type, tuple[Event, ...]]] = MappingProxyType(
    {
        Pending: PENDING,
        Processing: PROCESSING,
        RequiresAction: REQUIRES_ACTION,
        Authorized: AUTHORIZED,
        Captured: (
            *CAPTURED,
            event(e.RefundRequested, refund_id=UUID(int=5), amount=1),
            event(e.DisputeOpened, dispute_id=UUID(int=7)),
        ),
        Failed: FAILED,
        Cancelled: CANCELLED,
    }
)
PAID = (Processing, RequiresAction, Authorized, Captured, Failed)
OPEN = (Processing, RequiresAction, Authorized)

POSSIBLE: Final[Mapping[type[Event], tuple[type, ...]]] = MappingProxyType(
    {
        e.OrderCreated: (),
        e.PaymentStarted: (Pending, Failed),
        e.PaymentDiscovered: (Pending, Cancelled),
        e.PaymentIdentified: PAID,
        e.PaymentProcessing: (RequiresAction,),
        e.PaymentActionRequired: (Processing, RequiresAction),
        e.PaymentAuthorized: (Processing, RequiresAction, Failed),
        e.PaymentCaptured: (Processing, RequiresAction, Authorized, Failed),
        e.PaymentFailed: (Processing, RequiresAction),
        e.PaymentOutcomeUnknown: OPEN,
        e.SurplusPaymentAuthorized: (Authorized, Captured),
        e.SurplusPaymentCaptured: (Captured,),
        e.CaptureRequested: (Authorized,),
        e.CaptureFailed: (Authorized,),
        e.CancelRequested: (RequiresAction, Authorized),
        e.CancelFailed: OPEN,
        e.OrderCancelled: (Pending, *OPEN, Failed),
        e.RefundRequested: (Captured,),
        e.RefundDiscovered: (Captured,),
        e.RefundIdentified: (Captured,),
        e.RefundSucceeded: (Captured,),
        e.RefundFailed: (Captured,),
        e.RefundOutcomeUnknown: (Captured,),
        e.RefundTotalTold: (Captured,),
        e.DisputeOpened: (Captured,),
        e.DisputeWon: (Captured,),
        e.DisputeLost: (Captured,),
        e.ExternalEventPublished: (Pending, *PAID, Cancelled),
        e.SyncRequested: (Pending, *PAID, Cancelled),
        e.SyncFinished: (),
    }
)
"""In which states an event can happen. The cancelled order here was never paid, so only a discovery fits it. Of none
was the processor asked, so no sync is finished."""


OF_A_REFUND = (e.RefundIdentified, e.RefundSucceeded, e.RefundFailed, e.RefundOutcomeUnknown)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event_class", POSSIBLE)
def test_an_event_fits_its_states_only(event_class: type[Event], state: type) -> None:
    history = STATES[state]
    fields = {"refund_id": UUID(int=5)} if event_class in OF_A_REFUND else {}
    if event_class in (e.DisputeWon, e.DisputeLost):
        fields = {"dispute_id": UUID(int=7)}
    if event_class in (e.RefundRequested, e.RefundDiscovered):
        fields = {"refund_id": UUID(int=6)}
    (happened,) = numbered([event(event_class, **fields)], after=len(history))
    if state in POSSIBLE[event_class]:
        evolve(state_after(*history), happened)  # type: ignore[arg-type]
    else:
        with pytest.raises(ImpossibleHistory):
            evolve(state_after(*history), happened)  # type: ignore[arg-type]


def test_every_event_is_in_the_table() -> None:
    assert set(POSSIBLE) == set(get_args(e.OrderEvent))


@pytest.mark.parametrize("first", [event(e.PaymentStarted), event(e.OrderCreated, originator_version=2)])
def test_a_stream_begins_with_its_creation(first: e.OrderEvent) -> None:
    with pytest.raises(ImpossibleHistory, match="begins a stream"):
        evolve(state_after(), first)


@pytest.mark.parametrize("version", [1, 2, 4])
def test_versions_are_consecutive(version: int) -> None:
    with pytest.raises(ImpossibleHistory, match="follows version 2"):
        evolve(state_after(*PROCESSING), event(e.PaymentFailed, originator_version=version))


@pytest.mark.parametrize("history", [AUTHORIZED, FAILED, (*PROCESSING, event(e.OrderCancelled))])
def test_only_a_payment_that_we_ended_fails_after_its_course(history: tuple[Event, ...]) -> None:
    assert isinstance(state_after(*history, event(e.PaymentFailed, ended=True)), Failed)
    with pytest.raises(ImpossibleHistory):
        state_after(*history, event(e.PaymentFailed))


@pytest.mark.parametrize("happened", [event(e.PaymentCaptured, attempt=2), event(e.PaymentFailed, attempt=2)])
def test_an_attempt_that_never_started_has_no_results(happened: Event) -> None:
    with pytest.raises(ImpossibleHistory, match="attempt 2"):
        state_after(*PROCESSING, happened)


REFUNDED_BY_AMOUNT: Final = (
    *CAPTURED,
    event(e.RefundDiscovered, amount=400, processor_refund_id=None),
    event(e.RefundSucceeded, processor_refund_id=None),
)


@pytest.mark.parametrize(
    "counted_before",
    [{str(REFUND_ID): 401}, {str(REFUND_ID): 0}, {str(UUID(int=6)): 1}],
    ids=["more_than_it_is", "none_of_it", "of_no_refund"],
)
def test_a_refund_can_have_been_counted_as_one_known_by_its_amount_only(counted_before: dict[str, int]) -> None:
    found = event(e.RefundDiscovered, refund_id=UUID(int=7), amount=400, counted_before=counted_before)
    with pytest.raises(ImpossibleHistory, match="counted"):
        state_after(*REFUNDED_BY_AMOUNT, found)
    with pytest.raises(ImpossibleHistory, match="counted"):
        state_after(
            *REFUNDED_BY_AMOUNT,
            event(e.RefundIdentified),
            dataclasses.replace(found, counted_before={str(REFUND_ID): 400}),
        )


def test_a_total_that_is_told_is_larger_than_the_last() -> None:
    assert state_after(*CAPTURED, event(e.RefundTotalTold, total=4)).refunded_total_told == 4
    with pytest.raises(ImpossibleHistory):
        state_after(*CAPTURED, event(e.RefundTotalTold, total=4), event(e.RefundTotalTold, total=4))


@pytest.mark.parametrize("last", [e.DisputeOpened, e.DisputeLost])
def test_a_dispute_begins_and_ends_once(last: type[Event]) -> None:
    with pytest.raises(ImpossibleHistory):
        state_after(*CAPTURED, event(e.DisputeOpened), event(e.DisputeLost), event(last))
    with pytest.raises(ImpossibleHistory, match="never began"):
        state_after(*CAPTURED, event(e.DisputeWon), event(last))


def test_a_refund_that_never_began_has_no_result() -> None:
    with pytest.raises(ImpossibleHistory, match="never began"):
        state_after(*CAPTURED, event(e.RefundSucceeded))


def test_a_refund_begins_once() -> None:
    with pytest.raises(ImpossibleHistory, match="refund_requested"):
        state_after(*CAPTURED, event(e.RefundRequested, amount=1), event(e.RefundRequested, amount=1))


def test_a_cancelled_order_that_was_paid_discovers_nothing() -> None:
    with pytest.raises(ImpossibleHistory, match="payment_discovered"):
        state_after(*FAILED, event(e.OrderCancelled), event(e.PaymentDiscovered))


def test_an_earlier_attempts_id_is_learned_where_it_belongs() -> None:
    state = state_after(
        *PROCESSING,
        event(e.PaymentFailed, processor_order_id=None),
        event(e.PaymentStarted, attempt=2),
        event(e.PaymentIdentified, processor_order_id="pi_1", processor_transaction_id=None),
    )
    assert [(a.number, a.processor_order_id) for a in attempts_of(state)] == [(2, None), (1, "pi_1")]
