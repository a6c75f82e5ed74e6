"""The port to a payment processor: what is asked, and every way in which it can turn out.

Expected trouble is an outcome, not an exception, so that whoever asks must say what to do about it:

``Unknown``        the request may have been carried out; ask later what became of it, never repeat it blindly
``Retryable``      this request was surely not carried out (an earlier one may have been); ask again
``Misconfigured``  no repetition will help until a person changes something

Amounts are in minor units by ISO 4217, as everywhere; an adapter translates where its processor counts otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, Protocol, TypeAlias
from uuid import UUID

from payloops.events.order_states import DisputeStatus

TIMEOUT_S_DEFAULT: Final = 20.0
TIMEOUT_S_MAX: Final = 30.0
"""One ask of a processor takes at most this, whatever it does; however many requests it needs."""


class ProcessorName(StrEnum):
    """The processors that we can speak to."""

    STRIPE = "stripe"
    RAZORPAY = "razorpay"


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A payment to be made: one attempt at an order. ``attempt`` counts from 1."""

    order_id: UUID
    merchant_id: UUID
    attempt: int
    amount: int
    currency: str
    capture_method: Literal["automatic", "manual"]
    return_url: str | None
    payment_method_type: str | None
    payment_method_token: str | None = field(repr=False)
    description: str | None = field(repr=False)
    external_id: str | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """A payment that was asked for. The processor's ids are None as long as no answer has told them.

    ``merchant_id``, where known, goes into a refund's metadata: an event about it then names the merchant.
    """

    order_id: UUID
    attempt: int
    processor_order_id: str | None
    processor_transaction_id: str | None
    amount: int
    currency: str
    merchant_id: UUID | None = None


# ------------------------------------------------------------------------------------------------ outcomes of a payment


@dataclass(frozen=True, slots=True)
class Captured:
    """The money was taken: ``amount`` of it."""

    processor_order_id: str
    processor_transaction_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class Authorized:
    """The money is held for us: up to ``amount`` can be captured."""

    processor_order_id: str
    processor_transaction_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The customer must act: follow ``redirect_url``, or let the processor's own script use what stands beside it.

    Address and secret act for the customer, so neither is shown in a log.
    """

    processor_order_id: str
    processor_transaction_id: str | None = None
    redirect_url: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    processor_data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StillProcessing:
    """The processor has not decided yet."""

    processor_order_id: str
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """What was asked for was refused. ``code`` and ``decline_code`` are the processor's, ``message`` is for people."""

    processor_order_id: str | None
    processor_transaction_id: str | None
    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Voided:
    """Cancelled at the processor: no money was taken, nothing is held for us any more."""

    processor_order_id: str
    processor_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The processor has no such payment, and surely so."""


# ------------------------------------------------------------------------------------------------- outcomes of a refund


@dataclass(frozen=True, slots=True)
class RefundSucceeded:
    """``amount`` is on its way back to the customer."""

    processor_refund_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class RefundPending:
    """Accepted, not decided yet."""

    processor_refund_id: str


@dataclass(frozen=True, slots=True)
class RefundRejected:
    """Refused, or failed later. ``code`` is the processor's, ``message`` is for people."""

    processor_refund_id: str | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RefundNotFound:
    """The processor has no such refund, and surely so."""


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund of a payment, made through us (``refund_id`` is ours) or not."""

    processor_refund_id: str
    refund_id: UUID | None
    amount: int
    status: Literal["pending", "success", "failed"]
    reason: str | None = None
    code: str = "refund_failed"
    message: str = "The processor could not make this refund."


@dataclass(frozen=True, slots=True)
class RefundList:
    """A payment's refunds, the newest first. ``complete``: there are no others."""

    refunds: tuple[ListedRefund, ...]
    complete: bool


# ------------------------------------------------------------------------------------------------------------- disputes


@dataclass(frozen=True, slots=True)
class ListedDispute:
    """A dispute of a payment. ``reason`` is the processor's word."""

    processor_dispute_id: str
    amount: int
    currency: str
    status: DisputeStatus
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DisputeList:
    """A payment's disputes, the newest first. ``complete``: there are no others."""

    disputes: tuple[ListedDispute, ...]
    complete: bool


# ---------------------------------------------------------------------------------------------------- expected trouble


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened: a timeout, a broken connection or a 5xx on a request that can move money."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retryable:
    """It surely has not happened: nothing was sent, the processor was too busy, or only a question was lost."""

    reason: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """A person must act: wrong credentials, missing permission, an account that can't take this."""

    code: str
    message: str


Trouble: TypeAlias = Unknown | Retryable | Misconfigured
PaymentOutcome: TypeAlias = (
    Captured | Authorized | ActionRequired | StillProcessing | Declined | Voided | NotFound | Trouble
)
RefundOutcome: TypeAlias = RefundSucceeded | RefundPending | RefundRejected | RefundNotFound | Trouble
RefundListing: TypeAlias = RefundList | NotFound | Trouble
DisputeListing: TypeAlias = DisputeList | NotFound | Trouble


class Processor(Protocol):
    """One merchant's account at a processor. Every call ends within the configured time and repeats nothing by itself.

    The caller may repeat every call: a second ``create_payment`` of the same attempt, or ``create_refund`` of the same
    refund, has the effect of one.
    """

    async def create_payment(self, request: PaymentRequest) -> PaymentOutcome:
        """Starts the payment, and takes or holds the money if that needs nobody else."""
        ...

    async def get_payment(self, ref: PaymentRef) -> PaymentOutcome:
        """What became of a payment: by the processor's id, else by the order and attempt in its metadata."""
        ...

    async def capture_payment(self, ref: PaymentRef, amount: int) -> PaymentOutcome:
        """Takes ``amount`` of what is held and releases the rest; of a payment in another state, that state."""
        ...

    async def cancel_payment(self, ref: PaymentRef) -> PaymentOutcome:
        """Cancels a payment that is not captured; of a payment in another state, that state."""
        ...

    async def create_refund(
        self, *, refund_id: UUID, ref: PaymentRef, amount: int, reason: str | None
    ) -> RefundOutcome:
        """Pays ``amount`` back."""
        ...

    async def get_refund(self, *, refund_id: UUID, processor_refund_id: str | None, ref: PaymentRef) -> RefundOutcome:
        """What became of a refund: by the processor's id, else by the refund id in its metadata."""
        ...

    async def list_refunds(self, ref: PaymentRef) -> RefundListing:
        """The refunds of a payment that the processor has told the id of."""
        ...

    async def list_disputes(self, ref: PaymentRef) -> DisputeListing:
        """The disputes of a payment that the processor has told the id of."""
        ...

    async def close(self) -> None:
        """Lets go of what this adapter itself holds; the HTTP session is shared and stays open."""
        ...
