"""The headers of one webhook request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from payloops.crypto.webhook_signatures import signed_headers
from payloops.telemetry import accept_correlation_id, traceparent


def request_headers(event_id: str, body: bytes, *, secrets: Sequence[str], now: datetime, cause: str) -> dict[str, str]:
    """Signatures, and by what the receiver's log lines meet ours. ``cause`` is the correlation id."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-Correlation-ID": accept_correlation_id(cause),
        **signed_headers(event_id, body, secrets=secrets, now=now),
    }
    trace = traceparent()
    return headers if trace is None else {**headers, "traceparent": trace}
