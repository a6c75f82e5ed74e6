"""Which of an order's events merchants are told of, and in which place."""

from __future__ import annotations

from uuid import UUID

import pytest

from payloops.commands import order_reports as reports
from payloops.commands.order_reports import PublishEvent
from payloops.errors import InvalidInput
from payloops.events import order as e
from payloops.events.base import Event, Sealed
from payloops.events.public_events import last_published, public_event_id
from payloops.events.webhook_event_types import EVENT_TYPES
from tests.spec import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    FAILED,
    MANUAL,
    ORDER_ID,
    PENDING,
    PROCESSING,
    REQUIRES_ACTION,
    command,
    decide,
    event,
    evolve,
    given,
    numbered,
    state_after,
)

VOIDED = (*AUTHORIZED, event(e.CancelRequested), event(e.OrderCancelled, released=1000))
REFUNDING = (*CAPTURED, event(e.RefundRequested, amount=400))
SURPLUS = (
    *PROCESSING,
    event(e.PaymentFailed),
    event(e.PaymentStarted, attempt=2),
    event(e.PaymentCaptured),
    event(e.SurplusPaymentCaptured),
)


def types(*history: Event) -> list[str | None]:
    """What each event tells."""
    told: list[str | None] = []
    before = state_after()
    for happened in numbered(history):
        after = evolve(before, happened)
        published = last_published(before, after)
        told.append(None if published is None else published.type)
        before = after
    return told


HISTORIES: dict[str, tuple[tuple[Event, ...], list[str | None]]] = {
    "created, it is not told": (PENDING, [None]),
    "processing": (PROCESSING, [None, "payment.processing"]),
    "an action, and its end": (
        (*REQUIRES_ACTION, event(e.PaymentProcessing)),
        [None, "payment.processing", "payment.requires_action", "payment.processing"],
    ),
    "the same action again, which ends a doubt": (
        (*REQUIRES_ACTION, event(e.PaymentOutcomeUnknown), event(e.PaymentActionRequired)),
        [None, "payment.processing", "payment.requires_action", None, None],
    ),
    "held, then taken": (
        (*AUTHORIZED, event(e.CaptureRequested), event(e.PaymentCaptured)),
        [None, "payment.processing", "payment.authorized", None, "payment.captured"],
    ),
    "held, and the capture refused": (
        (*AUTHORIZED, event(e.CaptureRequested), event(e.CaptureFailed)),
        [None, "payment.processing", "payment.authorized", None, None],
    ),
    "failed, and tried again": (
        (*FAILED, event(e.PaymentStarted, attempt=2), event(e.PaymentFailed, attempt=2)),
        [None, "payment.processing", "payment.failed", "payment.processing", "payment.failed"],
    ),
    "failed, and then ended at the processor": (
        (*FAILED, event(e.PaymentFailed, ended=True)),
        [None, "payment.processing", "payment.failed", None],
    ),
    "cancelled by the end that we brought about, which is a failure": (
        (*PROCESSING, event(e.OrderCancelled), event(e.PaymentFailed, ended=True)),
        [None, "payment.processing", "payment.cancelled", "payment.failed"],
    ),
    "voided": (VOIDED, [None, "payment.processing", "payment.authorized", None, "payment.cancelled"]),
    "cancelled before it was paid": (CANCELLED, [None, "payment.cancelled"]),
    "a late success after a failure": (
        (*FAILED, event(e.PaymentCaptured)),
        [None, "payment.processing", "payment.failed", "payment.captured"],
    ),
    "a payment that was begun elsewhere": (
        (*PENDING, event(e.PaymentDiscovered), event(e.PaymentCaptured)),
        [None, None, "payment.captured"],
    ),
    "an id that is learned": (
        (*CAPTURED, event(e.PaymentIdentified)),
        [None, "payment.processing", "payment.captured", None],
    ),
    "a surplus payment and its refund": (
        (
            *SURPLUS,
            event(e.RefundSucceeded, refund_id=event(e.SurplusPaymentCaptured).refund_id),
        ),
        [None, "payment.processing", "payment.failed", "payment.processing", "payment.captured", None, None],
    ),
    "a hold that is one too many": (
        (*AUTHORIZED, event(e.SurplusPaymentAuthorized)),
        [None, "payment.processing", "payment.authorized", None],
    ),
    "a refund": (
        (*REFUNDING, event(e.RefundOutcomeUnknown), event(e.RefundSucceeded), event(e.RefundFailed)),
        [None, "payment.processing", "payment.captured", "refund.pending", None, "refund.processed", "refund.failed"],
    ),
    "a refund whose id is learned": (
        (*REFUNDING, event(e.RefundSucceeded, processor_refund_id=None), event(e.RefundIdentified)),
        [None, "payment.processing", "payment.captured", "refund.pending", "refund.processed", None],
    ),
    "the same result of a refund twice in the log": (
        (*REFUNDING, event(e.RefundSucceeded), event(e.RefundSucceeded)),
        [None, "payment.processing", "payment.captured", "refund.pending", "refund.processed", None],
    ),
    "a refund made at the processor": (
        (*CAPTURED, event(e.RefundDiscovered), event(e.RefundSucceeded)),
        [None, "payment.processing", "payment.captured", "refund.pending", "refund.processed"],
    ),
    "a total that is left to a pending refund": (
        (*REFUNDING, event(e.RefundTotalTold)),
        [None, "payment.processing", "payment.captured", "refund.pending", None],
    ),
    "disputes": (
        (*CAPTURED, event(e.DisputeOpened), event(e.DisputeLost), event(e.DisputeWon)),
        [None, "payment.processing", "payment.captured", "dispute.opened", "dispute.lost", "dispute.won"],
    ),
    "a sync": (
        (*CAPTURED, event(e.SyncRequested), event(e.SyncFinished)),
        [None, "payment.processing", "payment.captured", None, None],
    ),
    "what another published": (
        (*PENDING, event(e.ExternalEventPublished, event_type="checkout.expired")),
        [None, "checkout.expired"],
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_told(name: str) -> None:
    history, expected = HISTORIES[name]
    assert types(*history) == expected


@pytest.mark.parametrize("name", HISTORIES)
def test_the_sequence_has_no_gaps(name: str) -> None:
    history, expected = HISTORIES[name]
    told = [word for word in expected if word is not None]
    facts = state_after(*history).facts
    assert facts.public_events == len(told)
    for word in set(told):
        assert facts.published_version(word) == max(i for i, one in enumerate(expected, 1) if one == word)


def test_every_type_but_a_checkouts_completion_is_told_here() -> None:
    told = {word for _, expected in HISTORIES.values() for word in expected}
    assert told - {None} == set(EVENT_TYPES) - {"checkout.completed"}


def test_its_id_is_the_same_for_ever() -> None:
    assert public_event_id(ORDER_ID, 3) == UUID("4a8220e7-e09d-5948-98a3-482dcc172ad0")


class TestPublishing:
    def test_what_was_not_told_is(self) -> None:
        asked = command(PublishEvent, event_type="checkout.completed", payload={"session": {"id": "s"}})
        given(*CAPTURED).when(asked).then(
            event(e.ExternalEventPublished, event_type="checkout.completed", payload={"session": {"id": "s"}})
        )
        given(*CAPTURED).when(asked, asked).then_nothing()

    def test_a_workers_payload_is_sealed(self) -> None:
        asked = command(PublishEvent, event_type="refund.failed", sealed_payload=Sealed("p1.x"))
        given(*CAPTURED).when(asked).then(
            event(e.ExternalEventPublished, event_type="refund.failed", sealed_payload=Sealed("p1.x"))
        )

    def test_what_was_told_already_is_found_in_the_state(self) -> None:
        given(*CAPTURED).when(command(PublishEvent)).then_nothing().then_state(
            lambda state: state.facts.published_version("payment.captured") == len(CAPTURED)
        )

    @pytest.mark.parametrize("name", ["order.created", "payment.*", "webhook.test", ""])
    def test_other_types_there_are_not(self, name: str) -> None:
        given(*CAPTURED).when(command(PublishEvent, event_type=name)).then_raises(InvalidInput, param="eventType")


def test_a_late_word_on_another_attempt_tells_nothing() -> None:
    history = (*FAILED, event(e.PaymentStarted, attempt=2))
    state = state_after(*history)
    assert decide(command(reports.RecordFailed), state) == ()
    assert types(*history, event(e.PaymentIdentified))[-1] is None


def test_a_creation_costs_nothing() -> None:
    """The shared default, not one of the order's own."""
    one, other = state_after(*PENDING), state_after(*MANUAL)
    assert one.facts.last_published is other.facts.last_published
