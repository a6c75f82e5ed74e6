"""A request as the handlers see it, and their reply. Both are made all the time, so they hold no more than needed."""

from __future__ import annotations

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
        "headers",
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


_REPLAYED: Final = b"Idempotent-Replayed: true\r\n"


def reply_of(response: Response | None, headers: bytes = b"") -> Reply:
    """The reply for a command's response, with the ETag of the order that it shows."""
    if response is None:
        raise RuntimeError("a command of a request left no response")
    if response.version is not None:
        headers += etag(response.version)
    if response.replayed:
        headers += _REPLAYED
    return Reply(response.status, response.body, headers)


def etag(version: int) -> bytes:
    """The header line of a strong entity tag: an order's stream version."""
    return b'ETag: "%d"\r\n' % version
