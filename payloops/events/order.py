"""Events of an order: its payment attempts, capture, cancellation, refunds and disputes.

All amounts are in minor units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from uuid import UUID

from payloops.events.base import Event, Sealed

CaptureMethod = Literal["automatic", "manual"]
Operation = Literal["payment", "capture", "void"]


@dataclass(frozen=True)
class OrderCreated(Event):
    """A merchant asked for a payment of ``amount``."""

    TOPIC: ClassVar[str] = "order.created.v2"
    class_version: ClassVar[int] = 2

    merchant_id: UUID
    test_mode: bool
    amount: int
    currency: str
    external_id: str
    customer_id: str | None
    customer_email: Sealed | None
    description: str | None
    metadata: dict[str, Any]
    return_url: str | None
    cancel_url: str | None
    capture_method: CaptureMethod
    checkout_session_id: UUID | None
    """The hosted checkout that the order was made for."""

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """There was no hosted checkout."""
        state["checkout_session_id"] = None


@dataclass(frozen=True)
class PaymentStarted(Event):
    """An attempt (counted from 1) was handed to a processor's workflow."""

    TOPIC: ClassVar[str] = "order.payment_started.v1"

    attempt: int
    processor: str
    workflow_id: str
    payment_method_type: str | None
    payment_method_token: str | None


@dataclass(frozen=True)
class PaymentDiscovered(Event):
    """A processor told of a payment for this order that was not begun here: it counts as the first attempt."""

    TOPIC: ClassVar[str] = "order.payment_discovered.v1"

    attempt: int
    processor: str
    processor_order_id: str | None
    processor_transaction_id: str | None


@dataclass(frozen=True)
class PaymentIdentified(Event):
    """The processor's ids of an attempt's payment became known after what they belong to; nothing else changed."""

    TOPIC: ClassVar[str] = "order.payment_identified.v1"

    attempt: int
    processor_order_id: str | None
    processor_transaction_id: str | None


@dataclass(frozen=True)
class PaymentProcessing(Event):
    """The processor works on it again after the customer's action."""

    TOPIC: ClassVar[str] = "order.payment_processing.v1"

    attempt: int


@dataclass(frozen=True)
class PaymentActionRequired(Event):
    """The customer must act: a 3-D Secure page, or the processor's own checkout."""

    TOPIC: ClassVar[str] = "order.payment_action_required.v1"

    attempt: int
    processor_order_id: str | None
    processor_transaction_id: str | None
    redirect_url: Sealed | None
    """Sealed, for it may carry the client secret in its query."""
    client_secret: Sealed | None
    processor_data: dict[str, Any] | None


@dataclass(frozen=True)
class PaymentAuthorized(Event):
    """``amount`` is held and waits for capture."""

    TOPIC: ClassVar[str] = "order.payment_authorized.v1"

    attempt: int
    processor_order_id: str | None
    processor_transaction_id: str | None
    amount: int


@dataclass(frozen=True)
class PaymentCaptured(Event):
    """``amount`` was taken; what was authorized beyond it is released."""

    TOPIC: ClassVar[str] = "order.payment_captured.v1"

    attempt: int
    processor_order_id: str | None
    processor_transaction_id: str | None
    amount: int


@dataclass(frozen=True)
class SurplusPaymentAuthorized(Event):
    """A second payment of the order holds money too: it never counts as the order's, and is released."""

    TOPIC: ClassVar[str] = "order.surplus_payment_authorized.v1"

    attempt: int
    processor: str
    processor_order_id: str | None
    processor_transaction_id: str | None
    amount: int
    workflow_id: str
    """The void's workflow."""


@dataclass(frozen=True)
class SurplusPaymentCaptured(Event):
    """A second payment of a captured order took money too: it never counts as the order's, and is given back."""

    TOPIC: ClassVar[str] = "order.surplus_payment_captured.v1"

    attempt: int
    refund_id: UUID
    processor: str
    processor_order_id: str | None
    processor_transaction_id: str | None
    amount: int


@dataclass(frozen=True)
class PaymentFailed(Event):
    """The attempt ended without money; ``code`` and ``decline_code`` are the processor's own."""

    TOPIC: ClassVar[str] = "order.payment_failed.v1"

    attempt: int
    code: str
    decline_code: str | None
    message: str
    processor_order_id: str | None
    processor_transaction_id: str | None
    ended: bool
    """We had the processor end the payment, so that it can't hold money any more; of a mere failure it still can."""


@dataclass(frozen=True)
class PaymentOutcomeUnknown(Event):
    """A call that moves money got no answer: it may have happened, and is asked again until known."""

    TOPIC: ClassVar[str] = "order.payment_outcome_unknown.v1"

    attempt: int
    operation: Operation
    reason: str


@dataclass(frozen=True)
class CaptureRequested(Event):
    """The merchant wants ``amount`` of the authorized money."""

    TOPIC: ClassVar[str] = "order.capture_requested.v1"

    amount: int
    workflow_id: str


@dataclass(frozen=True)
class CaptureFailed(Event):
    """The processor refused the capture; the authorization stands."""

    TOPIC: ClassVar[str] = "order.capture_failed.v1"

    code: str
    message: str


@dataclass(frozen=True)
class CancelRequested(Event):
    """The merchant wants an open payment ended: an authorization voided, or a waiting customer's action called off."""

    TOPIC: ClassVar[str] = "order.cancel_requested.v1"

    reason: str | None
    workflow_id: str
    """The void's workflow, or the waiting payment's that is told to stop."""


@dataclass(frozen=True)
class CancelFailed(Event):
    """The processor would not end the payment; it stays as it was."""

    TOPIC: ClassVar[str] = "order.cancel_failed.v1"

    code: str
    message: str


@dataclass(frozen=True)
class OrderCancelled(Event):
    """No money will be taken. ``released`` is what had been authorized and is given free."""

    TOPIC: ClassVar[str] = "order.cancelled.v1"

    reason: str | None
    released: int
    processor_transaction_id: str | None
    """The payment that the processor ended; None when there was none to end, or when it had failed by itself."""


@dataclass(frozen=True)
class RefundRequested(Event):
    """``amount`` of the captured money is to go back."""

    TOPIC: ClassVar[str] = "order.refund_requested.v1"

    refund_id: UUID
    amount: int
    reason: str | None
    workflow_id: str


@dataclass(frozen=True)
class RefundDiscovered(Event):
    """A processor told of a refund of this order that was not asked for here, such as one made in its dashboard."""

    TOPIC: ClassVar[str] = "order.refund_discovered.v2"
    class_version: ClassVar[int] = 2

    refund_id: UUID
    amount: int
    reason: str | None
    processor_refund_id: str | None
    """None for one that is known by its amount alone: the processor told only how much is refunded in all."""
    counted_before: dict[str, int]
    """What of ``amount`` had been counted as refunds known by their amount alone: their ids, and how much of each."""

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Every refund was known by its id."""
        state["counted_before"] = {}


@dataclass(frozen=True)
class RefundIdentified(Event):
    """The processor's id of a refund became known after its result; nothing else changed."""

    TOPIC: ClassVar[str] = "order.refund_identified.v1"

    refund_id: UUID
    processor_refund_id: str


@dataclass(frozen=True)
class RefundSucceeded(Event):
    """The processor sent the money back."""

    TOPIC: ClassVar[str] = "order.refund_succeeded.v1"

    refund_id: UUID
    processor_refund_id: str | None


@dataclass(frozen=True)
class RefundFailed(Event):
    """The money stayed, or came back: its amount can be refunded again."""

    TOPIC: ClassVar[str] = "order.refund_failed.v1"

    refund_id: UUID
    code: str
    message: str
    processor_refund_id: str | None


@dataclass(frozen=True)
class RefundOutcomeUnknown(Event):
    """The refund's call got no answer: it may have happened, and is asked again until known."""

    TOPIC: ClassVar[str] = "order.refund_outcome_unknown.v1"

    refund_id: UUID
    reason: str


@dataclass(frozen=True)
class RefundTotalTold(Event):
    """The processor has refunded ``total`` in all, of which pending refunds of ours may be a part.

    Kept because such a refund may yet fail without ever having been one: then another is what was told of.
    """

    TOPIC: ClassVar[str] = "order.refund_total_told.v1"

    total: int


@dataclass(frozen=True)
class DisputeOpened(Event):
    """The customer's bank wants ``amount`` back; ``reason`` is the processor's own word for why."""

    TOPIC: ClassVar[str] = "order.dispute_opened.v1"

    dispute_id: UUID
    processor_dispute_id: str
    processor_transaction_id: str | None
    """The disputed payment, where the processor names it."""
    amount: int
    reason: str | None


@dataclass(frozen=True)
class DisputeWon(Event):
    """The dispute ended in the merchant's favour: the money stays."""

    TOPIC: ClassVar[str] = "order.dispute_won.v1"

    dispute_id: UUID
    processor_dispute_id: str
    amount: int
    reason: str | None


@dataclass(frozen=True)
class DisputeLost(Event):
    """The dispute ended in the customer's favour: ``amount`` is gone, apart from all refunds."""

    TOPIC: ClassVar[str] = "order.dispute_lost.v1"

    dispute_id: UUID
    processor_dispute_id: str
    amount: int
    reason: str | None


@dataclass(frozen=True)
class ExternalEventPublished(Event):
    """A public event of that type that follows from no other event: an external worker's, or a checkout's."""

    TOPIC: ClassVar[str] = "order.external_event_published.v1"

    event_type: str
    payload: dict[str, Any] | None
    """What stands beside the order (``session``), its personal data sealed."""
    sealed_payload: Sealed | None
    """What an external worker wants to stand there: sealed as a whole, for nobody knows what is in it."""


@dataclass(frozen=True)
class SyncRequested(Event):
    """Somebody wants the processor asked now what became of the order's payments; ``number`` counts from 1."""

    TOPIC: ClassVar[str] = "order.sync_requested.v1"

    number: int


@dataclass(frozen=True)
class SyncFinished(Event):
    """The processor was asked; what that changed stands in events of its own before this one."""

    TOPIC: ClassVar[str] = "order.sync_finished.v1"

    number: int
    answers: tuple[dict[str, Any], ...]
    """For each question: ``about`` (payment, refunds or disputes), ``attempt``, ``processor``,
    ``processorTransactionId``, ``outcome`` (what the processor told, or why it told nothing) and ``code`` (its own
    word, of a refusal)."""
    changed: bool
    """Whether anything happened to the order since it was requested."""


OrderEvent = (
    OrderCreated
    | PaymentStarted
    | PaymentDiscovered
    | PaymentIdentified
    | PaymentProcessing
    | PaymentActionRequired
    | PaymentAuthorized
    | PaymentCaptured
    | PaymentFailed
    | PaymentOutcomeUnknown
    | SurplusPaymentAuthorized
    | SurplusPaymentCaptured
    | CaptureRequested
    | CaptureFailed
    | CancelRequested
    | CancelFailed
    | OrderCancelled
    | RefundRequested
    | RefundDiscovered
    | RefundIdentified
    | RefundSucceeded
    | RefundFailed
    | RefundOutcomeUnknown
    | RefundTotalTold
    | DisputeOpened
    | DisputeWon
    | DisputeLost
    | ExternalEventPublished
    | SyncRequested
    | SyncFinished
)
