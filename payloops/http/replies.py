"""Replies as bytes: status line, the headers that every reply has, its own, and the body.

Written by hand, because this is done for each request: aiohttp's response object costs more than most handlers.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from payloops.config import Settings
from payloops.http.message import Reply, Request

_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})
_HSTS: Final = "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
_SECURITY: Final = (
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
)
_EXPOSED: Final = (
    "X-Correlation-ID, ETag, Idempotent-Replayed, Preference-Applied, Retry-After, RateLimit, RateLimit-Policy"
)
_ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, Prefer, X-API-Key, X-Correlation-ID, X-Request-ID, "
    "traceparent"
)
_PREFLIGHT_AGE_S: Final = 600


class Replies:
    """Writes replies. Browsers of the origins in CORS_ORIGINS may read them, no others."""

    def __init__(self, settings: Settings) -> None:
        secure = settings.production and settings.public_url.startswith("https://")
        vary = "Vary: Origin\r\n" if settings.cors_origins else ""
        self._common = f"{_SECURITY}{_HSTS if secure else ''}{vary}X-Correlation-ID: ".encode()
        self._origins = frozenset(settings.cors_origins)
        self._date = b""
        self._date_second = 0

    def write(self, reply: Reply, request: Request, *, close: bool) -> bytes:
        """The whole reply."""
        body = reply.body
        length = b"" if reply.status in _BODILESS else b"\r\nContent-Length: %d" % len(body)
        media_type = b"\r\nContent-Type: application/json" if body else b""
        return b"".join(
            (
                _STATUS_LINES[reply.status],
                self._common,
                request.correlation_id.encode(),
                media_type,
                length,
                b"\r\nDate: ",
                self._now(),
                b"\r\nConnection: close\r\n" if close else b"\r\n",
                self._cross_origin(request) if self._origins else b"",
                reply.headers,
                b"\r\n",
                b"" if request.method == "HEAD" else body,
            )
        )

    def options(self, request: Request, methods: tuple[str, ...]) -> Reply:
        """The reply to OPTIONS: what the path takes, and to a preflight of an origin that we know what it may send."""
        headers = f"Allow: {', '.join(methods)}\r\n"
        if self._knows_origin(request) and "Access-Control-Request-Method" in request.headers:
            headers += (
                f"Access-Control-Allow-Methods: {', '.join(methods)}\r\n"
                f"Access-Control-Allow-Headers: {_ALLOWED_HEADERS}\r\n"
                f"Access-Control-Max-Age: {_PREFLIGHT_AGE_S}\r\n"
            )
        return Reply(204, b"", headers.encode())

    def _cross_origin(self, request: Request) -> bytes:
        if not self._knows_origin(request):
            return b""
        origin = request.headers["Origin"]
        return f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: {_EXPOSED}\r\n".encode()

    def _knows_origin(self, request: Request) -> bool:
        """Exactly one Origin, and exactly one of ours: a browser sends scheme and host in lower case."""
        origins = request.headers.getall("Origin", ())
        return len(origins) == 1 and origins[0] in self._origins

    def _now(self) -> bytes:
        """The date (RFC 9110, 6.6.1), made once a second."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date
