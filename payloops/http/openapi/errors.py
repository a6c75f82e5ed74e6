"""Which errors a call can give, and what each code means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from payloops.errors import PayloopsError
from payloops.http import errors as http_errors
from payloops.http.openapi.operation import Operation
from payloops.http.routing import Access, Route

MEANINGS: Final[Mapping[str, str]] = {
    "validation_error": "A field, parameter or header is wrong, or the state of things does not allow it",
    "invalid_json": "The body is not JSON, or holds what two readers could read differently",
    "raw_card_rejected": "The body holds a card number: send a token of the processor instead",
    "missing_signature": "The processor's signature is missing",
    "invalid_signature": "The signature does not hold",
    "invalid_status": "Not possible in the present status",
    "no_processor": "No processor that is set up and enabled can take the payment",
    "invalid_processor": "The processor is unknown, not set up, or disabled",
    "email_exists": "There is an account with this e-mail address",
    "refund_exceeds_captured": "More than what is left to be refunded",
    "unauthorized": "No credential was sent",
    "invalid_api_key": "The API key is malformed, unknown, expired or revoked",
    "invalid_token": "The token is malformed, expired or revoked",
    "invalid_credentials": "The e-mail address or the password is wrong",
    "forbidden": "A good credential of the wrong kind, an API key without the scope, or a page's form from elsewhere",
    "not_found": "There is no such thing, or it is somebody else's",
    "method_not_allowed": "The path is there, not with this method: see Allow",
    "version_conflict": "Not in If-Match's version any more: read it again. Without it, others were faster: send again",
    "idempotency_in_flight": "The first request with this Idempotency-Key is still running; send it again in a moment",
    "request_timeout": "The request came too slowly",
    "payload_too_large": "The body is too large, as sent or as decompressed",
    "unsupported_media_type": "The body has another media type or encoding than what is taken",
    "idempotency_mismatch": "The Idempotency-Key was used for another body",
    "rate_limited": "Too many requests: wait for Retry-After",
    "headers_too_large": "The request line or the headers are too large",
    "internal_error": "Our fault; the correlation id tells us which",
    "unavailable": "Not now: wait for Retry-After and send it again, with its Idempotency-Key",
}
ANYWHERE: Final = ("method_not_allowed", "request_timeout", "headers_too_large", "internal_error", "unavailable")
"""What any call can give; the document says it once, as the default reply."""

_OF_ACCESS: Final[Mapping[Access, tuple[str, ...]]] = {
    "public": (),
    "api_key": ("unauthorized", "invalid_api_key", "forbidden", "rate_limited"),
    "user": ("unauthorized", "invalid_token", "forbidden"),
}
_OF_BODY: Final = (
    *("validation_error", "invalid_json", "raw_card_rejected"),
    *("payload_too_large", "unsupported_media_type"),
)


def errors_of(route: Route, operation: Operation) -> Mapping[int, tuple[str, ...]]:
    """The codes that the call can give beside those of ANYWHERE, by status."""
    found: dict[int, list[str]] = {}
    for code in dict.fromkeys((*_implied(route, operation), *operation.errors)):
        found.setdefault(status_of_code(code), []).append(code)
    return {status: tuple(found[status]) for status in sorted(found)}


def _implied(route: Route, operation: Operation) -> Iterator[str]:
    yield from _OF_ACCESS[route.access]
    if route.limit is not None:
        yield "rate_limited"
    if not operation.raw and (":id" in route.path or operation.path):
        yield "not_found"
    if operation.query or operation.idempotent:
        yield "validation_error"
    if operation.idempotent:
        if not operation.in_turn:
            yield "idempotency_in_flight"
        if not operation.creates:
            # A write of what others write too can lose to them more often than it is tried again.
            yield "version_conflict"
    if operation.body is not None:
        yield from _OF_BODY
        if operation.idempotent:
            yield "idempotency_mismatch"
    if operation.conditional:
        yield "version_conflict"


def status_of_code(code: str) -> int:
    """The status that a code comes with. Raises KeyError for a code that no error class has."""
    return _statuses()[code]


def _statuses() -> Mapping[str, int]:
    found: dict[str, int] = {}
    waiting: list[type[PayloopsError]] = [PayloopsError]
    while waiting:
        error_class = waiting.pop()
        waiting += error_class.__subclasses__()
        status = next(http_errors.STATUS[base] for base in error_class.__mro__ if base in http_errors.STATUS)
        if status < 500 or error_class.code in MEANINGS:  # noqa: PLR2004 - of 5xx only what is told to clients
            # A base without a status of its own would count as our fault; a class below it says better.
            found[error_class.code] = min(status, found.get(error_class.code, status))
    return found
