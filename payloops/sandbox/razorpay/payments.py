"""The life of a Razorpay order: paid in the checkout, captured, refunded, disputed.

As in razorpay.com/docs/payments/payments (statuses created, authorized, captured, refunded, failed). The functions
change stored documents inside one :class:`~payloops.sandbox.engine.Work`.
"""

from __future__ import annotations

from typing import Any, Final

from payloops.sandbox.engine import Work
from payloops.sandbox.razorpay import objects
from payloops.sandbox.razorpay.errors import bad_request, not_allowed
from payloops.sandbox.razorpay.events import emit
from payloops.sandbox.store import Page, StoredDocument

ORDER: Final = "order"
PAYMENT: Final = "payment"
REFUND: Final = "rzp_refund"
DISPUTE: Final = "rzp_dispute"
RECEIPT: Final = "receipt"

ACTION_REFUND_PROCESSED: Final = "razorpay.refund_processed"
ACTION_REFUND_FAILED: Final = "razorpay.refund_failed"
ACTION_DISPUTE: Final = "razorpay.payment_disputed"

_SIBLINGS_MAX: Final = 100


def pay(work: Work, order: StoredDocument, *, method: str, fate: dict[str, Any]) -> StoredDocument:
    """The customer pays an order in Razorpay's checkout.

    ``fate`` says what becomes of the payment: ``declined`` (a reason and a sentence, or absent), ``refund``
    (``pending`` or ``fails``, or absent), ``dispute`` (true, or absent).

    :raises Refusal: the order is paid already.
    """
    if order.body["status"] == "paid" or order.hidden.get("held"):
        raise not_allowed("Payment already done for this order.")
    order.body |= {"attempts": order.body["attempts"] + 1, "status": "attempted"}
    body = objects.new_payment(order.body, method, work.now_s)
    if "declined" in fate:
        reason, sentence = fate["declined"]
        body |= {
            "status": "failed",
            "error_code": "BAD_REQUEST_ERROR",
            "error_description": sentence,
            "error_source": "bank",
            "error_step": "payment_authorization",
            "error_reason": reason,
        }
        payment = work.add(PAYMENT, body, parent=order.id, hidden=fate)
        work.save(order)
        emit(work, "payment.failed", payment=body)
        return payment
    order.hidden["held"] = True
    payment = work.add(PAYMENT, body, parent=order.id, hidden=fate)
    work.save(order)
    emit(work, "payment.authorized", payment=body)
    if order.hidden["capture"]:
        capture(work, payment, body["amount"])
    return payment


def capture(work: Work, payment: StoredDocument, amount: int) -> None:
    """Take an authorized payment, whole: Razorpay has no partial capture.

    :raises Refusal: it is not authorized, or the amount differs.
    """
    status = payment.body["status"]
    if status in {"captured", "refunded"}:
        raise not_allowed("This payment has already been captured")
    if status != "authorized":
        raise not_allowed("Only payments which have been authorized and not yet captured can be captured")
    if amount != payment.body["amount"]:
        raise bad_request("Capture amount must be equal to the amount authorized", field="amount")
    fee, tax = objects.fee_of(amount)
    payment.body |= {"status": "captured", "captured": True, "fee": fee, "tax": tax}
    work.save(payment)
    emit(work, "payment.captured", payment=payment.body)
    order = work.find(ORDER, payment.body["order_id"])
    if order is None:
        raise RuntimeError("the order of a stored payment is missing")
    order.body |= {"status": "paid", "amount_paid": amount, "amount_due": order.body["amount"] - amount}
    work.save(order)
    emit(work, "order.paid", payment=payment.body, order=order.body)
    if payment.hidden.get("dispute"):
        work.later(ACTION_DISPUTE, payment.id)


def refund(
    work: Work,
    payment: StoredDocument,
    amount: int | None,
    *,
    receipt: str | None = None,
    notes: dict[str, Any] | None = None,
    speed: str = "normal",
) -> StoredDocument:
    """Give back ``amount`` or all that is left of a captured payment.

    :raises Refusal: it took no money, there is not that much left, or the receipt was used.
    """
    if payment.body["status"] == "refunded":
        raise not_allowed("The payment has been fully refunded already")
    if payment.body["status"] != "captured":
        raise not_allowed("The payment status should be captured for action to be taken")
    left = payment.body["amount"] - payment.body["amount_refunded"]
    amount = left if amount is None else amount
    if amount > left:
        raise not_allowed("The total refund amount is greater than the refund payment amount")
    if receipt and work.labelled(REFUND, RECEIPT, receipt, 1):
        raise bad_request("Refund receipt should be unique.", field="receipt")
    body = objects.new_refund(payment.body, amount, work.now_s, receipt=receipt, notes=notes or {}, speed=speed)
    fate = payment.hidden.get("refund")
    if fate is not None:
        body["status"] = "pending"
    stored = work.add(
        REFUND,
        body,
        parent=payment.id,
        hidden={"idempotency_key": work.idempotency_key or receipt},
        labels={RECEIPT: receipt} if receipt else None,
    )
    _count(work, payment, amount)
    emit(work, "refund.created", refund=body, payment=payment.body)
    if fate is None:
        emit(work, "refund.processed", refund=body, payment=payment.body)
    else:
        work.later(ACTION_REFUND_PROCESSED if fate == "pending" else ACTION_REFUND_FAILED, stored.id)
    return stored


def _count(work: Work, payment: StoredDocument, amount: int) -> None:
    after = payment.body["amount_refunded"] + amount
    whole = after == payment.body["amount"]
    payment.body |= {
        "amount_refunded": after,
        "refund_status": "full" if whole else "partial" if after else None,
        "status": "refunded" if whole else "captured",
    }
    work.save(payment)


def _pending(work: Work, refund_id: str) -> tuple[StoredDocument, StoredDocument] | None:
    """(refund, payment) of a refund that is still pending."""
    found = work.find(REFUND, refund_id)
    payment = work.find(PAYMENT, found.body["payment_id"]) if found else None
    if found is None or payment is None or found.body["status"] != "pending":
        return None
    return found, payment


def refund_processed(work: Work, refund_id: str) -> None:
    """A pending refund reaches the customer."""
    pair = _pending(work, refund_id)
    if pair is not None:
        refunded, payment = pair
        refunded.body["status"] = "processed"
        work.save(refunded)
        emit(work, "refund.processed", refund=refunded.body, payment=payment.body)


def refund_failed(work: Work, refund_id: str) -> None:
    """The customer's bank refuses a pending refund: the money is ours again."""
    pair = _pending(work, refund_id)
    if pair is not None:
        refunded, payment = pair
        refunded.body["status"] = "failed"
        work.save(refunded)
        _count(work, payment, -refunded.body["amount"])
        emit(work, "refund.failed", refund=refunded.body, payment=payment.body)


def dispute(work: Work, payment: StoredDocument) -> StoredDocument:
    """The customer disputes a payment.

    :raises Refusal: it took no money, or a dispute is open.
    """
    if not payment.body["captured"] or any(open_.body["status"] == "open" for open_ in disputes_of(work, payment.id)):
        raise not_allowed("The payment can't be disputed: it took no money, or a dispute is open")
    stored = work.add(DISPUTE, objects.new_dispute(payment.body, work.now_s), parent=payment.id)
    emit(work, "payment.dispute.created", payment=payment.body, dispute=stored.body)
    return stored


def payment_disputed(work: Work, payment_id: str) -> None:
    """A payment with the test token for disputes is disputed."""
    payment = work.find(PAYMENT, payment_id)
    if payment is not None and not disputes_of(work, payment_id):
        dispute(work, payment)


def close_dispute(work: Work, payment: StoredDocument, disputed: StoredDocument, *, won: bool) -> None:
    """The bank decides."""
    disputed.body |= {
        "status": "won" if won else "lost",
        "amount_deducted": 0 if won else disputed.body["amount"],
    }
    work.save(disputed)
    emit(work, f"payment.dispute.{disputed.body['status']}", payment=payment.body, dispute=disputed.body)


def disputes_of(work: Work, payment_id: str) -> list[StoredDocument]:
    """The disputes of a payment, newest first."""
    return work.documents(DISPUTE, Page(limit=_SIBLINGS_MAX), parent=payment_id)


def payments_of(work: Work, order_id: str) -> list[StoredDocument]:
    """The payments of an order, newest first."""
    return work.documents(PAYMENT, Page(limit=_SIBLINGS_MAX), parent=order_id)
