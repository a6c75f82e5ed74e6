"""From errors to answers: the one place where an error class gets its status, and the one that writes an error's body.

HttpRefusal (a PayloopsError)    what only HTTP can be wrong about
├── MalformedRequest             not HTTP that we understand
├── MethodNotAllowed             the path is there, not with this method
├── RequestTimeout               headers or body came too slowly
├── PayloadTooLarge              the body is over its limit, as sent or as decompressed
├── UnsupportedMediaType         a body that is not JSON, or an encoding that we don't read
└── HeadersTooLarge              the request line or the headers are over their limits
"""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson

from payloops import errors as e

_log = logging.getLogger(__name__)


class HttpRefusal(e.PayloopsError):
    """Base of the refusals that only HTTP knows."""

    code = "validation_error"


class MalformedRequest(HttpRefusal):
    """Not HTTP that we understand."""

    code = "validation_error"


class MethodNotAllowed(HttpRefusal):
    """The path is there; ``allowed`` are the methods that it takes."""

    code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This path takes {', '.join(allowed)}.")
        self.allowed = allowed


def no_path() -> e.NotFound:
    """The error for a path of which there is none, or none for this caller: the two look alike."""
    return e.NotFound("There is nothing at this path; /openapi.json lists those that there are.")


class RequestTimeout(HttpRefusal):
    """Headers or body came too slowly."""

    code = "request_timeout"
    retryable = True


class PayloadTooLarge(HttpRefusal):
    """The body is over its limit."""

    code = "payload_too_large"


class UnsupportedMediaType(HttpRefusal):
    """Not JSON, or an encoding that we do not read."""

    code = "unsupported_media_type"


class HeadersTooLarge(HttpRefusal):
    """The request line or the headers are over their limits."""

    code = "headers_too_large"


STATUS: Final[dict[type[e.PayloopsError], int]] = {
    e.InvalidInput: 400,
    e.RuleViolation: 400,
    e.NotAuthenticated: 401,
    e.Forbidden: 403,
    e.NotFound: 404,
    e.Conflict: 409,
    e.IdempotencyMismatch: 422,
    e.RateLimited: 429,
    e.Unavailable: 503,
    e.PayloopsError: 500,
    MalformedRequest: 400,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    HeadersTooLarge: 431,
}
"""The status of a class is the nearest one up its tree."""

_INTERNAL_MESSAGE: Final = "Something went wrong on our side; it has been logged under this correlation id."


def status_of(error: e.PayloopsError) -> int:
    """The HTTP status that stands for the error."""
    return next(STATUS[base] for base in type(error).__mro__ if base in STATUS)


def error_body(error: e.PayloopsError, correlation_id: str) -> bytes:
    """The body of every error. Of an error that is our own fault nothing is told but that it happened."""
    known = status_of(error) != STATUS[e.PayloopsError]
    body: dict[str, Any] = {
        "code": error.code if known else e.PayloopsError.code,
        "message": error.message if known else _INTERNAL_MESSAGE,
        "correlationId": correlation_id,
    }
    if known:
        if error.param is not None:
            body["param"] = error.param
        if error.details:
            body["details"] = [
                {"param": param, "message": e.sentence(param, problem)} for param, problem in error.details
            ]
        if error.retryable is not None:
            body["retryable"] = error.retryable
    return orjson.dumps(body)


def error_headers(error: e.PayloopsError, challenge: str) -> bytes:
    """The header lines that belong to an error. ``challenge`` is the scheme that the route takes (RFC 9110, 11.6.1)."""
    if isinstance(error, e.RateLimited):
        return _rate_limit_headers(error)
    if isinstance(error, e.Unavailable):
        return b"Retry-After: %d\r\n" % error.retry_after_s
    if isinstance(error, MethodNotAllowed):
        return f"Allow: {', '.join(error.allowed)}\r\n".encode()
    if isinstance(error, e.NotAuthenticated) and challenge:
        return f"WWW-Authenticate: {challenge}\r\n".encode()
    return b""


def _rate_limit_headers(error: e.RateLimited) -> bytes:
    """IETF draft "RateLimit header fields for HTTP": q requests in w seconds; r more now, the next after t seconds."""
    return (
        f'RateLimit-Policy: "{error.policy}";q={error.limit};w={error.window_s}\r\n'
        f'RateLimit: "{error.policy}";r=0;t={error.retry_after_s}\r\n'
        f"Retry-After: {error.retry_after_s}\r\n"
    ).encode()


def unexpected(problem: Exception) -> e.PayloopsError:
    """What a client is told of an error that nobody raised on purpose; the log gets the whole of it."""
    _log.error("a request failed", exc_info=problem)
    return e.PayloopsError(_INTERNAL_MESSAGE)
