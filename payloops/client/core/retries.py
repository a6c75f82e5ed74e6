"""Whether a request is sent again, and when: pure, so that it can be tried in microseconds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from payloops.client.core.call import Safety

IN_FLIGHT: Final = "idempotency_in_flight"
_DONE_OR_NOT: Final = frozenset({500, 502, 503, 504})
"""The service may have acted before it answered so."""
_NOT_DONE: Final = frozenset({408, 429})
"""The service says that it did nothing: it did not read all of the request, or refused it."""
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long.

    Waits grow twofold, and each is anything up to its step ("full jitter"), so that many clients which failed together
    do not come back together.
    """

    attempts_max: int = 4
    """Of a call in all; 1 means no retry."""
    base_s: float = 0.25
    """The longest first wait."""
    step_max_s: float = 8.0
    """The longest wait that is not asked for by the service."""
    retry_after_max_s: float = 60.0
    """The longest ``Retry-After`` that is waited out; beyond it the error is raised at once."""

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise ValueError("attempts_max must be at least 1")


@dataclass(frozen=True, slots=True)
class Failure:
    """What came of an attempt that did not succeed."""

    status: int | None
    """None: no answer."""
    code: str = ""
    sent: bool = True
    """Whether the request may have reached the service."""
    retry_after_s: float | None = None


def pause_s(
    policy: Retries, attempt: int, failure: Failure, safety: Safety, jitter: Callable[[], float] = random.random
) -> float | None:
    """How long to wait before the attempt after this one (from 1), in seconds; None when there is to be none.

    ``jitter`` gives a number from 0 to 1.
    """
    if attempt >= policy.attempts_max or not _may_help(failure, safety):
        return None
    step: float = min(policy.step_max_s, policy.base_s * 2.0 ** (attempt - 1))
    drawn = step * jitter()
    if failure.retry_after_s is None:
        return drawn
    if failure.retry_after_s > policy.retry_after_max_s:
        return None
    # Never earlier than asked for, and not all at that very moment.
    return failure.retry_after_s + min(drawn, policy.base_s)


def _may_help(failure: Failure, safety: Safety) -> bool:
    repeatable = safety != "unkeyed"
    match failure.status:
        case None:
            return repeatable or not failure.sent
        case status if status in _NOT_DONE:
            return True
        case status if status in _DONE_OR_NOT:
            return repeatable
        case _:
            return failure.status == _CONFLICT and failure.code == IN_FLIGHT


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """``Retry-After`` in seconds from now: a number or a date (RFC 9110, 10.2.3); None for anything else."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait_s = (moment - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, wait_s) if math.isfinite(wait_s) else None
