"""A request as the handlers see it, and their reply. Both are made all the time, so they hold no more than needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDictProxy

from payloops.commands.idempotency import Response
from payloops.events.base import Meta
from payloops.telemetry import traceparent
from payloops.values import new_id

if TYPE_CHECKING:
    from payloops.http.auth import Caller
    from payloops.http.routing import Route


class Request:
    """One request, its body read whole. ``path`` is as sent, without the query; ``params`` are its ids, decoded."""

    __slots__ = (
        "body",
        "correlation_id",
        "error_code",
        "headers",
        "ignored",
        "method",
        "params",
        "path",
        "peer",
        "principal",
        "proven",
        "query",
        "route",
        "started_at_s",
    )

    def __init__(
        self, method: str, target: str, headers: CIMultiDictProxy[str], *, peer: str, started_at_s: float
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = b""
        self.peer = peer
        self.started_at_s = started_at_s
        self.params: tuple[str, ...] = ()
        self.route: Route | None = None
        self.principal: Caller | None = None
        self.correlation_id = ""
        self.error_code = ""
        """Of the error that it was answered with."""
        self.ignored: tuple[str, ...] = ()
        """Fields of the body and parameters that the call does not know."""
        self.proven = False
        """Whether it was seen, in this very request, that the API key still holds."""

    @property
    def caller(self) -> Caller:
        """Who asks. Only routes that ask for a credential have one."""
        if self.principal is None:
            raise RuntimeError(f"{self.method} {self.path} asks who calls, but its route takes anybody")
        return self.principal

    def meta(self) -> Meta:
        """What an event will tell of this request."""
        return Meta(
            command_id=new_id(),
            actor=self.caller.actor,
            correlation_id=self.correlation_id,
            traceparent=traceparent(),
        )


class Reply:
    """A status and a body of JSON. ``headers`` are further header lines, each with its end."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        self.status = status
        self.body = body
        self.headers = headers


class Page(Reply):
    """A page for people: HTML. ``policy`` is its Content-Security-Policy."""

    __slots__ = ("policy",)

    def __init__(self, status: int, body: bytes, policy: str, headers: bytes = b"") -> None:
        super().__init__(status, body, headers)
        self.policy = policy


class Asset(Reply):
    """A part of a page (a style sheet, a script) that never changes at its address, so whoever reads it may keep it."""

    __slots__ = ("media_type",)

    def __init__(self, body: bytes, media_type: str) -> None:
        super().__init__(200, body)
        self.media_type = media_type


class Text(Reply):
    """Plain text for machines, such as metrics."""

    __slots__ = ("media_type",)

    def __init__(self, body: bytes, media_type: str) -> None:
        super().__init__(200, body)
        self.media_type = media_type


class StreamReply(Reply):
    """A body that is made while it is sent, as fast as the client reads; the connection ends with it.

    ``endless``: it goes on until somebody stops it, so a client that sends no more has gone.
    """

    __slots__ = ("chunked", "chunks", "endless", "media_type")

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], media_type: str, headers: bytes = b"", *, endless: bool = False
    ) -> None:
        super().__init__(200, b"", headers)
        self.chunks = chunks
        self.media_type = media_type
        self.endless = endless
        self.chunked = True
        """HTTP/1.0 knows no chunks: there the end of the connection is the end of the body."""


_REPLAYED: Final = b"Idempotent-Replayed: true\r\n"


def reply_of(response: Response | None, headers: bytes = b"") -> Reply:
    """The reply for a command's response, with the ETag of what it shows."""
    if response is None:
        raise RuntimeError("a command of a request left no response")
    if response.version is not None:
        headers += etag(response.version)
    if response.replayed:
        headers += _REPLAYED
    return Reply(response.status, response.body, headers)


def etag(version: int) -> bytes:
    """The header line of a strong entity tag: the version of an order or of a profile."""
    return b'ETag: "%d"\r\n' % version
