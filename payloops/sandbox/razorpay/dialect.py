"""How Razorpay speaks HTTP: keys, idempotent refunds, and which route is which operation."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Final

from aiohttp import web

from payloops.sandbox.faults import Mode
from payloops.sandbox.ids import secret_text
from payloops.sandbox.parameters import MalformedBodyError, Values, parse_form, parse_json
from payloops.sandbox.razorpay import operations
from payloops.sandbox.razorpay.errors import bad_request, error_reply, unauthenticated
from payloops.sandbox.shell import Operation
from payloops.sandbox.store import Account, StoredReply
from payloops.sandbox.wire import Refusal, Reply

_TEST_KEY: Final = re.compile(r"rzp_test_[A-Za-z0-9_]{1,100}")
_SECRET_LENGTH_MAX: Final = 256
# razorpay.com/docs/api/refunds/normal-refunds-idempotent
_IDEMPOTENCY_KEY: Final = re.compile(r"[A-Za-z0-9_-]{10,255}")
_IDEMPOTENCY_HEADER: Final = "X-Refund-Idempotency"

OPERATIONS: Final = (
    Operation("POST", "/v1/orders", "payment.create", operations.create_order),
    Operation("GET", "/v1/orders", "payment.get", operations.list_orders),
    Operation("GET", "/v1/orders/{id}", "payment.get", operations.fetch_order),
    Operation("GET", "/v1/orders/{id}/payments", "payment.get", operations.list_order_payments),
    Operation("GET", "/v1/payments", "payment.get", operations.list_payments),
    Operation("GET", "/v1/payments/{id}", "payment.get", operations.fetch_payment),
    Operation("POST", "/v1/payments/{id}/capture", "payment.capture", operations.capture_payment),
    Operation("POST", "/v1/payments/{id}/refund", "refund.create", operations.create_refund),
    Operation("GET", "/v1/payments/{id}/refunds", "refund.get", operations.list_payment_refunds),
    Operation("GET", "/v1/payments/{payment_id}/refunds/{id}", "refund.get", operations.fetch_refund),
    Operation("GET", "/v1/refunds", "refund.get", operations.list_refunds),
    Operation("GET", "/v1/refunds/{id}", "refund.get", operations.fetch_refund),
    Operation("GET", "/v1/disputes", "dispute.get", operations.list_disputes),
    Operation("GET", "/v1/disputes/{id}", "dispute.get", operations.fetch_dispute),
)


class RazorpayDialect:
    """Razorpay's side of :class:`payloops.sandbox.shell.Dialect`."""

    processor = "razorpay"

    def authenticate(self, request: web.Request) -> tuple[str, str | None]:
        """Key id and key secret of Basic authentication.

        :raises Refusal: 401.
        """
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        try:
            key, _, secret = base64.b64decode(credential.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise unauthenticated() from None
        if scheme.lower() != "basic" or not _TEST_KEY.fullmatch(key) or not 0 < len(secret) <= _SECRET_LENGTH_MAX:
            raise unauthenticated()
        return key, secret

    def accept(self, account: Account, secret: str | None) -> None:
        """The secret must be the one that was first seen for the key id.

        :raises Refusal: 401.
        """
        if not hmac.compare_digest((account.secret or "").encode(), (secret or "").encode()):
            raise unauthenticated()

    def values(self, request: web.Request, body: bytes) -> Values:
        """A JSON object, form fields, or the query of a GET.

        :raises Refusal: 400, it can't be read.
        """
        try:
            if request.method != "POST":
                return parse_form(request.query_string)
            if request.content_type == "application/x-www-form-urlencoded":
                return parse_form(body.decode())
            return parse_json(body) if body else {}
        except (MalformedBodyError, UnicodeDecodeError) as error:
            raise bad_request("The request body can't be read") from error

    def idempotency_key(self, request: web.Request, operation: Operation) -> str | None:
        """The ``X-Refund-Idempotency`` of a refund; nothing else can be made idempotent.

        :raises Refusal: 400, a malformed key.
        """
        key = request.headers.get(_IDEMPOTENCY_HEADER)
        if not key or operation.name != "refund.create":
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise bad_request("The idempotency key must be at least 10 letters, digits, hyphens and underscores")
        return key

    def new_request_id(self) -> str:
        """32 letters and digits."""
        return secret_text(32)

    def headers(self, request: web.Request, reply: Reply, request_id: str, key: str | None) -> dict[str, str]:
        """Headers of every answer."""
        del request, reply, key
        return {"Request-Id": request_id}

    def replayed(self, stored: StoredReply) -> dict[str, str]:
        """Razorpay does not mark repeated answers."""
        del stored
        return {}

    def key_reused(self, key: str) -> Refusal:
        """400: the key belongs to another refund."""
        del key
        description = "Different request with the same idempotency key has already been processed."
        return Refusal(error_reply(400, description, source="NA", step="NA", reason="NA"))

    def key_in_flight(self, key: str) -> Refusal:
        """409: try again when the first request is done."""
        del key
        description = "A request with the same idempotency key is being processed"
        return Refusal(error_reply(409, description, source="NA", step="NA", reason="NA"))

    def failed(self, mode: Mode) -> Reply:
        """A failure in front of the API: nothing was executed."""
        if mode is Mode.HTTP_429:
            return error_reply(429, "Too many requests", source="NA", step="NA", reason="NA")
        description = "Something went wrong on the simulated processor's side"
        return error_reply(500, description, code="SERVER_ERROR", source="internal", step="NA", reason="NA")


def unknown_route(request: web.Request) -> Reply:
    """404 of a path that the API does not have."""
    del request
    return error_reply(404, "The requested URL was not found on the server.", source="NA", step="NA", reason="NA")
