"""Replies as bytes: status line, the headers that every reply has, its own, and the body.

Written by hand, because this is done for each request: aiohttp's response object costs more than most handlers.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from payloops.config import Settings
from payloops.http.fields import HEADER as IGNORED_FIELDS
from payloops.http.fields import ignored_line
from payloops.http.message import Asset, Page, Reply, Request, StreamReply, Text

_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})
_HSTS: Final = "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
_SECURITY: Final = (
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
)
_DATA_POLICY: Final = "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
_ASSET_SECURITY: Final = (
    "Cache-Control: public, max-age=31536000, immutable\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
)
_EXPOSED: Final = (
    "X-Correlation-ID, ETag, Idempotent-Replayed, Preference-Applied, Retry-After, RateLimit, RateLimit-Policy, "
    f"Allow, WWW-Authenticate, Content-Disposition, {IGNORED_FIELDS}"
)
_ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-API-Key, "
    "X-Correlation-ID, X-Request-ID, traceparent"
)
_PREFLIGHT_AGE_S: Final = 600


class Replies:
    """Writes replies. Browsers of the origins in CORS_ORIGINS may read them, no others."""

    def __init__(self, settings: Settings) -> None:
        secure = settings.production and settings.public_url.startswith("https://")
        vary = "Vary: Origin\r\n" if settings.cors_origins else ""
        rest = f"{_HSTS if secure else ''}{vary}X-Correlation-ID: "
        self._common = f"{_SECURITY}{_DATA_POLICY}{rest}".encode()
        self._page = f"{_SECURITY}{rest}".encode()
        self._asset = f"{_ASSET_SECURITY}{rest}".encode()
        self._origins = frozenset(settings.cors_origins)
        self._date = b""
        self._date_second = 0

    def write(self, reply: Reply, request: Request, *, close: bool) -> bytes:
        """The whole reply."""
        body = reply.body
        length = b"" if reply.status in _BODILESS else b"\r\nContent-Length: %d" % len(body)
        if type(reply) is Reply:
            common, media_type = self._common, b"\r\nContent-Type: application/json" if body else b""
        else:
            common, media_type = self._for_people(reply)
            if isinstance(reply, StreamReply):
                length = b"\r\nTransfer-Encoding: chunked" if reply.chunked else b""
        return b"".join(
            (
                _STATUS_LINES[reply.status],
                common,
                request.correlation_id.encode(),
                media_type,
                length,
                b"\r\nDate: ",
                self._now(),
                b"\r\nConnection: close\r\n" if close else b"\r\n",
                self._cross_origin(request) if self._origins else b"",
                reply.headers,
                ignored_line(request.ignored) if request.ignored else b"",
                b"\r\n",
                b"" if request.method == "HEAD" else body,
            )
        )

    def _for_people(self, reply: Reply) -> tuple[bytes, bytes]:
        """Of a page or a part of one: the headers before the correlation id, and the media type's line."""
        if isinstance(reply, Page):
            policy = f"Content-Security-Policy: {reply.policy}\r\n".encode()
            return policy + self._page, b"\r\nContent-Type: text/html; charset=utf-8"
        if isinstance(reply, Asset):
            return self._asset, f"\r\nContent-Type: {reply.media_type}".encode()
        if isinstance(reply, Text | StreamReply):
            return self._common, f"\r\nContent-Type: {reply.media_type}".encode()
        raise TypeError(f"no such kind of reply: {type(reply).__name__}")

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
