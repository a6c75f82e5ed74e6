"""What Stripe's events say (https://docs.stripe.com/api/events/types). Pure.

An event holds the object as it was when the event was made, which may be long ago: events come late and in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from payloops.workflows_bridge.inbox.documents import (
    Document,
    amount,
    attempt,
    currency,
    optional_amount,
    optional_text,
    part,
    text,
    uuid,
)
from payloops.workflows_bridge.inbox.facts import (
    UNKNOWN_TYPE,
    DisputeTold,
    NothingTold,
    PaymentStep,
    PaymentTold,
    RefundStatus,
    RefundsTotalTold,
    RefundTold,
    Subject,
    Told,
    Unreadable,
)
from payloops.workflows_bridge.processors import disputes
from payloops.workflows_bridge.processors.amounts import from_stripe

_STEPS: Final[dict[str, PaymentStep]] = {
    "payment_intent.succeeded": "captured",
    "payment_intent.payment_failed": "failed",
    "payment_intent.requires_action": "action_required",
    "payment_intent.processing": "processing",
    "payment_intent.canceled": "voided",
    "payment_intent.amount_capturable_updated": "authorized",
}
_REFUND_TYPES: Final = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_REFUND_STATUS: Final[dict[str, RefundStatus]] = {
    "succeeded": "success",
    "failed": "failed",
    "canceled": "failed",
    "pending": "pending",
    "requires_action": "pending",
}
_DISPUTE_PREFIX: Final = "charge.dispute."


def read_event(document: Document) -> Told:
    """What the event says. Raises Unreadable, and AmountMismatch for an amount that the currency does not have."""
    event_type = text(document, "type")
    reader = _reader(event_type)
    if reader is None:
        return UNKNOWN_TYPE
    thing = part(part(document, "data"), "object")
    if not thing:
        raise Unreadable("data.object is missing")
    return reader(event_type, thing)


def _reader(event_type: str) -> Callable[[str, Document], Told] | None:
    if event_type in _STEPS:
        return _payment
    if event_type in _REFUND_TYPES:
        return _refund
    if event_type == "charge.refunded":
        return _refunds_total
    return _dispute if event_type.startswith(_DISPUTE_PREFIX) else None


def _payment(event_type: str, intent: Document) -> PaymentTold:
    step, code = _STEPS[event_type], currency(intent)
    total = _minor(amount(intent, "amount"), code)
    part_of_it = None
    if step == "captured":
        part_of_it = _minor(optional_amount(intent, "amount_received") or amount(intent, "amount"), code)
    elif step == "authorized":
        part_of_it = _minor(optional_amount(intent, "amount_capturable") or amount(intent, "amount"), code)
    error = part(intent, "last_payment_error")
    redirect = part(part(intent, "next_action"), "redirect_to_url")
    return PaymentTold(
        _subject_of_intent(intent),
        step,
        total,
        code,
        amount=part_of_it,
        code=optional_text(error, "code") or "payment_failed",
        decline_code=optional_text(error, "decline_code"),
        message=optional_text(error, "message") or "The payment failed.",
        redirect_url=_whole_text(redirect, "url"),
        client_secret=_whole_text(intent, "client_secret"),
    )


def _subject_of_intent(intent: Document) -> Subject:
    labels, intent_id = part(intent, "metadata"), text(intent, "id")
    return Subject(uuid(labels, "order_id"), attempt(labels), intent_id, intent_id)


def _refund(_event_type: str, refund: Document) -> RefundTold:
    code = currency(refund)
    failure = optional_text(refund, "failure_reason")
    status = _REFUND_STATUS.get(text(refund, "status"), "pending")
    words = (failure or "canceled").replace("_", " ")
    return RefundTold(
        _subject_of_part(refund),
        processor_refund_id=text(refund, "id"),
        refund_id=uuid(part(refund, "metadata"), "refund_id"),
        amount=_minor(amount(refund, "amount"), code),
        currency=code,
        status=status,
        reason=optional_text(refund, "reason"),
        code=failure or "refund_failed",
        message=f"The refund failed ({words}).",
    )


def _refunds_total(_event_type: str, charge: Document) -> Told:
    """``amount_refunded`` is cumulative, and begins at what a partial capture released."""
    code = currency(charge)
    if charge.get("captured") is False:
        return NothingTold("What was held was released; no money had been taken.")
    whole = amount(charge, "amount")
    taken = optional_amount(charge, "amount_captured") or whole
    refunded = amount(charge, "amount_refunded") - max(0, whole - taken)
    if refunded <= 0:
        return NothingTold("A part of what was held was released; nothing was refunded.")
    return RefundsTotalTold(_subject_of_part(charge), _minor(refunded, code), code)


def _dispute(_event_type: str, dispute: Document) -> DisputeTold:
    code = currency(dispute)
    return DisputeTold(
        _subject_of_part(dispute),
        processor_dispute_id=text(dispute, "id"),
        amount=_minor(amount(dispute, "amount"), code),
        currency=code,
        reason=optional_text(dispute, "reason"),
        status=disputes.of_stripe(text(dispute, "status")),
    )


def _subject_of_part(thing: Document) -> Subject:
    """Of a charge, a refund or a dispute: they name their PaymentIntent, if they have one, and their charge."""
    labels = part(thing, "metadata")
    intent_id, charge_id = _reference(thing, "payment_intent"), _reference(thing, "charge")
    if charge_id is None and thing.get("object") == "charge":
        charge_id = optional_text(thing, "id")
    order_id: UUID | None = uuid(labels, "order_id")
    return Subject(order_id, attempt(labels), intent_id, intent_id or charge_id)


def _reference(thing: Document, name: str) -> str | None:
    """The id of what stands there as an id or as the whole object."""
    value = thing.get(name)
    return optional_text(value, "id") if isinstance(value, dict) else optional_text(thing, name)


def _whole_text(thing: Document, name: str) -> str | None:
    value = thing.get(name)
    return value if isinstance(value, str) and value else None


def _minor(sent: int, code: str | None) -> int:
    """Raises AmountMismatch. That there is no currency is for the order to find out."""
    return sent if code is None else from_stripe(sent, code)
