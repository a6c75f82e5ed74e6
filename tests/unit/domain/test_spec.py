"""The specification language itself: it must fail when it should, and say why."""

from __future__ import annotations

import pytest

from payloops.commands.order import CancelOrder, CapturePayment, StartPayment
from payloops.errors import InvalidInput, InvalidStatus
from payloops.events.order import CaptureRequested, OrderCancelled, PaymentStarted
from payloops.events.order_state import Authorized, Captured
from payloops.events.registry import EVENT_CLASSES
from tests.spec import AUTHORIZED, EVENT_DEFAULTS, NOW, ORDER_ID, PENDING, command, event, given

Failed = pytest.fail.Exception


def test_another_field_than_expected_shows_both() -> None:
    with pytest.raises(Failed, match=r"(?s)-     amount = 7\n\+     amount = 8"):
        given(*AUTHORIZED).when(command(CapturePayment, amount=8)).then(event(CaptureRequested, amount=7))


def test_an_event_that_was_not_expected_is_shown() -> None:
    with pytest.raises(Failed, match=r"(?s)- \(nothing\)\n\+ OrderCancelled"):
        given(*PENDING).when(command(CancelOrder)).then_nothing()


def test_an_event_that_is_missing_is_shown() -> None:
    with pytest.raises(Failed, match="- OrderCancelled"):
        given(*PENDING).when(command(StartPayment)).then(event(OrderCancelled))


def test_an_error_where_events_were_expected_is_shown() -> None:
    with pytest.raises(Failed, match="it raised InvalidStatus"):
        given(*PENDING).when(command(CapturePayment)).then(event(CaptureRequested))
    with pytest.raises(Failed, match="it raised InvalidStatus"):
        given(*PENDING).when(command(CapturePayment)).then_state(Authorized)


def test_events_where_an_error_was_expected_are_shown() -> None:
    with pytest.raises(Failed, match=r"(?s)InvalidStatus was expected.*OrderCancelled"):
        given(*PENDING).when(command(CancelOrder)).then_raises(InvalidStatus)


def test_the_class_the_sentence_and_the_field_of_an_error_count() -> None:
    outcome = given(*AUTHORIZED).when(command(CapturePayment, amount=0))
    outcome.then_raises(InvalidInput, match="between 1 and", param="amount")
    with pytest.raises(Failed, match="InvalidStatus was expected, not InvalidInput"):
        outcome.then_raises(InvalidStatus)
    with pytest.raises(Failed, match="'never' is not in"):
        outcome.then_raises(InvalidInput, match="never")
    with pytest.raises(Failed, match="about 'amount', not 'currency'"):
        outcome.then_raises(InvalidInput, param="currency")


def test_the_state_counts() -> None:
    outcome = given(*AUTHORIZED).when(command(CapturePayment))
    outcome.then_state(Authorized).then_state(lambda state: state.capture is not None)
    with pytest.raises(Failed, match="not the state that was expected"):
        outcome.then_state(Captured)


def test_versions_times_and_causes_are_the_commands() -> None:
    (started,) = (
        given(*PENDING).when(command(StartPayment)).then(event(PaymentStarted, payment_method_token=None)).events
    )
    assert (started.originator_id, started.originator_version, started.timestamp) == (ORDER_ID, 2, NOW)
    assert started.meta.correlation_id == "now"


def test_every_event_can_be_built() -> None:
    assert set(EVENT_DEFAULTS) == set(EVENT_CLASSES)
    assert all(isinstance(event(event_class), event_class) for event_class in EVENT_CLASSES)
