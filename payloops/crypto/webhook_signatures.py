"""The headers by which a receiver knows that a webhook is ours and that nobody changed it.

Three forms of the wire contract ("Outbound webhooks") stand side by side: the SDK's (``X-Loop-*``), the same value
under our own name, and Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, "Signature scheme").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with, not one
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64
"""Of the decoded part of a ``whsec_`` secret."""


def signed_headers(event_id: str, body: bytes, *, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers for one attempt. ``secrets`` are those that hold now, the newest first: one, or two in a rotation.

    The newest one signs ``X-Loop-Signature``, of which the SDK takes one value only; all of them sign
    ``webhook-signature``. Raises ValueError when there is no secret.
    """
    if not secrets:
        raise ValueError("a webhook is signed by at least one secret")
    timestamp_ms = int(now.timestamp() * 1000)
    loop = f"t={timestamp_ms},v1={_loop_signature(secrets[0], timestamp_ms, body)}"
    timestamp_s = str(timestamp_ms // 1000)
    standard = (_standard_signature(secret, event_id, timestamp_s, body) for secret in secrets)
    return {
        "X-Loop-Event-Id": event_id,
        "X-Loop-Timestamp": str(timestamp_ms),
        "X-Loop-Signature": loop,
        "X-PayLoops-Signature": loop,
        "webhook-id": event_id,
        "webhook-timestamp": timestamp_s,
        "webhook-signature": " ".join(standard),
    }


def _loop_signature(secret: str, timestamp_ms: int, body: bytes) -> str:
    """Hex HMAC-SHA256 with the whole secret string, its prefix included."""
    return hmac.new(secret.encode(), b"%d.%s" % (timestamp_ms, body), hashlib.sha256).hexdigest()


def _standard_signature(secret: str, event_id: str, timestamp_s: str, body: bytes) -> str:
    content = b".".join((event_id.encode(), timestamp_s.encode(), body))
    digest = hmac.digest(standard_key(secret), content, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def standard_key(secret: str) -> bytes:
    """The key of Standard Webhooks: the base64 behind ``whsec_``.

    A secret of another form, which an external worker may bring, is used as it is: its UTF-8 bytes.
    """
    if secret.startswith(SECRET_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            return secret.encode()
        if KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
            return key
    return secret.encode()
