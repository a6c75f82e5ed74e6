"""Webhooks: whether one is really the service's, and what it says.

A delivery is signed twice: by Standard Webhooks (``webhook-id``, ``webhook-timestamp``, ``webhook-signature``; see
https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"), and by ``X-PayLoops-Signature``. The first
is looked at where it is there, because it can be made with two secrets at a time; without it the second.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from payloops.client.errors import SignatureInvalid
from payloops.client.models.webhooks import Event

__all__ = ["TOLERANCE_S", "Event", "SignatureInvalid", "verify"]

TOLERANCE_S: Final = 300.0
_PREFIX: Final = "whsec_"
_KEY_BYTES_MIN: Final = 24
_KEY_BYTES_MAX: Final = 64
_SIGNATURES_MAX: Final = 16
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_STANDARD: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_OWN: Final = ("x-payloops-signature", "x-loop-signature")


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now: datetime | None = None,
) -> Event:
    """The event in a webhook's body, if one of the secrets signed it at most ``tolerance_s`` before or after ``now``.

    ``body`` is what came, byte for byte: JSON that was read and written again has another signature. Names of headers
    may be in any case. Several secrets are for the time of a rotation. Deliveries are made at least once: do what an
    event asks for once for each ``event.id``.

    :raises SignatureInvalid: nobody should believe this; answer 400.
    :raises ValueError: no secret was given, or an empty one.
    :raises TypeError: the body is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("body must be the bytes that came, not text: reading and writing it again breaks the signature")
    raw, keys = bytes(body), _secrets(secret)
    named = {name.lower(): value for name, value in headers.items()}
    now_s = time.time() if now is None else _seconds(now)
    if any(name in named for name in _STANDARD):
        _verify_standard(raw, named, keys, now_s, tolerance_s)
    else:
        _verify_own(raw, named, keys, now_s, tolerance_s)
    return _event(raw)


def _verify_standard(
    body: bytes, headers: Mapping[str, str], secrets: Iterable[str], now_s: float, tolerance_s: float
) -> None:
    event_id, timestamp, signatures = (headers.get(name, "") for name in _STANDARD)
    if not event_id or not timestamp or not signatures:
        raise SignatureInvalid("a webhook has all of webhook-id, webhook-timestamp and webhook-signature")
    _check_age(_whole(timestamp), now_s, tolerance_s)
    content = b".".join((_bytes(event_id), _bytes(timestamp), body))
    given = [
        _bytes(value)
        for version, _, value in (one.partition(",") for one in signatures.split(" ")[:_SIGNATURES_MAX])
        if version == "v1"
    ]
    expected = [base64.b64encode(hmac.digest(_key(secret), content, "sha256")) for secret in secrets]
    _check(given, expected)


def _verify_own(
    body: bytes, headers: Mapping[str, str], secrets: Iterable[str], now_s: float, tolerance_s: float
) -> None:
    header = next((headers[name] for name in _OWN if headers.get(name)), None)
    if header is None:
        raise SignatureInvalid("the webhook has no signature")
    parts = [part.strip().partition("=") for part in header.split(",")[: _SIGNATURES_MAX + 1]]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1:
        raise SignatureInvalid("the signature names no time")
    timestamp_ms = _whole(times[0])
    _check_age(timestamp_ms / 1000, now_s, tolerance_s)
    content = b"%s.%s" % (times[0].encode(), body)
    given = [_bytes(value) for name, _, value in parts if name == "v1"]
    expected = [hmac.digest(secret.encode(), content, "sha256").hex().encode() for secret in secrets]
    _check(given, expected)


def _check(given: Sequence[bytes], expected: Sequence[bytes]) -> None:
    # Every pair is compared, and each in constant time: how long it takes tells nothing.
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    if not any(matches):
        raise SignatureInvalid("no secret of these signed the webhook")


def _check_age(timestamp_s: float, now_s: float, tolerance_s: float) -> None:
    if timestamp_s < now_s - tolerance_s:
        raise SignatureInvalid("the webhook is too old")
    if timestamp_s > now_s + tolerance_s:
        raise SignatureInvalid("the webhook is from the future: see whether this machine's clock is right")


def _secrets(secret: str | Sequence[str]) -> tuple[str, ...]:
    found = (secret,) if isinstance(secret, str) else tuple(secret)
    # With an empty key anybody can sign.
    if not found or not all(found):
        raise ValueError("a secret is needed, and none may be empty")
    return found


def _key(secret: str) -> bytes:
    """The base64 behind ``whsec_``; a secret of another form is used as it is."""
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            return secret.encode()
        if _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
            return key
    return secret.encode()


def _whole(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise SignatureInvalid("the webhook's time is no number")
    return int(text)


def _bytes(text: str) -> bytes:
    """A header's bytes, whatever characters somebody put into it."""
    return text.encode("utf-8", "surrogatepass")


def _seconds(now: datetime) -> float:
    if now.tzinfo is None:
        raise ValueError("now needs a zone: datetime.now(timezone.utc)")
    return now.timestamp()


def _event(body: bytes) -> Event:
    try:
        return Event.model_validate_json(body)
    except ValidationError:
        pass
    raise SignatureInvalid("the webhook is signed, and its body is no event that can be read")
