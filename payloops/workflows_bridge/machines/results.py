"""What activities answer a machine: the JSON of outcomes, and the parts that a machine reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Activity(StrEnum):
    """The activities that machines call, by the name that a worker registers."""

    CHARGE = "chargePayment"
    ASK = "askPayment"
    CAPTURE = "capturePayment"
    CANCEL = "cancelPayment"
    REFUND = "createRefund"
    ASK_REFUND = "askRefund"
    RECORD_PAYMENT = "recordPayment"
    RECORD_REFUND = "recordRefund"
    ATTEMPT_DELIVERY = "attemptDelivery"


class Told(StrEnum):
    """What a processor told, or did not tell. Payments and refunds share the words."""

    CAPTURED = "captured"
    AUTHORIZED = "authorized"
    ACTION_REQUIRED = "action_required"
    PROCESSING = "processing"
    DECLINED = "declined"
    VOIDED = "voided"
    REFUNDED = "refunded"
    REFUND_PENDING = "refund_pending"
    REFUND_REJECTED = "refund_rejected"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"
    RETRYABLE = "retryable"
    MISCONFIGURED = "misconfigured"
    OBSOLETE = "obsolete"
    """Nobody was asked: the order needs nothing more of this workflow."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An activity's answer. ``account`` names the processor account that was asked, without a secret."""

    told: Told
    account: str | None = None
    repeated: bool | None = None
    """Whether the call may have been made before, and its answer lost."""
    processor_order_id: str | None = None
    processor_transaction_id: str | None = None
    processor_refund_id: str | None = None
    amount: int | None = None
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None
    reason: str | None = None
    retry_after_s: int | None = None
    redirect_url: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    """Both sealed by the merchant's key: they pass through a workflow's history."""
    processor_data: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON; what it does not have is left out."""
        fields = ((_WIRE[name], getattr(self, name)) for name in _WIRE)
        return {wire: value for wire, value in fields if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcome:
        """Raises ValueError for a word that is none of Told's, KeyError for none at all."""
        values: dict[str, Any] = {name: document.get(wire) for name, wire in _WIRE.items()}
        values["told"] = Told(document["told"])
        return cls(**values)


_WIRE = {
    "told": "told",
    "account": "account",
    "repeated": "repeated",
    "processor_order_id": "processorOrderId",
    "processor_transaction_id": "processorTransactionId",
    "processor_refund_id": "processorRefundId",
    "amount": "amount",
    "code": "code",
    "decline_code": "declineCode",
    "message": "message",
    "reason": "reason",
    "retry_after_s": "retryAfterS",
    "redirect_url": "redirectUrl",
    "client_secret": "clientSecret",
    "processor_data": "processorData",
}
