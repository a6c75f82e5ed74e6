"""Refunds and disputes: money that goes back (docs.stripe.com/refunds, docs.stripe.com/disputes)."""

from __future__ import annotations

from typing import Final

from payloops.sandbox.engine import Work
from payloops.sandbox.store import Page, StoredDocument
from payloops.sandbox.stripe import objects
from payloops.sandbox.stripe.errors import invalid
from payloops.sandbox.stripe.events import emit
from payloops.sandbox.stripe.payments import CHARGE, METHOD, simulated

REFUND: Final = "refund"
DISPUTE: Final = "dispute"

ACTION_SUCCEEDS: Final = "stripe.refund_succeeds"
ACTION_FAILS: Final = "stripe.refund_fails"

OPEN_DISPUTE: Final = ("warning_needs_response", "needs_response", "under_review")
_DISPUTES_MAX: Final = 100


def refund_charge(
    work: Work, charged: StoredDocument, amount: int | None, *, reason: str | None, metadata: dict[str, str]
) -> StoredDocument:
    """Give back ``amount`` or all that is left of a captured charge.

    :raises Refusal: there is not that much left, or the charge can't be refunded.
    """
    charge = charged.body
    if charge["status"] != "succeeded" or not charge["captured"]:
        message = f"Charge {charge['id']} took no money that could be refunded."
        raise invalid(message, code="charge_not_refundable", param="charge", executed=True)
    if charge["disputed"] and not _dispute_won(work, charged):
        message = f"Charge {charge['id']} is disputed: the customer gets the money through the dispute."
        raise invalid(message, code="charge_disputed", executed=True)
    left = refundable(charged)
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid(message, code="charge_already_refunded", executed=True)
    amount = left if amount is None else amount
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})."
        raise invalid(message, param="amount", executed=True)
    body = objects.new_refund(charge, amount, work.now_s, reason=reason, metadata=metadata)
    method = work.find(METHOD, charge["payment_method"])
    fate = simulated(method).refund if method else "succeeds"
    if fate == "pending":
        body |= {"status": "pending", "pending_reason": "processing"}
    stored = work.add(REFUND, body, parent=charge["payment_intent"], hidden={"idempotency_key": work.idempotency_key})
    _count(work, charged, amount)
    emit(work, "refund.created", body)
    if fate != "succeeds":
        work.later(ACTION_SUCCEEDS if fate == "pending" else ACTION_FAILS, stored.id)
    return stored


def refundable(charged: StoredDocument) -> int:
    """What is left of a captured charge; a rest that was released is in ``amount_refunded`` too."""
    return int(charged.body["amount"] - charged.body["amount_refunded"])


def _count(work: Work, charged: StoredDocument, amount: int) -> None:
    before = charged.body["amount_refunded"]
    after = before + amount
    charged.body |= {"amount_refunded": after, "refunded": after == charged.body["amount"]}
    work.save(charged)
    if amount > 0:
        emit(work, "charge.refunded", charged.body, {"amount_refunded": before})


def refund_succeeds(work: Work, refund_id: str) -> None:
    """A pending refund reaches the customer."""
    refund = work.find(REFUND, refund_id)
    if refund is None or refund.body["status"] != "pending":
        return
    refund.body["status"] = "succeeded"
    refund.body.pop("pending_reason", None)
    work.save(refund)
    for event_type in ("charge.refund.updated", "refund.updated"):
        emit(work, event_type, refund.body, {"status": "pending"})


def refund_fails(work: Work, refund_id: str) -> None:
    """The customer's bank sends a refund back: the money is ours again."""
    refund = work.find(REFUND, refund_id)
    charged = work.find(CHARGE, refund.body["charge"]) if refund else None
    if refund is None or charged is None or refund.body["status"] == "failed":
        return
    before = refund.body["status"]
    refund.body |= {
        "status": "failed",
        "failure_reason": "expired_or_canceled_card",
        "failure_balance_transaction": None,
    }
    work.save(refund)
    _count(work, charged, -refund.body["amount"])
    for event_type in ("charge.refund.updated", "refund.updated", "refund.failed"):
        emit(work, event_type, refund.body, {"status": before})


def dispute_charge(work: Work, charged: StoredDocument, *, reason: str) -> StoredDocument:
    """The customer disputes a charge; Stripe takes the money back at once.

    :raises Refusal: no money was taken, or it is disputed already.
    """
    if not charged.body["captured"] or charged.body["disputed"]:
        message = f"Charge {charged.id} can't be disputed: it took no money, or it is disputed already."
        raise invalid(message, code="charge_disputed", executed=True)
    charged.body["disputed"] = True
    work.save(charged)
    dispute = work.add(
        DISPUTE,
        objects.new_dispute(charged.body, work.now_s, reason=reason),
        parent=charged.body["payment_intent"],
    )
    emit(work, "charge.dispute.created", dispute.body)
    emit(work, "charge.dispute.funds_withdrawn", dispute.body)
    return dispute


def charge_disputed(work: Work, charge_id: str) -> None:
    """A charge of the test card for disputes is disputed."""
    charged = work.find(CHARGE, charge_id)
    if charged is None or charged.body["disputed"]:
        return
    method = work.find(METHOD, charged.body["payment_method"])
    reason = simulated(method).dispute if method else None
    dispute_charge(work, charged, reason=reason or "fraudulent")


def close_dispute(work: Work, dispute: StoredDocument, *, won: bool) -> None:
    """The bank decides a dispute; a won one returns the money to us."""
    before = dispute.body["status"]
    dispute.body["status"] = "won" if won else "lost"
    work.save(dispute)
    emit(work, "charge.dispute.updated", dispute.body, {"status": before})
    emit(work, "charge.dispute.closed", dispute.body, {"status": before})
    if won:
        emit(work, "charge.dispute.funds_reinstated", dispute.body)


def disputes_of(work: Work, payment_intent_id: str) -> list[StoredDocument]:
    """The disputes of a payment, newest first."""
    page = Page(limit=_DISPUTES_MAX)
    return work.documents(DISPUTE, page, parent=payment_intent_id)


def _dispute_won(work: Work, charged: StoredDocument) -> bool:
    return all(dispute.body["status"] == "won" for dispute in disputes_of(work, charged.body["payment_intent"]))
