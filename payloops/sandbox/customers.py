"""What happens outside the APIs: the customer in a browser, the bank, and somebody at the processor's dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from payloops.sandbox import ledger
from payloops.sandbox.engine import Engine, Work
from payloops.sandbox.razorpay import payments as razorpay
from payloops.sandbox.signatures import razorpay_payment_signature
from payloops.sandbox.store import Account, StoredDocument
from payloops.sandbox.stripe import cards, refunds
from payloops.sandbox.stripe import payments as stripe
from payloops.sandbox.wire import Document, Refusal, json_reply


def problem(status: int, code: str, message: str, param: str | None = None) -> Refusal:
    """A refusal of the control API: ``{"error": {code, message, param}}``."""
    error = {"code": code, "message": message} | ({"param": param} if param else {})
    return Refusal(json_reply(status, {"error": error}))


def subject(engine: Engine, payment_id: str) -> tuple[Account, StoredDocument]:
    """The payment (or Razorpay order) of an id, and its account.

    :raises Refusal: 404.
    """
    found = engine.store.document(payment_id)
    account = engine.store.account(found.account) if found else None
    if found is None or account is None or found.kind not in {stripe.INTENT, razorpay.PAYMENT, razorpay.ORDER}:
        raise problem(404, "not_found", f"There is no payment {payment_id}.")
    return account, found


@contextmanager
def acting_on(engine: Engine, payment_id: str) -> Iterator[tuple[Work, StoredDocument]]:
    """Work on the payment (or Razorpay order) of an id.

    :raises Refusal: 404.
    """
    account, found = subject(engine, payment_id)
    with engine.work(account) as work:
        yield work, work.find(found.kind, found.id) or found


def authenticate(work: Work, payment: StoredDocument, *, passed: bool) -> Document:
    """The customer's answer to 3-D Secure. The payment as the ledger shows it.

    :raises Refusal: it waits for no answer.
    """
    if payment.kind != stripe.INTENT:
        raise problem(400, "not_supported", "At Razorpay the customer authenticates within the checkout: use /pay.")
    stripe.authenticate(work, payment, passed=passed)
    return ledger.stripe_payment(work, payment)


def pay(work: Work, payment: StoredDocument, *, method: str, token: str) -> Document:
    """The customer pays in the processor's own checkout with a test token. The payment as the ledger shows it.

    :raises Refusal: it can't be paid any more, or there is no such token.
    """
    fate = cards.find_method(token)
    if fate is None:
        raise problem(400, "invalid_request", f"There is no test token {token}.", "token")
    if payment.kind == stripe.INTENT:
        stripe.confirm(work, payment, stripe.new_method(work, fate), stripe.Confirmation())
        return ledger.stripe_payment(work, payment)
    order = work.find(razorpay.ORDER, payment.body.get("order_id", payment.id))
    if order is None:
        raise RuntimeError("the order of a stored payment is missing")
    made = razorpay.pay(work, order, method=method, fate=_razorpay_fate(fate))
    signature = razorpay_payment_signature(work.account.secret or "", order.id, made.id)
    return ledger.razorpay_payment(made, order) | {"orderId": order.id, "signature": signature}


def _razorpay_fate(method: cards.SimulatedMethod) -> dict[str, Any]:
    fate: dict[str, Any] = {}
    if method.decline is not None:
        fate["declined"] = [method.decline.decline_code or method.decline.code, method.decline.message]
    if method.refund != "succeeds":
        fate["refund"] = method.refund
    if method.dispute is not None:
        fate["dispute"] = True
    return fate


def refund(work: Work, payment: StoredDocument, amount: int | None) -> Document:
    """A refund made in the processor's dashboard. The refund as the ledger shows it.

    :raises Refusal: there is not that much left.
    """
    if payment.kind == stripe.INTENT:
        charged = _charge(work, payment)
        made = refunds.refund_charge(work, charged, amount, reason="requested_by_customer", metadata={})
        return ledger.stripe_refund(made)
    return ledger.razorpay_refund(razorpay.refund(work, _money_of(work, payment), amount))


def dispute(work: Work, payment: StoredDocument) -> Document:
    """The customer disputes a payment with the bank.

    :raises Refusal: it took no money, or is disputed already.
    """
    if payment.kind == stripe.INTENT:
        made = refunds.dispute_charge(work, _charge(work, payment), reason="fraudulent")
        return _dispute_entry(made, payment.id)
    paid = _money_of(work, payment)
    return _dispute_entry(razorpay.dispute(work, paid), paid.id)


def close_dispute(work: Work, payment: StoredDocument, *, won: bool) -> Document:
    """The bank decides the open dispute of a payment.

    :raises Refusal: none is open.
    """
    if payment.kind == stripe.INTENT:
        found = refunds.disputes_of(work, payment.id)
        still_open = [one for one in found if one.body["status"] in refunds.OPEN_DISPUTE]
        if still_open:
            refunds.close_dispute(work, still_open[0], won=won)
            return _dispute_entry(still_open[0], payment.id)
    else:
        paid = _money_of(work, payment)
        still_open = [one for one in razorpay.disputes_of(work, paid.id) if one.body["status"] == "open"]
        if still_open:
            razorpay.close_dispute(work, paid, still_open[0], won=won)
            return _dispute_entry(still_open[0], paid.id)
    raise problem(400, "invalid_status", f"Payment {payment.id} has no open dispute.")


def _dispute_entry(made: StoredDocument, payment_id: str) -> Document:
    body = made.body
    return {"id": made.id, "paymentId": payment_id, "amount": body["amount"], "status": body["status"]}


def _charge(work: Work, intent: StoredDocument) -> StoredDocument:
    if intent.body["latest_charge"] is None:
        raise problem(400, "invalid_status", f"Payment {intent.id} took no money yet.")
    return stripe.charge_of(work, intent)


def _money_of(work: Work, payment: StoredDocument) -> StoredDocument:
    """The Razorpay payment that took the money: itself, or its order's."""
    if payment.kind == razorpay.PAYMENT:
        return payment
    for paid in razorpay.payments_of(work, payment.id):
        if paid.body["status"] != "failed":
            return paid
    raise problem(400, "invalid_status", f"Order {payment.id} is not paid yet.")
