"""The orders, payments, refunds and disputes endpoints: parameters in, entities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from payloops.sandbox.engine import Work
from payloops.sandbox.parameters import INTEGER_MAX, Parameters
from payloops.sandbox.razorpay import objects, payments
from payloops.sandbox.razorpay.errors import bad_request, malformed, no_such_id
from payloops.sandbox.razorpay.payments import DISPUTE, ORDER, PAYMENT, RECEIPT, REFUND
from payloops.sandbox.shell import Call
from payloops.sandbox.store import Page, StoredDocument
from payloops.sandbox.wire import Reply, json_reply
from payloops.values import currency_code

_COUNT_DEFAULT: Final = 10
_COUNT_MAX: Final = 100
_NOTES_MAX: Final = 15
_NOTE_LENGTH_MAX: Final = 256
_RECEIPT_LENGTH_MAX: Final = 40
_LIST_PARAMETERS: Final = ("count", "skip", "from", "to", "expand")
_ORDER_PARAMETERS: Final = (
    "amount", "currency", "receipt", "notes", "partial_payment", "first_payment_min_amount", "payment_capture",
    "payment", "offer_id", "method", "bank_account", "customer_id", "customer_details", "line_items",
    "line_items_total",
)  # fmt: skip


def _parameters(call: Call, allowed: Sequence[str]) -> Parameters:
    parameters = Parameters(call.values, malformed)
    for name in parameters.unknown(allowed):
        raise bad_request(f"{name} is/are not required and should not be sent", field=name)
    return parameters


def _notes(parameters: Parameters) -> dict[str, Any]:
    notes = parameters.mapping("notes") or {}
    if len(notes) > _NOTES_MAX:
        raise malformed("notes", f"may not hold more than {_NOTES_MAX} keys")
    for name, value in notes.items():
        if isinstance(value, (dict, list)) or len(str(value)) > _NOTE_LENGTH_MAX or len(name) > _NOTE_LENGTH_MAX:
            raise malformed("notes", f"may only hold plain values of at most {_NOTE_LENGTH_MAX} characters")
    return notes


def _found(work: Work, kind: str, document_id: str) -> StoredDocument:
    found = work.find(kind, document_id)
    if found is None:
        raise no_such_id()
    return found


def _collection(found: list[StoredDocument]) -> Reply:
    items = [document.body for document in found]
    return json_reply(200, {"entity": "collection", "count": len(items), "items": items})


def _page(parameters: Parameters) -> Page:
    end_s = parameters.integer("to")
    return Page(
        limit=parameters.integer("count", low=1, high=_COUNT_MAX) or _COUNT_DEFAULT,
        skip=parameters.integer("skip") or 0,
        created_from_s=parameters.integer("from") or 0,
        created_to_s=INTEGER_MAX if end_s is None else end_s,
    )


# ---------------------------------------------------------------------------------------------------------- orders
def create_order(work: Work, call: Call) -> Reply:
    """``POST /v1/orders``."""
    parameters = _parameters(call, _ORDER_PARAMETERS)
    amount = parameters.integer("amount", low=1)
    if amount is None:
        raise bad_request("amount: is required.", field="amount")
    currency = currency_code(parameters.text("currency") or "")
    if currency is None:
        raise bad_request("Currency is not supported", field="currency")
    receipt = parameters.text("receipt", length_max=_RECEIPT_LENGTH_MAX)
    if receipt and work.labelled(ORDER, RECEIPT, receipt, 1):
        raise bad_request("Order receipt should be unique.", field="receipt")
    body = objects.new_order(
        amount=amount, currency=currency, receipt=receipt, notes=_notes(parameters), now_s=work.now_s
    )
    hidden = {"capture": _captures_automatically(parameters), "idempotency_key": receipt}
    work.add(ORDER, body, hidden=hidden, labels={RECEIPT: receipt} if receipt else None)
    return json_reply(200, body)


def _captures_automatically(parameters: Parameters) -> bool:
    """``payment_capture`` or ``payment[capture]``; without either a payment waits to be captured."""
    setting = parameters.nested("payment").choice("capture", ("automatic", "manual"))
    if setting is not None:
        return setting == "automatic"
    return bool(parameters.boolean("payment_capture"))


def fetch_order(work: Work, call: Call) -> Reply:
    """``GET /v1/orders/:id``."""
    return json_reply(200, _found(work, ORDER, call.path["id"]).body)


def list_orders(work: Work, call: Call) -> Reply:
    """``GET /v1/orders``, by receipt too."""
    parameters = _parameters(call, (*_LIST_PARAMETERS, "receipt", "authorized"))
    page = _page(parameters)
    receipt = parameters.text("receipt")
    if receipt is not None:
        return _collection(work.labelled(ORDER, RECEIPT, receipt, page.limit))
    return _collection(work.documents(ORDER, page))


def list_order_payments(work: Work, call: Call) -> Reply:
    """``GET /v1/orders/:id/payments``."""
    order = _found(work, ORDER, call.path["id"])
    return _collection(payments.payments_of(work, order.id))


# -------------------------------------------------------------------------------------------------------- payments
def fetch_payment(work: Work, call: Call) -> Reply:
    """``GET /v1/payments/:id``."""
    return json_reply(200, _found(work, PAYMENT, call.path["id"]).body)


def list_payments(work: Work, call: Call) -> Reply:
    """``GET /v1/payments``."""
    page = _page(_parameters(call, _LIST_PARAMETERS))
    return _collection(work.documents(PAYMENT, page))


def capture_payment(work: Work, call: Call) -> Reply:
    """``POST /v1/payments/:id/capture``."""
    parameters = _parameters(call, ("amount", "currency"))
    amount = parameters.integer("amount", low=1)
    if amount is None:
        raise bad_request("The amount field is required.", field="amount")
    payment = _found(work, PAYMENT, call.path["id"])
    currency = parameters.text("currency")
    if currency is not None and currency != payment.body["currency"]:
        raise bad_request("The currency of the capture must be that of the payment", field="currency")
    payments.capture(work, payment, amount)
    return json_reply(200, payment.body)


# --------------------------------------------------------------------------------------------------------- refunds
def create_refund(work: Work, call: Call) -> Reply:
    """``POST /v1/payments/:id/refund``."""
    parameters = _parameters(call, ("amount", "speed", "notes", "receipt", "reverse_all"))
    amount = parameters.integer("amount", low=1)
    speed = parameters.choice("speed", ("normal", "optimum")) or "normal"
    payment = _found(work, PAYMENT, call.path["id"])
    stored = payments.refund(
        work,
        payment,
        amount,
        receipt=parameters.text("receipt", length_max=_RECEIPT_LENGTH_MAX),
        notes=_notes(parameters),
        speed=speed,
    )
    return json_reply(200, stored.body)


def fetch_refund(work: Work, call: Call) -> Reply:
    """``GET /v1/refunds/:id`` and ``GET /v1/payments/:payment_id/refunds/:id``."""
    found = _found(work, REFUND, call.path["id"])
    if call.path.get("payment_id", found.body["payment_id"]) != found.body["payment_id"]:
        raise no_such_id()
    return json_reply(200, found.body)


def list_refunds(work: Work, call: Call) -> Reply:
    """``GET /v1/refunds``."""
    page = _page(_parameters(call, _LIST_PARAMETERS))
    return _collection(work.documents(REFUND, page))


def list_payment_refunds(work: Work, call: Call) -> Reply:
    """``GET /v1/payments/:id/refunds``."""
    parameters = _parameters(call, _LIST_PARAMETERS)
    payment = _found(work, PAYMENT, call.path["id"])
    return _collection(work.documents(REFUND, _page(parameters), parent=payment.id))


# -------------------------------------------------------------------------------------------------------- disputes
def list_disputes(work: Work, call: Call) -> Reply:
    """``GET /v1/disputes``: by time alone, as Razorpay's own."""
    page = _page(_parameters(call, _LIST_PARAMETERS))
    return _collection(work.documents(DISPUTE, page))


def fetch_dispute(work: Work, call: Call) -> Reply:
    """``GET /v1/disputes/:id``."""
    return json_reply(200, _found(work, DISPUTE, call.path["id"]).body)
