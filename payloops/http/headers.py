"""Headers that change what a request means: Idempotency-Key, If-Match and Prefer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from multidict import CIMultiDictProxy

from payloops.commands.idempotency import IdempotencyKey
from payloops.errors import InvalidInput
from payloops.http.message import Request

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
WAIT_S_MAX: Final = 30
NO_VERSION: Final = -1
"""Never a version: an entity tag that we did not give matches nothing."""

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_ENTITY_TAG: Final = re.compile(r'"?([0-9]{1,18})"?')
_PREFERENCE: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("[^"]*"|[^\s;,"]*))?')


def idempotency_key(request: Request, body: Mapping[str, Any], *, flight_s: int | None = None) -> IdempotencyKey | None:
    """The request's key in its scope, if it has one. Raises InvalidInput."""
    if IDEMPOTENCY_KEY not in request.headers:
        return None
    keys = request.headers.getall(IDEMPOTENCY_KEY)
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidInput(f"{IDEMPOTENCY_KEY} must be 1 to 255 printable ASCII characters.", param=IDEMPOTENCY_KEY)
    caller = request.caller
    return IdempotencyKey.of(
        caller.merchant_id, request.method, request.path, keys[0], body, flight_s=flight_s, live=caller.live
    )


def expected_version(headers: CIMultiDictProxy[str]) -> int | None:
    """The version that If-Match names, of an order or of a profile; None when it names none or any (``*``).

    A list, in one line or in several (RFC 9110, 5.3), names no version: a write is conditional on one.
    """
    if "If-Match" not in headers:
        return None
    tag = ",".join(headers.getall("If-Match")).strip()
    if tag == "*":
        return None
    match = _ENTITY_TAG.fullmatch(tag)
    return NO_VERSION if match is None else int(match[1])


def preferred_wait(headers: CIMultiDictProxy[str], default_s: float) -> tuple[float, bytes]:
    """How long to wait for an outcome in seconds, and the header line that says which preference was honoured.

    RFC 7240: ``respond-async`` is no wait, ``wait=N`` at most N seconds (30 is the most); the first of its kind counts,
    and what is malformed is ignored.
    """
    lines = headers.getall("Prefer", ())
    if not lines:
        return default_s, b""
    given: dict[str, str] = {}
    for member in ",".join(lines).split(","):
        match = _PREFERENCE.match(member)
        if match is not None:
            given.setdefault(match[1].lower(), (match[2] or "").strip('"'))
    if "respond-async" in given:
        return 0.0, b"Preference-Applied: respond-async\r\n"
    wait = given.get("wait", "")
    if not wait.isascii() or not wait.isdecimal():
        return default_s, b""
    wait_s = min(int(wait[:10]), WAIT_S_MAX)
    return float(wait_s), b"Preference-Applied: wait=%d\r\n" % wait_s
