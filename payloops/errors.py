"""Every error that we raise on purpose. No HTTP in here: ``http/errors.py`` alone gives each class its status.

PayloopsError
├── ConfigurationError          a setting is missing or unusable; stops the start
├── InvalidInput                the request can't be understood or breaks a limit
│   ├── InvalidJson             the body is not the JSON that we accept
│   ├── RawCardRejected         a card number was sent instead of a token
│   ├── MissingSignature        a processor's event without a signature
│   └── InvalidSignature        a processor's event whose signature does not hold
├── RuleViolation               understood, but the state of things does not allow it
│   ├── InvalidStatus           the order (or session) is in another state
│   ├── NoProcessor             no enabled processor can take the payment
│   ├── InvalidProcessor        the named processor is unknown, not configured or disabled
│   ├── EmailExists             the e-mail address has an account
│   ├── AlreadyReceived         a processor's event that is stored under another id
│   ├── RefundExceedsCaptured   more would be refunded than was captured
│   └── AmountMismatch          a processor reports an amount that the order can't have
├── NotAuthenticated            no credential, or one that does not hold
│   ├── Unauthorized            none was sent
│   ├── InvalidApiKey           unknown, malformed, expired or revoked
│   ├── InvalidToken            a JWT that does not hold
│   └── InvalidCredentials      wrong e-mail or password
├── Forbidden                   a good credential of the wrong kind or scope
├── NotFound                    no such thing, or somebody else's
├── Conflict
│   ├── VersionConflict         the stream moved on (If-Match, or three lost races)
│   └── IdempotencyInFlight     the first request with this key is still running
├── IdempotencyMismatch         the key was used for another body
├── RateLimited                 too many requests
└── Unavailable                 can't serve now; nothing is known to have happened
    ├── Overloaded              a bounded queue is full; nothing happened
    └── OutcomeUnknown          the connection broke in the middle; the same request may be sent again with its key
"""

from __future__ import annotations

from typing import ClassVar


def sentence(param: str, problem: str) -> str:
    """What is wrong with a field, for people: the problem follows the field's name. No name is the body itself."""
    return f"{param or 'The body'} {problem}."


class PayloopsError(Exception):
    """Base of all; ``code`` is the one on the wire, ``message`` one sentence for people, without secrets."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool | None] = None

    def __init__(self, message: str, *, param: str | None = None, details: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = details
        """(param, problem) of each offending field; ``sentence`` makes a sentence of the two."""


class ConfigurationError(PayloopsError):
    code = "configuration_error"


class InvalidInput(PayloopsError):
    code = "validation_error"

    @classmethod
    def of(cls, *problems: tuple[str, str]) -> InvalidInput:
        """The error of these fields, each with its problem; the first one speaks for all."""
        param, problem = problems[0]
        return cls(sentence(param, problem), param=param or None, details=problems)


class InvalidJson(InvalidInput):
    code = "invalid_json"


class RawCardRejected(InvalidInput):
    code = "raw_card_rejected"


class MissingSignature(InvalidInput):
    code = "missing_signature"


class InvalidSignature(InvalidInput):
    code = "invalid_signature"


class RuleViolation(PayloopsError):
    code = "validation_error"


class InvalidStatus(RuleViolation):
    code = "invalid_status"


class NoProcessor(RuleViolation):
    code = "no_processor"


class InvalidProcessor(RuleViolation):
    code = "invalid_processor"


class EmailExists(RuleViolation):
    code = "email_exists"


class AlreadyReceived(RuleViolation):
    code = "validation_error"


class RefundExceedsCaptured(RuleViolation):
    code = "refund_exceeds_captured"


class AmountMismatch(RuleViolation):
    code = "validation_error"


class NotAuthenticated(PayloopsError):
    code = "unauthorized"


class Unauthorized(NotAuthenticated):
    code = "unauthorized"


class InvalidApiKey(NotAuthenticated):
    code = "invalid_api_key"


class InvalidToken(NotAuthenticated):
    code = "invalid_token"


class InvalidCredentials(NotAuthenticated):
    code = "invalid_credentials"


class Forbidden(PayloopsError):
    code = "forbidden"


class NotFound(PayloopsError):
    code = "not_found"


class Conflict(PayloopsError):
    code = "version_conflict"
    retryable = True


class VersionConflict(Conflict):
    code = "version_conflict"


class IdempotencyInFlight(Conflict):
    code = "idempotency_in_flight"


class IdempotencyMismatch(PayloopsError):
    code = "idempotency_mismatch"


class RateLimited(PayloopsError):
    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int, policy: str, limit: int, window_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.policy = policy
        """Which limit it was: its name, and ``limit`` requests in ``window_s`` seconds."""
        self.limit = limit
        self.window_s = window_s


class Unavailable(PayloopsError):
    code = "unavailable"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """Nothing happened."""


class OutcomeUnknown(Unavailable):
    """It may or may not have been committed; the idempotency key tells which."""
