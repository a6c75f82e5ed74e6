"""How processors sign their events, checked on bytes and in constant time.

Stripe: ``Stripe-Signature: t=<seconds>,v1=<hex>[,v1=…]``, HMAC-SHA256 of ``<t>.<body>``
(https://docs.stripe.com/webhooks/signature). Razorpay: ``X-Razorpay-Signature``, hex HMAC-SHA256 of the body
(https://razorpay.com/docs/webhooks/validate-test/). A secret is used as its UTF-8 bytes, prefix and all.

Whatever is wrong, as many digests are made as if nothing were: without a secret, one over a made-up secret.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final

STRIPE_TOLERANCE_S: Final = 300
"""How far the time of a signature may be from ours, either way."""
HEADER_CHARS_MAX: Final = 4096
CANDIDATES_MAX: Final = 16
"""Signatures in one header that are looked at: Stripe sends one for each live secret."""

_NOBODYS_SECRET: Final = b"this secret signs nothing"
_HEX_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")
_SECONDS: Final = re.compile(rb"[0-9]{1,12}")


def stripe_signature_holds(header: str, body: bytes, secrets: Sequence[bytes], *, now_s: float) -> bool:
    """Whether one of the secrets signed the body, not more than STRIPE_TOLERANCE_S ago or ahead."""
    seconds, candidates = _stripe_parts(header)
    matches = _one_signed(seconds + b"." + body, candidates, secrets)
    timely = bool(seconds) and abs(now_s - int(seconds)) <= STRIPE_TOLERANCE_S
    return matches and timely


def razorpay_signature_holds(header: str, body: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether one of the secrets signed the body."""
    candidate = _ascii(header)
    return _one_signed(body, (candidate,) if _HEX_DIGEST.fullmatch(candidate) else (), secrets)


def _one_signed(signed: bytes, candidates: Sequence[bytes], secrets: Sequence[bytes]) -> bool:
    found = False
    for secret in secrets or (_NOBODYS_SECRET,):
        expected = hmac.digest(secret, signed, "sha256").hex().encode("ascii")
        for candidate in candidates:
            found |= hmac.compare_digest(expected, candidate)
    return found and bool(secrets)


def _stripe_parts(header: str) -> tuple[bytes, tuple[bytes, ...]]:
    """The time and the v1 signatures; the time is empty unless there is exactly one that is a whole number."""
    times: list[bytes] = []
    candidates: list[bytes] = []
    for part in _ascii(header).split(b","):
        scheme, _, text = part.strip().partition(b"=")
        if scheme == b"t":
            times.append(text)
        elif scheme == b"v1" and _HEX_DIGEST.fullmatch(text) and len(candidates) < CANDIDATES_MAX:
            candidates.append(text)
    seconds = times[0] if len(times) == 1 and _SECONDS.fullmatch(times[0]) else b""
    return seconds, tuple(candidates)


def _ascii(header: str) -> bytes:
    """The header's bytes; none of what is no ASCII, or longer than any processor's: nothing will match then."""
    if len(header) > HEADER_CHARS_MAX or not header.isascii():
        return b""
    return header.encode("ascii")
