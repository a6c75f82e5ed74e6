"""What a processor's event says, in our words. Amounts are in minor units by ISO 4217, currencies upper case.

``order_id``, ``attempt`` and ``refund_id`` stand in metadata that we wrote; what was made in the processor's dashboard
has none, and is found by the processor's own ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from payloops.events.order_states import DisputeStatus

PaymentStep = Literal["captured", "authorized", "failed", "voided", "processing", "action_required"]
RefundStatus = Literal["pending", "success", "failed"]


class Unreadable(Exception):
    """The event is of a type that we know and lacks what it always has. Names the field, never a value."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which payment of which order an event is about, as far as it says so."""

    order_id: UUID | None
    attempt: int | None
    processor_order_id: str | None
    transaction_id: str | None

    @property
    def processor_ids(self) -> tuple[str, ...]:
        """The processor's ids, which a payment can be found by."""
        return tuple(one for one in (self.transaction_id, self.processor_order_id) if one is not None)


@dataclass(frozen=True, slots=True)
class PaymentTold:
    """A step of a payment. ``total`` is what the payment is for, ``amount`` what of it is held or taken."""

    subject: Subject
    step: PaymentStep
    total: int | None
    currency: str | None
    amount: int | None = None
    code: str = "payment_failed"
    decline_code: str | None = None
    message: str = "The payment failed."
    redirect_url: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RefundTold:
    """Where a refund stands. ``refund_id`` is ours, of one that was made through us."""

    subject: Subject
    processor_refund_id: str
    refund_id: UUID | None
    amount: int
    currency: str | None
    status: RefundStatus
    reason: str | None = None
    code: str = "refund_failed"
    message: str = "The processor could not make this refund."


@dataclass(frozen=True, slots=True)
class RefundsTotalTold:
    """How much of a payment went back in all; not by which refunds."""

    subject: Subject
    refunded_total: int
    currency: str | None


@dataclass(frozen=True, slots=True)
class DisputeTold:
    """Where a dispute stands."""

    subject: Subject
    processor_dispute_id: str
    amount: int
    currency: str | None
    reason: str | None
    status: DisputeStatus


@dataclass(frozen=True, slots=True)
class NothingTold:
    """Nothing that an order can be told; ``reason`` is a sentence for people."""

    reason: str


Told: TypeAlias = PaymentTold | RefundTold | RefundsTotalTold | DisputeTold | NothingTold

UNKNOWN_TYPE = NothingTold("An event of this type has no effect here.")
