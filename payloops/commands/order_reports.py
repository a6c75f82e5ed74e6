"""What processors, workflows and external workers can report of an order. ``order_results.py`` decides on it.

``attempt`` counts from 1, amounts are in minor units. ``processor`` names who reports; it matters only for a payment
that was not begun here. A ``currency`` that is given must be the order's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from payloops.events import order as e
from payloops.events.base import Meta, Sealed
from payloops.events.order_states import DisputeStatus, Existing, RefundStatus


@dataclass(frozen=True, slots=True)
class Report:
    """What all reports say."""

    order_id: UUID
    now: datetime
    meta: Meta


@dataclass(frozen=True, slots=True)
class RecordProcessing(Report):
    """The processor works on it (again)."""

    attempt: int
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordActionRequired(Report):
    """The customer must act before the payment can go on."""

    attempt: int
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    redirect_url: Sealed | None = None
    client_secret: Sealed | None = None
    processor_data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RecordAuthorized(Report):
    """The processor holds ``amount``."""

    attempt: int
    amount: int
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    currency: str | None = None
    processor: str | None = None


@dataclass(frozen=True, slots=True)
class RecordCaptured(Report):
    """The processor took ``amount``. ``surplus_refund_id`` is used when this payment turns out to be one too many."""

    attempt: int
    amount: int
    surplus_refund_id: UUID
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    currency: str | None = None
    processor: str | None = None


@dataclass(frozen=True, slots=True)
class RecordFailed(Report):
    """The payment failed, in the processor's own codes.

    ``ended``: we gave up waiting and had the processor end the payment, which is no cancellation by the merchant.
    """

    attempt: int
    code: str
    message: str
    decline_code: str | None = None
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    processor: str | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class RecordVoided(Report):
    """The processor ended the payment without taking money."""

    attempt: int
    processor_transaction_id: str | None = None
    reason: str | None = None
    processor: str | None = None


@dataclass(frozen=True, slots=True)
class RecordOutcomeUnknown(Report):
    """A call that moves money got no answer."""

    attempt: int
    operation: e.Operation
    reason: str


@dataclass(frozen=True, slots=True)
class RecordCaptureFailed(Report):
    """The processor refused the capture. None for ``attempt`` means the current one."""

    code: str
    message: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class RecordCancelFailed(Report):
    """The processor refused to end the payment. None for ``attempt`` means the current one."""

    code: str
    message: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class RecordRefundSucceeded(Report):
    """The processor sent the refund's money back."""

    refund_id: UUID
    processor_refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordRefundFailed(Report):
    """The refund did not happen, or its money came back to the merchant."""

    refund_id: UUID
    code: str
    message: str
    processor_refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordRefundUnknown(Report):
    """The refund's call got no answer."""

    refund_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class RecordDiscoveredRefund(Report):
    """The processor has a refund of this order that names none of ours.

    ``processor_transaction_id`` is the payment that it gives back, where the processor says so.
    """

    processor_refund_id: str
    amount: int
    status: RefundStatus
    reason: str | None = None
    code: str = "refund_failed"
    message: str = "The processor could not make this refund."
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordCumulativeRefund(Report):
    """The processor has given back ``refunded_total`` of a payment in all, and doesn't say by which refunds.

    So tells Stripe's ``charge.refunded``. ``processor_transaction_id`` is the payment, where the processor says so.
    """

    refunded_total: int
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordDispute(Report):
    """The customer's bank wants ``amount`` back (``opened``), or that is decided. ``reason``: the processor's word."""

    processor_dispute_id: str
    amount: int
    status: DisputeStatus
    reason: str | None = None
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class PublishEvent(Report):
    """Merchants are to be told ``event_type``, unless they have been: an external worker's word, or a checkout's.

    ``payload`` is what stands beside the order in the body (``{"session": {…}}``), without personal data;
    ``sealed_payload`` what a worker wants to stand there (projections.public_events.seal_payload).
    """

    event_type: str
    payload: dict[str, Any] | None = None
    sealed_payload: Sealed | None = None


@dataclass(frozen=True, slots=True)
class RecordStatus(Report):
    """An external worker's word on the order: any status of the wire contract, with neither attempt nor amount."""

    status: str
    surplus_refund_id: UUID
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    processor: str | None = None


@dataclass(frozen=True, slots=True)
class FinishSync(Report):
    """The processor was asked, as sync ``number`` wanted; ``answers`` are SyncFinished's."""

    number: int
    answers: tuple[dict[str, Any], ...]


PaymentReport = (
    RecordProcessing
    | RecordActionRequired
    | RecordAuthorized
    | RecordCaptured
    | RecordFailed
    | RecordVoided
    | RecordOutcomeUnknown
)
RefusalReport = RecordCaptureFailed | RecordCancelFailed
RefundReport = (
    RecordRefundSucceeded | RecordRefundFailed | RecordRefundUnknown | RecordDiscoveredRefund | RecordCumulativeRefund
)
OrderReport = PaymentReport | RefusalReport | RefundReport | RecordDispute | PublishEvent | RecordStatus | FinishSync


def event_head(report: Report, state: Existing, *, ahead: int = 1) -> dict[str, Any]:
    """The fields that every event of a report begins with; ``ahead`` counts the report's events from 1."""
    return {
        "originator_id": state.facts.order_id,
        "originator_version": state.facts.version + ahead,
        "timestamp": report.now,
        "meta": report.meta,
    }
