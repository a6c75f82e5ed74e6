"""Reading events: pure, and nothing that JSON can hold makes it raise but what says that it can't be read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.commands.webhook_setup import EVENT_TYPES
from payloops.errors import AmountMismatch
from payloops.http.webhooks.envelopes import UNKNOWN_TYPE, body_id, razorpay_envelope, stripe_envelope
from payloops.workflows_bridge.inbox import razorpay, stripe
from payloops.workflows_bridge.inbox.facts import (
    DisputeTold,
    NothingTold,
    PaymentTold,
    RefundsTotalTold,
    RefundTold,
    Subject,
    Unreadable,
)
from tests.inbox import bodies as b

ORDER = UUID("0190a5b0-0000-7000-8000-00000000000a")
MERCHANT = UUID("0190a5b0-0000-7000-8000-00000000000b")
INTENT = b.intent(ORDER, MERCHANT)

keys = st.sampled_from(
    (
        *("id", "type", "data", "object", "metadata", "order_id", "amount", "currency", "status", "payload", "payment"),
        *("entity", "event", "notes", "refund", "dispute", "charge", "payment_intent", "attempt", "captured", "order"),
    )
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(str(ORDER)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("event_type", EVENT_TYPES["stripe"])
@given(thing=junk)
def test_no_stripe_object_makes_the_reader_raise(event_type: str, thing: Any) -> None:
    try:
        stripe.read_event(b.stripe_event(event_type, thing))
    except (Unreadable, AmountMismatch):
        return


@pytest.mark.parametrize("event_type", EVENT_TYPES["razorpay"])
@given(payload=junk)
def test_no_razorpay_payload_makes_the_reader_raise(event_type: str, payload: Any) -> None:
    try:
        razorpay.read_event({"event": event_type, "payload": payload})
    except (Unreadable, AmountMismatch):
        return


@given(document=st.dictionaries(keys, junk))
def test_no_document_makes_an_envelope_raise(document: dict[str, Any]) -> None:
    for envelope in (stripe_envelope(document, None), razorpay_envelope(document, "event_1")):
        assert envelope.merchant_id is None or isinstance(envelope.merchant_id, UUID)
        assert 0 < len(envelope.type) <= 255


def test_every_type_that_we_ask_for_is_read() -> None:
    for event_type in EVENT_TYPES["stripe"]:
        assert stripe._reader(event_type) is not None, event_type
    for event_type in EVENT_TYPES["razorpay"]:
        with pytest.raises(Unreadable):
            razorpay.read_event(b.razorpay_event(event_type))


@pytest.mark.parametrize(
    ("event_type", "step", "amount"),
    (
        ("payment_intent.succeeded", "captured", 1000),
        ("payment_intent.payment_failed", "failed", None),
        ("payment_intent.requires_action", "action_required", None),
        ("payment_intent.processing", "processing", None),
        ("payment_intent.canceled", "voided", None),
        ("payment_intent.amount_capturable_updated", "authorized", 1000),
    ),
)
def test_steps_of_a_stripe_payment(event_type: str, step: str, amount: int | None) -> None:
    told = stripe.read_event(b.stripe_event(event_type, INTENT))
    assert isinstance(told, PaymentTold)
    assert (told.step, told.total, told.amount, told.currency) == (step, 1000, amount, "USD")
    assert told.subject == Subject(ORDER, 1, "pi_1", "pi_1")
    assert "secret" not in repr(told)


def test_stripe_totals_leave_out_what_was_released() -> None:
    told = stripe.read_event(b.stripe_event("charge.refunded", b.charge(refunded=700, amount_captured=400)))
    assert told == RefundsTotalTold(Subject(None, None, "pi_1", "pi_1"), 100, "USD")
    old = b.charge(refunded=700)
    del old["amount_captured"]
    told = stripe.read_event(b.stripe_event("charge.refunded", old))
    assert isinstance(told, RefundsTotalTold)
    assert told.refunded_total == 700
    alone = b.charge(refunded=700, payment_intent=None)
    told = stripe.read_event(b.stripe_event("charge.refunded", alone))
    assert isinstance(told, RefundsTotalTold)
    assert told.subject.transaction_id == "ch_1"


@pytest.mark.parametrize(
    ("status", "read"),
    (
        *(("succeeded", "success"), ("pending", "pending"), ("requires_action", "pending"), ("canceled", "failed")),
        *(("failed", "failed"), ("something_new", "pending")),
    ),
)
def test_stripe_refunds(status: str, read: str) -> None:
    told = stripe.read_event(b.stripe_event("refund.updated", b.refund(5, status=status)))
    assert isinstance(told, RefundTold)
    assert (told.status, told.amount, told.processor_refund_id) == (read, 5, "re_1")


@pytest.mark.parametrize(
    ("status", "read"),
    (
        *(("needs_response", "opened"), ("under_review", "opened"), ("warning_needs_response", "opened")),
        *(("won", "won"), ("lost", "lost"), ("warning_closed", "won"), ("something_new", "opened")),
    ),
)
def test_stripe_disputes(status: str, read: str) -> None:
    told = stripe.read_event(b.stripe_event("charge.dispute.updated", b.dispute(status)))
    assert isinstance(told, DisputeTold)
    assert (told.status, told.subject.transaction_id) == (read, "pi_1")


def test_expanded_references_are_read_as_their_ids() -> None:
    thing = b.refund(5, payment_intent=INTENT, charge={"id": "ch_9"})
    told = stripe.read_event(b.stripe_event("refund.updated", thing))
    assert isinstance(told, RefundTold)
    assert told.subject.processor_ids == ("pi_1", "pi_1")


def test_razorpay_notes_are_read_wherever_they_stand() -> None:
    order = b.razorpay_order(ORDER, MERCHANT)
    paid = b.razorpay_event("order.paid", payment=b.razorpay_payment(), order=order)
    told = razorpay.read_event(paid)
    assert isinstance(told, PaymentTold)
    assert told.subject == Subject(ORDER, 1, "order_1", "pay_1")
    envelope = razorpay_envelope(paid, "event_9")
    assert (envelope.merchant_id, envelope.order_id, envelope.event_id) == (MERCHANT, ORDER, "event_9")


@pytest.mark.parametrize(
    ("status", "deducted", "read"),
    (
        *(("open", 0, "opened"), ("under_review", 0, "opened"), ("won", 0, "won"), ("lost", 1, "lost")),
        *(("closed", 0, "won"), ("closed", 5, "lost")),
    ),
)
def test_razorpay_disputes(status: str, deducted: int, read: str) -> None:
    dispute = b.razorpay_dispute(status, amount_deducted=deducted)
    told = razorpay.read_event(b.razorpay_event("payment.dispute.closed", dispute=dispute))
    assert isinstance(told, DisputeTold)
    assert (told.status, told.subject.transaction_id) == (read, "pay_1")


def test_other_types_say_nothing() -> None:
    assert isinstance(stripe.read_event(b.stripe_event("customer.created", {})), NothingTold)
    assert isinstance(razorpay.read_event(b.razorpay_event("settlement.processed")), NothingTold)


def test_an_envelope_takes_no_word_for_granted() -> None:
    for bad in ("", "a b", "x" * 256, 5, None, "\n"):
        envelope = stripe_envelope({"id": bad, "type": bad}, None)
        assert (envelope.event_id, envelope.type) == (None, UNKNOWN_TYPE)
    assert razorpay_envelope({}, "ä").event_id is None
    assert body_id(b"x") != body_id(b"y")
