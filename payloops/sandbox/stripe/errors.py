"""Stripe's errors: ``{"error": {type, code, decline_code, message, param, …}}`` (docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any

from payloops.sandbox.wire import Document, Refusal, Reply, json_reply


def error_reply(status: int, error_type: str, message: str, **details: Any) -> Reply:
    """An error answer; details that are None are left out."""
    error: Document = {"type": error_type, "message": message}
    error |= {name: value for name, value in details.items() if value is not None}
    if "code" in error:
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{str(error['code']).replace('_', '-')}"
    retry = {"Stripe-Should-Retry": "true" if status in {409, 429} else "false"}
    return json_reply(status, {"error": error}, retry)


def invalid(
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    status: int = 400,
    executed: bool = False,
    **details: Any,
) -> Refusal:
    """``invalid_request_error``: the request can't be done."""
    reply = error_reply(status, "invalid_request_error", message, code=code, param=param, **details)
    return Refusal(reply, executed=executed)


def malformed(param: str, problem: str) -> Refusal:
    """A parameter of the wrong form. Unlike the errors below it leaves the idempotency key unused."""
    code = "parameter_invalid_integer" if "integer" in problem or problem.startswith("must be from") else None
    return invalid(f"Invalid {param}: {problem}.", param=param, code=code)


def missing(param: str) -> Refusal:
    """A required parameter is absent."""
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def no_such(kind: str, document_id: str, param: str) -> Refusal:
    """404: unknown, or another account's."""
    message = f"No such {kind}: '{document_id}'"
    return invalid(message, param=param, code="resource_missing", status=404, executed=True)


def unexpected_state(intent: Document, verb: str, allowed: str) -> Refusal:
    """The PaymentIntent's status does not allow it."""
    message = (
        f"This PaymentIntent can't be {verb}: its status is {intent['status']}, and only a PaymentIntent with one of "
        f"these statuses can be {verb}: {allowed}."
    )
    return invalid(message, code="payment_intent_unexpected_state", executed=True, payment_intent=intent)


def unauthenticated(message: str) -> Refusal:
    """401: no key, or one that is not a test key."""
    return Refusal(error_reply(401, "invalid_request_error", message))
