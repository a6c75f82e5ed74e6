"""What can go wrong with a call, as exceptions.

PayLoopsError                    everything that this package raises on purpose
├── NoAnswer                     no answer came: whether the request had its effect is not known
│   └── TimedOut                 not within the time that the client allows
├── UnreadableAnswer             an answer came, and it is not what the API's description says
├── SignatureInvalid             a webhook that nobody should believe
└── ApiError                     the service refused; its code, message and correlation id
    ├── InvalidRequest           400 and other 4xx: a field, or the state of the order, does not allow it
    ├── AuthenticationFailed     401: no good API key or token
    ├── PermissionDenied         403: a good one of the wrong kind or scope
    ├── NotFound                 404: there is no such thing, or it is not yours
    ├── Conflict                 409: the order has changed (If-Match), or a first request with this key still runs
    ├── IdempotencyMismatch      422: this idempotency key was used with another body
    ├── RateLimited              429: too many requests; ``retry_after_s`` says when to come again
    └── ServerError              5xx: the service could not; ``retry_after_s`` where it said when to come again

None of them holds a credential or a request's body, and none is chained to an exception that does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class PayLoopsError(Exception):
    """Base of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        """What it is made of: by themselves, exceptions with named arguments do not travel between processes."""
        return _again, (type(self), self.args, vars(self).copy())


def _again(kind: type[PayLoopsError], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> PayLoopsError:
    made = kind.__new__(kind, *args)
    made.args = args
    vars(made).update(attributes)
    return made


class NoAnswer(PayLoopsError):
    """No answer came, after all retries. A write may have had its effect: the same idempotency key tells."""

    def __init__(self, message: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key
        """Of a write: make the same call with it again to learn what became of it, without doing it twice."""


class TimedOut(NoAnswer):
    """No answer came within the time that the client allows."""


class UnreadableAnswer(PayLoopsError):
    """An answer that is not what the API's description says: another service, or a proxy between."""

    def __init__(self, message: str, *, status: int, correlation_id: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.correlation_id = correlation_id


class SignatureInvalid(PayLoopsError):
    """A webhook that is not signed with a secret of ours, too old or too new. Answer it with 400 and do nothing."""


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One field that is wrong."""

    param: str
    """Its path, as ``lineItems.0.amount``."""
    message: str


class ApiError(PayLoopsError):
    """The service answered with an error."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        message: str,
        correlation_id: str | None,
        param: str | None = None,
        details: Sequence[ErrorDetail] = (),
        retry_after_s: float | None = None,
        retryable: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        """What a program looks at: ``invalid_status``, ``refund_exceeds_captured``, …"""
        self.message = message
        """One sentence for people."""
        self.correlation_id = correlation_id
        """Quote it when you ask for help: it is in every log line and event of the request."""
        self.param = param
        """The field, parameter or header that is wrong."""
        self.details = tuple(details)
        """Every field that is wrong."""
        self.retry_after_s = retry_after_s
        """When the service asked to come again, in seconds from its answer."""
        self.retryable = retryable
        """Whether the service says that the same request may be sent again."""
        self.idempotency_key = idempotency_key
        """Of a write that was sent with one."""

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.code}, correlation id {self.correlation_id})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status={self.status}, code={self.code!r}, message={self.message!r})"


class InvalidRequest(ApiError):
    """A field, or the state of the order, does not allow it."""


class AuthenticationFailed(ApiError):
    """No good API key or token."""


class PermissionDenied(ApiError):
    """A good credential of the wrong kind or scope."""


class NotFound(ApiError):
    """There is no such thing, or it is not yours."""


class Conflict(ApiError):
    """The order has changed since (``version_conflict``), or ``idempotency_in_flight``."""


class IdempotencyMismatch(ApiError):
    """The idempotency key was used with another body before."""


class RateLimited(ApiError):
    """Too many requests."""


class ServerError(ApiError):
    """The service could not answer."""


_CLASSES: Final[dict[int, type[ApiError]]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    422: IdempotencyMismatch,
    429: RateLimited,
}
_SERVER_ERRORS_FROM: Final = 500


def class_of(status: int) -> type[ApiError]:
    """The error class of a status from 400 on."""
    return _CLASSES.get(status, ServerError if status >= _SERVER_ERRORS_FROM else InvalidRequest)
