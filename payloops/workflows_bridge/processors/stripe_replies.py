"""What Stripe's PaymentIntents, Refunds and Disputes say, as outcomes.

States: https://docs.stripe.com/payments/paymentintents/lifecycle and https://docs.stripe.com/api/refunds/object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import stripe

from payloops.projections.views import as_uuid
from payloops.workflows_bridge.processors import disputes
from payloops.workflows_bridge.processors.amounts import from_stripe
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    ListedDispute,
    ListedRefund,
    Misconfigured,
    PaymentOutcome,
    RefundOutcome,
    RefundPending,
    RefundRejected,
    RefundSucceeded,
    StillProcessing,
    Voided,
)
from payloops.workflows_bridge.processors.transport import UnreadableReply

_FURTHEST_FIRST: Final = (
    "succeeded", "requires_capture", "processing", "requires_action", "requires_confirmation",
    "requires_payment_method", "canceled",
)  # fmt: skip


def payment_outcome(intent: stripe.PaymentIntent, currency: str) -> PaymentOutcome:
    """Where a PaymentIntent stands. ``currency`` is the one that it must be in.

    Raises ``UnreadableReply``, or ``AmountMismatch`` for an amount that is no whole number of minor units.
    """
    intent_id = identifier(intent)
    if _text(intent, "currency").upper() != currency:
        return Misconfigured("currency_mismatch", "The processor's payment is in another currency than the order.")
    match _text(intent, "status"):
        case "succeeded":
            return Captured(intent_id, intent_id, from_stripe(_whole(intent, "amount_received"), currency))
        case "requires_capture":
            return Authorized(intent_id, intent_id, from_stripe(_whole(intent, "amount_capturable"), currency))
        case "requires_action":
            return _action_required(intent, intent_id)
        case "requires_payment_method" | "requires_confirmation":
            error = getattr(intent, "last_payment_error", None)
            return _action_required(intent, intent_id) if error is None else _declined(error, intent_id)
        case "canceled":
            return Voided(intent_id, intent_id)
        case _:
            # "processing", and whatever Stripe adds: ask again later.
            return StillProcessing(intent_id, intent_id)


def refund_outcome(refund: stripe.Refund, currency: str) -> RefundOutcome:
    """Where a Refund stands. Raises as ``payment_outcome``."""
    refund_id = identifier(refund)
    match getattr(refund, "status", None):
        case "succeeded":
            return RefundSucceeded(refund_id, from_stripe(_whole(refund, "amount"), currency))
        case "failed":
            reason = getattr(refund, "failure_reason", None) or "refund_failed"
            return RefundRejected(refund_id, reason, f"The refund failed ({reason.replace('_', ' ')}).")
        case "canceled":
            return RefundRejected(refund_id, "canceled", "The refund was cancelled at the processor.")
        case _:
            return RefundPending(refund_id)


def listed_refund(refund: stripe.Refund, currency: str) -> ListedRefund:
    """A Refund as one of a list. Raises as ``payment_outcome``."""
    outcome = refund_outcome(refund, currency)
    refund_id = metadata_of(refund).get("refund_id")
    failed = outcome if isinstance(outcome, RefundRejected) else None
    return ListedRefund(
        processor_refund_id=identifier(refund),
        refund_id=as_uuid(refund_id) if isinstance(refund_id, str) else None,
        amount=from_stripe(_whole(refund, "amount"), currency),
        status="success" if isinstance(outcome, RefundSucceeded) else "pending" if failed is None else "failed",
        reason=getattr(refund, "reason", None),
        code=failed.code if failed else "refund_failed",
        message=failed.message if failed else "",
    )


def listed_dispute(dispute: stripe.Dispute) -> ListedDispute:
    """A Dispute as one of a list, in its own currency. Raises as ``payment_outcome``."""
    currency = _text(dispute, "currency").upper()
    return ListedDispute(
        processor_dispute_id=identifier(dispute),
        amount=from_stripe(_whole(dispute, "amount"), currency),
        currency=currency,
        status=disputes.of_stripe(_text(dispute, "status")),
        reason=getattr(dispute, "reason", None) or None,
    )


def furthest(intents: Iterable[stripe.PaymentIntent]) -> stripe.PaymentIntent | None:
    """Of several PaymentIntents for one attempt, the one that got furthest: no money may be overlooked."""

    def distance(intent: stripe.PaymentIntent) -> int:
        status = _text(intent, "status")
        return _FURTHEST_FIRST.index(status) if status in _FURTHEST_FIRST else 0

    return min(intents, key=distance, default=None)


def identifier(thing: stripe.PaymentIntent | stripe.Refund | stripe.Dispute) -> str:
    """Its id. Raises ``UnreadableReply``."""
    return _text(thing, "id")


def members(page: object) -> list[Any]:
    """What a page of a list holds. Raises ``UnreadableReply``."""
    data = getattr(page, "data", None)
    if not isinstance(data, list):
        raise UnreadableReply("no data")
    return data


def metadata_of(thing: stripe.PaymentIntent | stripe.Refund) -> dict[str, Any]:
    """Its metadata, empty when there is none."""
    metadata = getattr(thing, "metadata", None)
    return metadata.to_dict() if isinstance(metadata, stripe.StripeObject) else dict(metadata or {})


def created_s(thing: stripe.PaymentIntent) -> int:
    """When it was made, in Unix seconds. Raises ``UnreadableReply``."""
    return _whole(thing, "created")


def _action_required(intent: stripe.PaymentIntent, intent_id: str) -> ActionRequired:
    """``redirect_to_url`` when a return URL was given; otherwise Stripe's script acts, with the client secret."""
    redirect = getattr(getattr(intent, "next_action", None), "redirect_to_url", None)
    return ActionRequired(
        intent_id,
        intent_id,
        redirect_url=getattr(redirect, "url", None),
        client_secret=getattr(intent, "client_secret", None),
    )


def _declined(error: Any, intent_id: str) -> Declined:
    return Declined(
        intent_id,
        intent_id,
        getattr(error, "code", None) or "payment_failed",
        getattr(error, "decline_code", None),
        getattr(error, "message", None) or "The payment was declined.",
    )


def _text(thing: object, name: str) -> str:
    value = getattr(thing, name, None)
    if not isinstance(value, str) or not value:
        raise UnreadableReply(f"no {name}")
    return value


def _whole(thing: object, name: str) -> int:
    value = getattr(thing, name, None)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableReply(f"no {name}")
    return value
