"""What Razorpay's events say (https://razorpay.com/docs/webhooks/payloads/). Pure.

``payload`` holds the entities that the event contains, as they were when it was made. A payment need not have our
notes: those of its Razorpay order stand beside it at best, so the order's id must do.
"""

from __future__ import annotations

from typing import Final

from payloops.workflows_bridge.inbox.documents import (
    Document,
    amount,
    attempt,
    currency,
    optional_text,
    part,
    text,
    uuid,
)
from payloops.workflows_bridge.inbox.facts import (
    UNKNOWN_TYPE,
    DisputeTold,
    PaymentStep,
    PaymentTold,
    RefundStatus,
    RefundTold,
    Subject,
    Told,
    Unreadable,
)
from payloops.workflows_bridge.processors import disputes

_STEPS: Final[dict[str, PaymentStep]] = {
    "payment.authorized": "authorized",
    "payment.captured": "captured",
    "payment.failed": "failed",
}
_REFUND_STATUS: Final[dict[str, RefundStatus | None]] = {
    "refund.created": None,
    "refund.processed": "success",
    "refund.failed": "failed",
}
"""None: the refund itself says how it stands."""
_DISPUTE_PREFIX: Final = "payment.dispute."
_SUBJECT_ENTITIES: Final = ("order", "payment", "refund")
"""Where our notes are looked for; the order's come first, for we wrote them."""
_NOT_A_REASON: Final = "NA"


def read_event(document: Document) -> Told:
    """What the event says. Raises Unreadable."""
    event_type = text(document, "event")
    payload = part(document, "payload")
    if event_type in _STEPS:
        return _payment(_STEPS[event_type], _entity(payload, "payment"), payload)
    if event_type == "order.paid":
        return _order_paid(payload)
    if event_type in _REFUND_STATUS:
        return _refund(_REFUND_STATUS[event_type], payload)
    if event_type.startswith(_DISPUTE_PREFIX):
        return _dispute(payload)
    return UNKNOWN_TYPE


def _payment(step: PaymentStep, payment: Document, payload: Document) -> PaymentTold:
    total = amount(payment, "amount")
    decline_code = optional_text(payment, "error_reason")
    return PaymentTold(
        _subject(payload),
        step,
        total,
        currency(payment),
        amount=total,
        code=_told(payment, "error_code") or "payment_failed",
        decline_code=None if decline_code == _NOT_A_REASON else decline_code,
        message=_told(payment, "error_description") or "The payment failed.",
    )


def _order_paid(payload: Document) -> PaymentTold:
    """The payment that paid the order; without one, the order says how much was paid."""
    payment = _entity_or_none(payload, "payment")
    if payment is not None:
        return _payment("captured", payment, payload)
    order = _entity(payload, "order")
    paid = amount(order, "amount_paid")
    return PaymentTold(_subject(payload), "captured", amount(order, "amount"), currency(order), amount=paid)


def _refund(status: RefundStatus | None, payload: Document) -> RefundTold:
    refund, payment = _entity(payload, "refund"), _entity_or_none(payload, "payment") or {}
    if status is None:
        said = optional_text(refund, "status")
        status = "success" if said == "processed" else "failed" if said == "failed" else "pending"
    labels = part(refund, "notes")
    return RefundTold(
        _subject(payload),
        processor_refund_id=text(refund, "id"),
        refund_id=uuid(labels, "refund_id"),
        amount=amount(refund, "amount"),
        currency=currency(refund) or currency(payment),
        status=status,
        reason=optional_text(labels, "reason"),
        message="The refund failed at the processor.",
    )


def _dispute(payload: Document) -> DisputeTold:
    dispute = _entity(payload, "dispute")
    return DisputeTold(
        _subject(payload),
        processor_dispute_id=text(dispute, "id"),
        amount=amount(dispute, "amount"),
        currency=currency(dispute),
        reason=optional_text(dispute, "reason_code"),
        status=disputes.of_razorpay(text(dispute, "status"), dispute.get("amount_deducted")),
    )


def _subject(payload: Document) -> Subject:
    payment, order = _entity_or_none(payload, "payment") or {}, _entity_or_none(payload, "order") or {}
    order_id, number = None, None
    for name in _SUBJECT_ENTITIES:
        labels = part(_entity_or_none(payload, name) or {}, "notes")
        if order_id is None:
            order_id, number = uuid(labels, "order_id"), attempt(labels)
    payment_id = optional_text(payment, "id")
    for name in ("refund", "dispute"):
        payment_id = payment_id or optional_text(_entity_or_none(payload, name) or {}, "payment_id")
    return Subject(order_id, number, optional_text(payment, "order_id") or optional_text(order, "id"), payment_id)


def _entity(payload: Document, name: str) -> Document:
    found = _entity_or_none(payload, name)
    if found is None:
        raise Unreadable(f"payload.{name}.entity is missing")
    return found


def _entity_or_none(payload: Document, name: str) -> Document | None:
    return part(part(payload, name), "entity") or None


def _told(thing: Document, name: str) -> str | None:
    """Razorpay writes what there is not as ``NA``, at times."""
    value = optional_text(thing, name)
    return None if value == _NOT_A_REASON else value
