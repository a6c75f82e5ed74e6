"""What of HTTP both clients share: how the core's requests become httpx's, and httpx's outcomes the core's."""

from __future__ import annotations

from typing import Any, Final

import httpx

from payloops.client.core.exchange import ANSWER_BYTES_MAX, Answer, Broken, Request

CONNECT_S_MAX: Final = 10.0
"""For a connection to be there; reading and writing have the client's own time."""
_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
"""The request has not left."""


def options_of(request: Request) -> dict[str, Any]:
    """How it is sent. Redirects are not followed: they would take the credential elsewhere."""
    return {
        "headers": dict(request.headers),
        "content": request.body or None,
        "timeout": httpx.Timeout(request.timeout_s, connect=min(CONNECT_S_MAX, request.timeout_s)),
        "follow_redirects": False,
    }


def answer_of(response: httpx.Response, body: bytes = b"") -> Answer:
    """The answer as the core reads it."""
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def broken(problem: httpx.RequestError, request: Request) -> Broken:
    """What broke, in words of our own: httpx's may quote a header, and a header may be the credential."""
    sent = not isinstance(problem, _UNSENT)
    if isinstance(problem, httpx.TimeoutException):
        why = f"nothing came within {request.timeout_s:g} s" if sent else "a connection took too long"
        return Broken(why, sent, timed_out=True)
    if isinstance(problem, httpx.ConnectError):
        return Broken("a connection could not be made", sent)
    return Broken(f"the connection broke ({type(problem).__name__})", sent)


class Body:
    """The body of an answer, of which ANSWER_BYTES_MAX are read and no more."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> bool:
        """Whether more may come."""
        self._size += len(chunk)
        self._chunks.append(chunk)
        return self._size <= ANSWER_BYTES_MAX

    def whole(self) -> bytes:
        """All of it; nothing of one that is too large, so that it can't be read by mistake."""
        return b"".join(self._chunks) if self._size <= ANSWER_BYTES_MAX else b""
