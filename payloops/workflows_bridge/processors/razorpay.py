"""Razorpay, over plain HTTP (https://razorpay.com/docs/api/).

A payment starts as a Razorpay order, which the customer pays in Razorpay's own checkout; that makes a payment of the
order. Orders know no idempotency key, so ours is the ``receipt``: it is looked up before an order is made. A second
order made in spite of that moves no money, for only the one that we told can be paid.

A payment that is authorized can't be voided: what is not captured in time, Razorpay gives back by itself
(https://razorpay.com/docs/payments/payments/capture-settings/).
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson

from payloops.values import born_s
from payloops.workflows_bridge.processors.base import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    DisputeList,
    DisputeListing,
    ListedDispute,
    ListedRefund,
    Misconfigured,
    NotFound,
    PaymentOutcome,
    PaymentRef,
    PaymentRequest,
    RefundList,
    RefundListing,
    RefundNotFound,
    RefundOutcome,
    RefundRejected,
    Retryable,
    StillProcessing,
    Trouble,
    Unknown,
    Voided,
)
from payloops.workflows_bridge.processors.razorpay_replies import (
    Document,
    furthest,
    items,
    listed_dispute,
    listed_refund,
    notes,
    optional_text,
    payment_outcome,
    refund_outcome,
    text,
    to_be_paid,
)
from payloops.workflows_bridge.processors.transport import (
    CredentialsRefused,
    MaybeExecuted,
    NotExecuted,
    Transport,
    UnreadableReply,
)

RECEIPT_CHARS_MAX: Final = 40
NOTE_CHARS_MAX: Final = 256
PAGE_SIZE: Final = 100
PAGES_MAX: Final = 5
CLOCK_SKEW_S: Final = 300

_NOT_DECIDED: Final = frozenset({"GATEWAY_ERROR", "SERVER_ERROR"})
"""Error codes that say nothing about whether the request was carried out, whatever the HTTP status."""

_Outcome = TypeVar("_Outcome")


class _Refused(Exception):
    """Razorpay's error object: the request was understood and not carried out."""

    def __init__(self, error: Mapping[str, Any], status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.code = optional_text(error, "code") or "BAD_REQUEST_ERROR"
        self.reason = optional_text(error, "reason")
        self.message = optional_text(error, "description") or "Razorpay refused the request."
        self.is_missing = status == 404 or "does not exist" in self.message  # noqa: PLR2004 - an HTTP status


class RazorpayProcessor:
    """A merchant's Razorpay account."""

    def __init__(self, key_id: str, key_secret: str, *, api_base: str, transport: Transport) -> None:
        self._key_id = key_id
        self._authorization = "Basic " + base64.b64encode(f"{key_id}:{key_secret}".encode()).decode("ascii")
        self._api = api_base.rstrip("/") + "/v1"
        self._transport = transport

    def __repr__(self) -> str:
        return "<RazorpayProcessor>"

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    # ------------------------------------------------------------------------------------------------------- payments

    async def create_payment(self, request: PaymentRequest) -> PaymentOutcome:
        """A Razorpay order, to be paid in Razorpay's checkout with what stands in ``processor_data``."""
        return await self._ask(lambda: self._create(request), moves_money=True)

    async def get_payment(self, ref: PaymentRef) -> PaymentOutcome:
        """The furthest payment of the order, or that the order waits to be paid.

        ``Authorized`` of an order with automatic capture is what Razorpay calls a late authorization: it is given back
        unless it is captured.
        """
        return await self._ask(lambda: self._get(ref), moves_money=False)

    async def capture_payment(self, ref: PaymentRef, amount: int) -> PaymentOutcome:
        """Captures; Razorpay itself may insist on the whole amount. A second capture answers as the first did."""
        return await self._ask(lambda: self._capture(ref, amount), moves_money=True)

    async def cancel_payment(self, ref: PaymentRef) -> PaymentOutcome:
        """Checks that nothing was captured: there is nothing to cancel at Razorpay.

        An unpaid order just stays unpaid and an authorized payment is given back when it is not captured, so both are
        ``Voided``. A customer who pays after that is a late success.
        """
        return await self._ask(lambda: self._cancel(ref), moves_money=False)

    async def _create(self, request: PaymentRequest) -> PaymentOutcome:
        ref = PaymentRef(request.order_id, request.attempt, None, None, request.amount, request.currency)
        existing = await self._orders(ref)
        if existing:
            return await self._furthest_of_orders(existing, ref)
        body = {
            "amount": request.amount,
            "currency": request.currency,
            "receipt": _receipt(ref),
            "payment_capture": request.capture_method == "automatic",
            "notes": _order_notes(request),
        }
        try:
            order = await self._call("POST", "/orders", body)
        except _Refused as refusal:
            return Declined(None, None, refusal.code, refusal.reason, refusal.message)
        return to_be_paid(text(order, "id"), ref, self._key_id)

    async def _get(self, ref: PaymentRef) -> PaymentOutcome:
        try:
            if ref.processor_order_id is not None:
                return await self._furthest_of_orders([ref.processor_order_id], ref)
            if ref.processor_transaction_id is not None:
                payment = await self._call("GET", _path("payments", ref.processor_transaction_id))
                return payment_outcome(payment, ref, self._key_id)
            orders = await self._orders(ref)
            return await self._furthest_of_orders(orders, ref) if orders else NotFound()
        except _Refused as refusal:
            if refusal.is_missing:
                return NotFound()
            raise

    async def _capture(self, ref: PaymentRef, amount: int) -> PaymentOutcome:
        payment_id = ref.processor_transaction_id
        if payment_id is None:
            found = await self._get(ref)
            if not isinstance(found, Authorized):
                return found
            payment_id = found.processor_transaction_id
        path = _path("payments", payment_id)
        try:
            payment = await self._call("POST", f"{path}/capture", {"amount": amount, "currency": ref.currency})
        except _Refused as refusal:
            if refusal.is_missing:
                return NotFound()
            state = payment_outcome(await self._call("GET", path), ref, self._key_id)
            if not isinstance(state, Authorized):
                return state
            return Declined(state.processor_order_id, payment_id, refusal.code, refusal.reason, refusal.message)
        return payment_outcome(payment, ref, self._key_id)

    async def _cancel(self, ref: PaymentRef) -> PaymentOutcome:
        state = await self._get(ref)
        match state:
            case Authorized() | ActionRequired() | StillProcessing():
                return Voided(state.processor_order_id, state.processor_transaction_id)
            case Declined(processor_order_id=str() as order_id):
                return Voided(order_id, state.processor_transaction_id)
            case _:
                return state

    async def _orders(self, ref: PaymentRef) -> list[str]:
        """Ids of the Razorpay orders for this order and attempt: one, unless two were made at the same moment."""
        query = urlencode({"receipt": _receipt(ref), "count": PAGE_SIZE})
        found = items(await self._call("GET", f"/orders?{query}"))
        return [text(order, "id") for order in found if _is_of(order, ref)]

    async def _furthest_of_orders(self, order_ids: list[str], ref: PaymentRef) -> PaymentOutcome:
        payments: list[Document] = []
        for order_id in order_ids:
            payments += items(await self._call("GET", f"{_path('orders', order_id)}/payments"))
        payment = furthest(payments)
        if payment is None:
            return to_be_paid(order_ids[0], ref, self._key_id)
        return payment_outcome(payment, ref, self._key_id)

    # -------------------------------------------------------------------------------------------------------- refunds

    async def create_refund(
        self, *, refund_id: UUID, ref: PaymentRef, amount: int, reason: str | None
    ) -> RefundOutcome:
        """A refund at normal speed, unless the payment has one with this refund id."""
        return await self._ask(lambda: self._refund(refund_id, ref, amount, reason), moves_money=True)

    async def get_refund(self, *, refund_id: UUID, processor_refund_id: str | None, ref: PaymentRef) -> RefundOutcome:
        """By id, else among the payment's refunds by note."""
        return await self._ask(lambda: self._get_refund(refund_id, processor_refund_id, ref), moves_money=False)

    async def _refund(self, refund_id: UUID, ref: PaymentRef, amount: int, reason: str | None) -> RefundOutcome:
        payment_id = await self._paid_by(ref)
        if payment_id is None:
            return RefundRejected(None, "BAD_REQUEST_ERROR", "The processor does not know the payment to refund.")
        body = {"amount": amount, "receipt": str(refund_id), "notes": _refund_notes(refund_id, ref, reason)}
        # At least ten letters, digits, hyphens and underscores:
        # https://razorpay.com/docs/api/refunds/normal-refunds-idempotent/
        key = {"X-Refund-Idempotency": f"refund-{refund_id}"}
        try:
            refund = await self._find_refund(refund_id, payment_id)
            if refund is None:
                refund = await self._call("POST", f"{_path('payments', payment_id)}/refund", body, key)
        except _Refused as refusal:
            return RefundRejected(None, refusal.code, refusal.message)
        return refund_outcome(refund)

    async def _get_refund(self, refund_id: UUID, processor_refund_id: str | None, ref: PaymentRef) -> RefundOutcome:
        try:
            if processor_refund_id is not None:
                return refund_outcome(await self._call("GET", _path("refunds", processor_refund_id)))
            payment_id = await self._paid_by(ref)
            refund = None if payment_id is None else await self._find_refund(refund_id, payment_id)
        except _Refused as refusal:
            if refusal.is_missing:
                return RefundNotFound()
            raise
        return RefundNotFound() if refund is None else refund_outcome(refund)

    async def _paid_by(self, ref: PaymentRef) -> str | None:
        """Id of the payment that can be refunded."""
        if ref.processor_transaction_id is not None:
            return ref.processor_transaction_id
        state = await self._get(ref)
        return state.processor_transaction_id if isinstance(state, Captured) else None

    async def _find_refund(self, refund_id: UUID, payment_id: str) -> Document | None:
        for page in range(PAGES_MAX):
            query = urlencode({"count": PAGE_SIZE, "skip": page * PAGE_SIZE})
            refunds = items(await self._call("GET", f"{_path('payments', payment_id)}/refunds?{query}"))
            for refund in refunds:
                if notes(refund).get("refund_id") == str(refund_id):
                    return refund
            if len(refunds) < PAGE_SIZE:
                return None
        raise NotExecuted("too many refunds of one payment to look through")

    async def list_refunds(self, ref: PaymentRef) -> RefundListing:
        """The newest of them: PAGES_MAX pages."""
        return await self._ask(lambda: self._list_refunds(ref), moves_money=False)

    async def _list_refunds(self, ref: PaymentRef) -> RefundListing:
        payment_id = await self._paid_by(ref)
        if payment_id is None:
            return NotFound()
        listed: list[ListedRefund] = []
        for page in range(PAGES_MAX):
            query = urlencode({"count": PAGE_SIZE, "skip": page * PAGE_SIZE})
            try:
                refunds = items(await self._call("GET", f"{_path('payments', payment_id)}/refunds?{query}"))
            except _Refused as refusal:
                if refusal.is_missing:
                    return NotFound()
                raise
            listed += map(listed_refund, refunds)
            if len(refunds) < PAGE_SIZE:
                return RefundList(tuple(listed), complete=True)
        return RefundList(tuple(listed), complete=False)

    # ------------------------------------------------------------------------------------------------------- disputes

    async def list_disputes(self, ref: PaymentRef) -> DisputeListing:
        """Razorpay lists an account's disputes by time alone: those since the order was made, PAGES_MAX pages."""
        return await self._ask(lambda: self._list_disputes(ref), moves_money=False)

    async def _list_disputes(self, ref: PaymentRef) -> DisputeListing:
        payment_id = await self._paid_by(ref)
        if payment_id is None:
            return NotFound()
        made_at_s = born_s(ref.order_id)
        since = {} if made_at_s is None else {"from": int(made_at_s) - CLOCK_SKEW_S}
        listed: list[ListedDispute] = []
        for page in range(PAGES_MAX):
            query = urlencode({**since, "count": PAGE_SIZE, "skip": page * PAGE_SIZE})
            disputes = items(await self._call("GET", f"/disputes?{query}"))
            listed += [listed_dispute(one) for one in disputes if one.get("payment_id") == payment_id]
            if len(disputes) < PAGE_SIZE:
                return DisputeList(tuple(listed), complete=True)
        return DisputeList(tuple(listed), complete=False)

    # --------------------------------------------------------------------------------------------- requests and trouble

    async def _call(
        self, method: str, path: str, body: Document | None = None, headers: Mapping[str, str] | None = None
    ) -> Document:
        """One request's answer. Raises ``_Refused`` and what ``Transport.send`` raises."""
        reply = await self._transport.send(
            method,
            self._api + path,
            headers={"Authorization": self._authorization, "Content-Type": "application/json", **(headers or {})},
            body=None if body is None else orjson.dumps(body),
        )
        if 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP statuses
            return reply.document
        error = reply.document.get("error")
        refusal = _Refused(error if isinstance(error, dict) else {}, reply.status)
        if refusal.code in _NOT_DECIDED:
            reason = f"{refusal.code} (HTTP {reply.status})"
            raise NotExecuted(reason) if method == "GET" else MaybeExecuted(reason)
        raise refusal

    async def _ask(self, ask: Callable[[], Awaitable[_Outcome]], *, moves_money: bool) -> _Outcome | Trouble:
        """One ask under one deadline, with expected trouble as its outcome."""
        try:
            with self._transport.one_ask():
                return await ask()
        except NotExecuted as trouble:
            return Retryable(trouble.reason, trouble.retry_after_s)
        except MaybeExecuted as trouble:
            return Unknown(trouble.reason)
        except CredentialsRefused:
            return Misconfigured("authentication_error", "Razorpay refused the key, or does not allow it to do this.")
        except _Refused as refusal:
            # A question that Razorpay does not take: nothing that asking again would change.
            return Misconfigured(refusal.code, refusal.message)
        except UnreadableReply as trouble:
            reason = f"Razorpay's answer can't be used ({trouble})"
            return Unknown(reason) if moves_money else Retryable(reason)


def _path(collection: str, identifier: str) -> str:
    return f"/{collection}/{quote(identifier, safe='')}"


def _receipt(ref: PaymentRef) -> str:
    """Names the attempt in at most 40 characters; the hyphens of the order id give way to a long attempt number."""
    receipt = f"{ref.order_id}-{ref.attempt}"
    return receipt if len(receipt) <= RECEIPT_CHARS_MAX else f"{ref.order_id.hex}-{ref.attempt}"


def _is_of(order: Document, ref: PaymentRef) -> bool:
    """Whether a Razorpay order is ours for this attempt: the receipt alone could be anyone's in the same account."""
    made_for = notes(order)
    return (made_for.get("order_id"), made_for.get("attempt")) == (str(ref.order_id), str(ref.attempt))


def _order_notes(request: PaymentRequest) -> dict[str, str]:
    order_notes = {
        "order_id": str(request.order_id),
        "merchant_id": str(request.merchant_id),
        "attempt": str(request.attempt),
        "correlation_id": request.correlation_id,
    }
    if request.external_id is not None:
        order_notes["external_id"] = request.external_id[:NOTE_CHARS_MAX]
    if request.description is not None:
        order_notes["description"] = request.description[:NOTE_CHARS_MAX]
    return order_notes


def _refund_notes(refund_id: UUID, ref: PaymentRef, reason: str | None) -> dict[str, str]:
    refund_notes = {"refund_id": str(refund_id), "order_id": str(ref.order_id), "attempt": str(ref.attempt)}
    if ref.merchant_id is not None:
        refund_notes["merchant_id"] = str(ref.merchant_id)
    if reason is not None:
        refund_notes["reason"] = reason[:NOTE_CHARS_MAX]
    return refund_notes
