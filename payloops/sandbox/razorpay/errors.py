"""Razorpay's errors: ``{"error": {code, description, source, step, reason, metadata, field}}``.

Where a client has to tell errors apart by their description, it is the API's own: there is one code for nearly all.
"""

from __future__ import annotations

from payloops.sandbox.wire import Document, Refusal, Reply, json_reply


def error_reply(
    status: int,
    description: str,
    *,
    code: str = "BAD_REQUEST_ERROR",
    source: str = "business",
    step: str = "payment_initiation",
    reason: str = "input_validation_failed",
    field: str | None = None,
    metadata: Document | None = None,
) -> Reply:
    """An error answer."""
    error: Document = {
        "code": code,
        "description": description,
        "source": source,
        "step": step,
        "reason": reason,
        "metadata": metadata or {},
    }
    if field is not None:
        error["field"] = field
    return json_reply(status, {"error": error})


def bad_request(description: str, *, field: str | None = None) -> Refusal:
    """400: the input can't be used."""
    return Refusal(error_reply(400, description, field=field))


def malformed(param: str, problem: str) -> Refusal:
    """A parameter of the wrong form."""
    return bad_request(f"The {param} {problem}.", field=param)


def not_allowed(description: str) -> Refusal:
    """400: the payment's or order's state does not allow it."""
    return Refusal(error_reply(400, description, source="NA", step="NA", reason="NA"), executed=True)


def no_such_id() -> Refusal:
    """400 (not 404): unknown, or another account's."""
    return bad_request("The id provided does not exist")


def unauthenticated() -> Refusal:
    """401: no key, not a test key, or the wrong secret."""
    return Refusal(error_reply(401, "Authentication failed", source="NA", step="NA", reason="NA"))
