"""How Stripe speaks HTTP: keys, idempotency, versions, request ids, and which route is which operation."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from aiohttp import web

from payloops.sandbox.faults import Mode
from payloops.sandbox.ids import stripe_id
from payloops.sandbox.parameters import MalformedBodyError, Values, parse_form, parse_json
from payloops.sandbox.shell import Operation
from payloops.sandbox.store import Account, StoredReply
from payloops.sandbox.stripe import accounts, operations
from payloops.sandbox.stripe.errors import error_reply, invalid, unauthenticated
from payloops.sandbox.stripe.objects import API_VERSION
from payloops.sandbox.wire import Refusal, Reply

_TEST_KEY: Final = re.compile(r"(?:sk|rk)_test_[A-Za-z0-9_]{1,250}")
_KEY_LENGTH_MAX: Final = 255

OPERATIONS: Final = (
    Operation("POST", "/v1/payment_intents", "payment.create", operations.create_intent),
    Operation("GET", "/v1/payment_intents", "payment.get", operations.list_intents),
    Operation("GET", "/v1/payment_intents/search", "payment.get", accounts.search),
    Operation("GET", "/v1/payment_intents/{id}", "payment.get", operations.retrieve_intent),
    Operation("POST", "/v1/payment_intents/{id}", "payment.update", operations.update_intent),
    Operation("POST", "/v1/payment_intents/{id}/confirm", "payment.confirm", operations.confirm_intent),
    Operation("POST", "/v1/payment_intents/{id}/capture", "payment.capture", operations.capture_intent),
    Operation("POST", "/v1/payment_intents/{id}/cancel", "payment.cancel", operations.cancel_intent),
    Operation("GET", "/v1/charges", "charge.get", operations.list_charges),
    Operation("GET", "/v1/charges/{id}", "charge.get", operations.retrieve_charge),
    Operation("POST", "/v1/refunds", "refund.create", operations.create_refund),
    Operation("GET", "/v1/refunds", "refund.get", operations.list_refunds),
    Operation("GET", "/v1/refunds/{id}", "refund.get", operations.retrieve_refund),
    Operation("POST", "/v1/refunds/{id}", "refund.update", operations.update_refund),
    Operation("POST", "/v1/refunds/{id}/cancel", "refund.cancel", operations.cancel_refund),
    Operation("POST", "/v1/payment_methods", "method.create", accounts.create_method),
    Operation("GET", "/v1/payment_methods/{id}", "method.get", accounts.retrieve_method),
    Operation("GET", "/v1/events", "event.get", accounts.list_all_events),
    Operation("GET", "/v1/events/{id}", "event.get", accounts.retrieve_event),
    Operation("GET", "/v1/disputes", "dispute.get", accounts.list_disputes),
    Operation("GET", "/v1/disputes/{id}", "dispute.get", accounts.retrieve_dispute),
    Operation("POST", "/v1/webhook_endpoints", "endpoint.create", accounts.create_endpoint),
    Operation("GET", "/v1/webhook_endpoints", "endpoint.get", accounts.list_endpoints),
    Operation("GET", "/v1/webhook_endpoints/{id}", "endpoint.get", accounts.retrieve_endpoint),
    Operation("POST", "/v1/webhook_endpoints/{id}", "endpoint.update", accounts.update_endpoint),
    Operation("DELETE", "/v1/webhook_endpoints/{id}", "endpoint.delete", accounts.delete_endpoint),
    Operation("GET", "/v1/balance", "account.get", accounts.balance),
    Operation("GET", "/v1/account", "account.get", accounts.account),
    Operation("GET", "/v1/accounts/{id}", "account.get", accounts.account),
)


class StripeDialect:
    """Stripe's side of :class:`payloops.sandbox.shell.Dialect`."""

    processor = "stripe"

    def authenticate(self, request: web.Request) -> tuple[str, str | None]:
        """The secret key of a Bearer or Basic ``Authorization``; any test key is an account.

        :raises Refusal: 401.
        """
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        key = credential.strip()
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(key, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        if not key or scheme.lower() not in {"basic", "bearer"}:
            raise unauthenticated(
                "You did not provide an API key: send it as the user name of Basic authentication or as a Bearer token."
            )
        if not _TEST_KEY.fullmatch(key):
            shown = f"{key[:7]}****{key[-4:]}" if len(key) > 16 else "****"  # noqa: PLR2004 - a short key stays hidden
            raise unauthenticated(f"Invalid API Key provided: {shown}")
        return key, None

    def accept(self, account: Account, secret: str | None) -> None:
        """A Stripe key is its own secret."""

    def values(self, request: web.Request, body: bytes) -> Values:
        """Form fields, a JSON object, or the query of a GET or DELETE.

        :raises Refusal: 400, it can't be read.
        """
        try:
            if request.method != "POST":
                return parse_form(request.query_string)
            if request.content_type == "application/json":
                return parse_json(body) if body else {}
            return parse_form(body.decode())
        except (MalformedBodyError, UnicodeDecodeError) as error:
            raise invalid(f"The request can't be read: {error}.") from error

    def idempotency_key(self, request: web.Request, operation: Operation) -> str | None:
        """The ``Idempotency-Key`` of a POST.

        :raises Refusal: 400, it is too long.
        """
        key = request.headers.get("Idempotency-Key")
        if not key or operation.method != "POST":
            return None
        if len(key) > _KEY_LENGTH_MAX:
            raise invalid(f"An Idempotency-Key must be at most {_KEY_LENGTH_MAX} characters.")
        return key

    def new_request_id(self) -> str:
        """For example ``req_`` and 24 characters."""
        return stripe_id("req")

    def headers(self, request: web.Request, reply: Reply, request_id: str, key: str | None) -> dict[str, str]:
        """Headers of every answer."""
        del reply
        headers = {"Request-Id": request_id, "Stripe-Version": request.headers.get("Stripe-Version", API_VERSION)}
        if key is not None:
            headers["Idempotency-Key"] = key
        return headers

    def replayed(self, stored: StoredReply) -> dict[str, str]:
        """Marks a repeated answer and names the request that it belongs to."""
        return {"Idempotent-Replayed": "true", "Original-Request": stored.request_id}

    def key_reused(self, key: str) -> Refusal:
        """400 ``idempotency_error``."""
        message = f"The idempotency key {key} was first used with other parameters: use a new key for a new request."
        return Refusal(error_reply(400, "idempotency_error", message))

    def key_in_flight(self, key: str) -> Refusal:
        """409: try again when the first request is done."""
        message = f"Another request with the idempotency key {key} is in progress: try again later."
        return Refusal(error_reply(409, "idempotency_error", message, code="idempotency_key_in_use"))

    def failed(self, mode: Mode) -> Reply:
        """A failure in front of the API: nothing was executed, and no key remembers it."""
        if mode is Mode.HTTP_429:
            reply = error_reply(
                429, "invalid_request_error", "Too many requests in too short a time.", code="rate_limit"
            )
            return Reply(reply.status, reply.body, reply.headers | {"Retry-After": "1"})
        return error_reply(500, "api_error", "Something went wrong on the simulated processor's side.")


def unknown_route(request: web.Request) -> Reply:
    """404 of a path that the API does not have."""
    message = f"Unrecognized request URL ({request.method}: {request.path})."
    return error_reply(404, "invalid_request_error", message)
