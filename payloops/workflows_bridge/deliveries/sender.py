"""One request to a receiver, to an address that was checked at the moment of connecting, bounded in every direction.

The receiver is somebody else's, and so is its name: what it resolves to, how long it takes, and how much it says. So
each socket is made only after its address was looked at, whatever led to it; there are no redirects, no proxies, no
cookies and no decompression; and everything together takes no longer than ``timeout_s``.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from yarl import URL

from payloops.addresses import forbidden_reason
from payloops.values import Clock
from payloops.workflows_bridge.deliveries.resolver import Lookup, Resolver, system_lookup

TIMEOUT_S: Final = 15.0
REPLY_BYTES_MAX: Final = 16 * 1024
HEADER_BYTES_MAX: Final = 8 * 1024
HEADERS_MAX: Final = 64
KEEPALIVE_S: Final = 4.0
"""Shorter than what common servers grant (Node: 5 s), so that a connection seldom ends just as it is used again."""
HOSTS_KEPT_MAX: Final = 128
"""Hosts whose connections are kept between requests; with others each request closes its own."""
URL_CHARS_MAX: Final = 2048
RETRY_AFTER_DIGITS_MAX: Final = 9
USER_AGENT: Final = "PayLoops-Webhooks/1.0"

_OWN_LIMITS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Exhausted(Exception):
    """Another connection can't be opened by this process now: no fault of the receiver's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request. ``error`` says for people why there is no status, or what is wrong with it."""

    status_code: int | None
    error: str | None
    body: bytes = field(default=b"", repr=False)
    """The beginning of the reply."""
    retry_after_s: float | None = None
    duration_ms: int = 0

    @property
    def success(self) -> bool:
        """2xx."""
        return self.status_code is not None and 200 <= self.status_code < 300  # noqa: PLR2004 - HTTP statuses


@dataclass(slots=True)
class _Course:
    """What one request met on its way."""

    forbidden: list[str] = field(default_factory=list)
    reused: bool = False
    status: int | None = None
    retry_after: str | None = None
    body: bytes = b""


_course: ContextVar[_Course | None] = ContextVar("webhook_course", default=None)


class Sender:
    """Sends for all endpoints of this process. ``open`` before use, ``close`` at the end.

    ``lookup`` resolves names, ``tls`` decides whom to trust: both for tests.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        allow_loopback: bool,
        https_only: bool,
        timeout_s: float = TIMEOUT_S,
        lookup: Lookup = system_lookup,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._allow_loopback = allow_loopback
        self._https_only = https_only
        self._timeout_s = timeout_s
        self._lookup = lookup
        self._tls = tls
        self._kept: OrderedDict[str, float] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session that all requests share."""
        connector = aiohttp.TCPConnector(
            resolver=Resolver(self._lookup),
            use_dns_cache=False,
            ssl=self._tls or ssl.create_default_context(),
            # How much is under way at once is bounded by who calls (bounds.py), so that nobody waits in here.
            limit=0,
            keepalive_timeout=KEEPALIVE_S,
            socket_factory=self._socket,
        )
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=REPLY_BYTES_MAX,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            trace_configs=[trace],
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST ``body`` once, and what came of it. Raises Exhausted."""
        target, problem = self._target(url)
        if target is None:
            return Answer(None, problem)
        started_s, course = time.monotonic(), _Course()
        token = _course.set(course)
        try:
            error = await self._try(target, body, headers, course)
        finally:
            _course.reset(token)
        if course.status is not None:
            error = None if 200 <= course.status < 300 else f"the receiver answered {course.status}"  # noqa: PLR2004 - HTTP statuses
        return Answer(
            course.status,
            error,
            course.body,
            self._retry_after_s(course.retry_after),
            round((time.monotonic() - started_s) * 1000),
        )

    # ------------------------------------------------------------------------------------------------------ the request

    async def _try(self, target: URL, body: bytes, headers: Mapping[str, str], course: _Course) -> str | None:
        """Send; the error of a request without an answer. Raises Exhausted."""
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    await self._exchange(target, body, headers, course)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as trouble:
                    if (
                        not course.reused
                        or course.status is not None
                        or isinstance(trouble, aiohttp.ClientConnectorError)
                    ):
                        raise
                    # The receiver closed a kept connection just as we used it: it has seen nothing of this request.
                    await self._exchange(target, body, {**headers, "Connection": "close"}, course)
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as trouble:
            if _errno(trouble) in _OWN_LIMITS:
                raise Exhausted from None
            return _in_words(trouble, course)
        return None

    async def _exchange(self, target: URL, body: bytes, headers: Mapping[str, str], course: _Course) -> None:
        if self._session is None:
            raise RuntimeError("the sender is not open")
        if not self._keeps(target):
            headers = {**headers, "Connection": "close"}
        async with self._session.post(target, data=body, headers=headers, allow_redirects=False) as response:
            course.status = response.status
            course.retry_after = response.headers.get("Retry-After")
            course.body = b""
            async for chunk in response.content.iter_any():
                course.body = (course.body + chunk)[:REPLY_BYTES_MAX]
                if len(course.body) >= REPLY_BYTES_MAX:
                    response.close()
                    return

    def _target(self, url: str) -> tuple[URL | None, str]:
        """The URL, or why nothing can be sent there. Its address is judged when we connect."""
        try:
            target = URL(url)
            usable = target.scheme in ("http", "https") and bool(target.raw_host) and target.port != 0
        except (ValueError, TypeError):
            return None, "the URL can't be used"
        if not usable or target.raw_user is not None or target.raw_password is not None or len(url) > URL_CHARS_MAX:
            return None, "the URL can't be used"
        if self._https_only and target.scheme != "https":
            return None, "the URL must be https"
        return target, ""

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for the address that is about to be connected to, if anything may go there. Raises OSError."""
        family, kind, protocol, _, address = info
        reason = forbidden_reason(ipaddress.ip_address(address[0]), allow_loopback=self._allow_loopback)
        if reason is not None:
            course = _course.get()
            if course is not None:
                course.forbidden.append(reason)
            raise OSError(errno.EACCES, "a webhook may not be sent to this address")
        return socket.socket(family, kind, protocol)

    def _keeps(self, target: URL) -> bool:
        """Whether the connection may be kept: idle ones are open files, of which a process has few."""
        host, now_s = target.authority, time.monotonic()
        while self._kept and next(iter(self._kept.values())) < now_s - KEEPALIVE_S:
            self._kept.popitem(last=False)
        if host not in self._kept and len(self._kept) >= HOSTS_KEPT_MAX:
            return False
        self._kept[host] = now_s
        self._kept.move_to_end(host)
        return True

    def _retry_after_s(self, header: str | None) -> float | None:
        """Seconds, or the time until an HTTP date (RFC 9110, section 10.2.3); None for anything else."""
        text = (header or "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:RETRY_AFTER_DIGITS_MAX])
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - self._clock.now()).total_seconds())


async def _note_reuse(_session: aiohttp.ClientSession, _context: SimpleNamespace, _told: object) -> None:
    course = _course.get()
    if course is not None:
        course.reused = True


def _errno(trouble: Exception) -> int | None:
    return trouble.errno if isinstance(trouble, OSError) else None


def _in_words(trouble: Exception, course: _Course) -> str:
    """For people, without the driver's own words: they may quote an address or a reply."""
    match trouble:
        case aiohttp.ClientConnectorDNSError():
            return "the host name can't be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "its TLS certificate is not trusted"
        case aiohttp.ClientConnectorSSLError():
            return "a TLS connection can't be made"
        case aiohttp.ClientConnectorError() if course.forbidden:
            return f"refused: webhooks are not sent to addresses of this kind ({course.forbidden[0]})"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.InvalidURL():
            return "the URL can't be used"
        case aiohttp.ServerDisconnectedError() | ConnectionError() | aiohttp.ClientOSError():
            return "it closed the connection without an answer"
        case _:
            return "its answer is not HTTP"
