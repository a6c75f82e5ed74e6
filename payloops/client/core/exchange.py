"""A call from its first request to its outcome, as a generator that says what to do next.

The core never sends and never sleeps: it yields a ``Request`` and is sent an ``Answer`` or a ``Broken``, it yields a
``Pause`` and is sent nothing. So the two transports hold no decision, and can't differ.
"""

from __future__ import annotations

import json
import logging
import platform
import secrets
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import ValidationError

from payloops.client import errors
from payloops.client.core.call import Call, encoded
from payloops.client.core.retries import Failure, Retries, pause_s, retry_after_s

T = TypeVar("T")

VERSION: Final = "1.0.0"
USER_AGENT: Final = f"payloops-python/{VERSION} (Python {platform.python_version()})"
ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
"""An answer over this is not read to its end."""
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
CORRELATION_ID: Final = "X-Correlation-ID"
IGNORED_FIELDS: Final = "x-payloops-ignored-fields"
"""What of a request an older service did not apply."""
_FIRST_ERROR: Final = 400
_FIRST_SUCCESS: Final = 200
_FIRST_REDIRECT: Final = 300
_SHOWN_PROBLEMS: Final = 3

_log = logging.getLogger("payloops.client")


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. Headers and body may hold secrets, so a repr holds neither."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    timeout_s: float
    """For each wait on the connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer came. ``why`` is a sentence's end, without any part of the request."""

    why: str
    sent: bool
    """Whether the request may have reached the service."""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long, then go on."""

    seconds: float


Outcome: TypeAlias = Answer | Broken | None
Steps: TypeAlias = Generator[Request | Pause, Outcome, T]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all calls of a client share."""

    base_url: str
    credential: Mapping[str, str] = field(repr=False)
    """The header that says who asks."""
    timeout_s: float = 30.0
    retries: Retries = field(default_factory=Retries)
    correlation_id: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("base_url must be an address that begins with https:// (or http://)")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("base_url must hold no user, no query and no fragment")
        if not self.timeout_s > 0:
            raise ValueError("timeout_s must be more than 0")
        for name, value in self.credential.items():
            if not value:
                raise ValueError(f"the credential for {name} is empty")
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"the credential for {name} has characters that no credential has")


def request_of(call: Call[Any], setup: Setup, *, key: str | None = None, accept: str = "application/json") -> Request:
    """The request of a call. Raises ValueError for what can't be sent."""
    headers = {"Accept": accept, "User-Agent": USER_AGENT, **call.headers}
    if not call.public:
        headers |= setup.credential
    if setup.correlation_id is not None:
        headers[CORRELATION_ID] = setup.correlation_id
    if key is not None:
        headers[IDEMPOTENCY_KEY] = key
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    url = setup.base_url.rstrip("/") + call.path
    return Request(call.method, _with_query(url, call.query), headers, encoded(call.body), wait_s(call, setup))


def wait_s(call: Call[Any], setup: Setup) -> float:
    """How long to wait for the service: what the client allows, after the time that the call lets the service wait."""
    return setup.timeout_s + (call.wait_s or 0)


def exchange(call: Call[T], setup: Setup) -> Steps[T]:
    """The call's steps; its value is the answer's. Raises ApiError, NoAnswer, UnreadableAnswer, ValueError."""
    # One key for all attempts: however often the request arrives, it takes effect once.
    key = (call.idempotency_key or secrets.token_urlsafe(24)) if call.safety == "keyed" else None
    request = request_of(call, setup, key=key)
    for attempt in range(1, setup.retries.attempts_max + 1):
        outcome = yield request
        if isinstance(outcome, Answer) and (ignored := outcome.headers.get(IGNORED_FIELDS)):
            _log.warning("%s %s: the service does not know %s", call.method, call.route, ignored)
        if isinstance(outcome, Answer) and outcome.status < _FIRST_ERROR:
            return read_answer(call, outcome)
        failure, problem = told(outcome, key)
        wait = pause_s(setup.retries, attempt, failure, call.safety)
        if wait is None:
            raise problem
        _log.info(
            "%s %s: %s; attempt %d follows in %.2f s",
            *(call.method, call.route, failure.status or "no answer", attempt + 1, wait),
        )
        yield Pause(wait)
    raise AssertionError("the last attempt returns or raises")


def read_answer(call: Call[T], answer: Answer) -> T:
    """The value of an answer that is no error. Raises UnreadableAnswer."""
    correlation_id = answer.headers.get(CORRELATION_ID.lower())
    if not _FIRST_SUCCESS <= answer.status < _FIRST_REDIRECT:
        message = f"{call.method} {call.route} answered {answer.status}: base_url may lead to something else"
        raise errors.UnreadableAnswer(message, status=answer.status, correlation_id=correlation_id)
    problem = "is not JSON"
    try:
        return call.read(answer.body)
    except ValidationError as invalid:
        # Where it is wrong and how, never the value: it may be a secret.
        found = invalid.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN_PROBLEMS]
        problem = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['type']}" for one in found)
    except ValueError:
        pass
    message = f"the answer to {call.method} {call.route} can't be read: {problem}"
    raise errors.UnreadableAnswer(message, status=answer.status, correlation_id=correlation_id)


def told(outcome: Outcome, key: str | None = None) -> tuple[Failure, errors.PayLoopsError]:
    """What a failed attempt was, for the decision on another, and as an error for the caller."""
    if outcome is None or isinstance(outcome, Broken):
        broken = outcome or Broken("nothing came back", sent=True)
        kind = errors.TimedOut if broken.timed_out else errors.NoAnswer
        return Failure(None, sent=broken.sent), kind(f"No answer from the service: {broken.why}.", idempotency_key=key)
    problem = api_error(outcome, key)
    return Failure(outcome.status, problem.code, retry_after_s=problem.retry_after_s), problem


def api_error(answer: Answer, key: str | None = None) -> errors.ApiError:
    """The error that the service answered; of an error that is not the service's own (a proxy's), its status."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    said = body if isinstance(body, dict) else {}
    details = said.get("details")
    return errors.class_of(answer.status)(
        status=answer.status,
        code=str(said.get("code") or f"http_{answer.status}"),
        message=str(said.get("message") or f"The service answered {answer.status}."),
        correlation_id=_text(said.get("correlationId")) or answer.headers.get(CORRELATION_ID.lower()),
        param=_text(said.get("param")),
        details=[
            errors.ErrorDetail(str(each.get("param", "")), str(each.get("message", "")))
            for each in (details if isinstance(details, list) else ())
            if isinstance(each, dict)
        ],
        retry_after_s=retry_after_s(answer.headers.get("retry-after")),
        retryable=said.get("retryable") is True,
        idempotency_key=key,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(query)}" if query else url
