"""One request to a processor, bounded in every direction, and what a missing answer means.

The deadline is one for a whole ask (``one_ask``), however many requests that takes. Replies are read up to a limit,
uncompressed, without following redirects, keeping cookies, or using a proxy from the environment.

An answer that does not settle the matter is an exception here: which one depends only on whether the request could
have changed something at the processor. Neither holds a URL, a header or a body.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from payloops.telemetry import span
from payloops.workflows_bridge.processors.base import TIMEOUT_S_MAX

REPLY_BYTES_MAX: Final = 2 * 1024 * 1024
"""A full page of 100 payments has about 300 KiB."""
RETRY_AFTER_S_MAX: Final = 3600
CONNECTIONS_MAX: Final = 100
CONNECT_SHARE: Final = 0.5
"""Part of the time allowed that may go into getting a connection: the rest is for an answer."""

_SETTLED: Final = frozenset({400, 402, 404})
"""Refusals with a reason. Any other 4xx and every 3xx is no answer that these APIs give."""
_USER_AGENT: Final = "payloops"

_deadline_s: ContextVar[float | None] = ContextVar("processor_deadline_s", default=None)


class NotExecuted(Exception):
    """The processor surely did nothing: no connection, too many requests, or a mere question got no answer."""

    def __init__(self, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class MaybeExecuted(Exception):
    """The request can have been carried out, and the answer is lost or unreadable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CredentialsRefused(Exception):
    """401 or 403: the account's credentials are wrong or not allowed to do this."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class UnreadableReply(Exception):
    """An answer lacks what it always has; what that means, the adapter knows."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that settles the matter: a status of 2xx, 400, 402 or 404, and a JSON object."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    document: dict[str, Any]


def processor_session(*, connections_max: int = CONNECTIONS_MAX) -> aiohttp.ClientSession:
    """The HTTP session that all adapters of a process share: keep-alive connections, no cookies, no environment."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=15, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S_MAX),
    )


class Transport:
    """Sends requests for one adapter over the shared session."""

    def __init__(
        self, http: aiohttp.ClientSession, *, timeout_s: float, reply_bytes_max: int = REPLY_BYTES_MAX
    ) -> None:
        """Raises ``ValueError`` for a time outside 0…30 s, or a session that takes proxies from the environment."""
        if not 0 < timeout_s <= TIMEOUT_S_MAX:
            raise ValueError(f"one ask of a processor takes more than 0 and at most {TIMEOUT_S_MAX:g} s")
        if http.trust_env:
            raise ValueError("the session for processors must not read proxies and passwords from the environment")
        self._http = http
        self._timeout_s = timeout_s
        self._reply_bytes_max = reply_bytes_max

    @contextlib.contextmanager
    def one_ask(self) -> Iterator[None]:
        """All requests inside share one deadline, ``timeout_s`` from now."""
        token = _deadline_s.set(asyncio.get_running_loop().time() + self._timeout_s)
        try:
            yield
        finally:
            _deadline_s.reset(token)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | str | None = None
    ) -> Reply:
        """One request and its settled answer.

        Raises ``NotExecuted``, ``MaybeExecuted`` or ``CredentialsRefused``.
        """
        try:
            with span("processor request", kind="client", attributes={"http.request.method": method}) as step:
                async with asyncio.timeout_at(self._deadline()):
                    status, reply_headers, content = await self._exchange(method, url, headers, body)
                step.set("http.response.status_code", status)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as trouble:
            raise NotExecuted(f"no connection ({type(trouble).__name__})") from None
        except TimeoutError:
            raise _unsettled(method, "no answer in time") from None
        except (aiohttp.ClientError, OSError) as trouble:
            raise _unsettled(method, f"the answer was lost ({type(trouble).__name__})") from None
        if status in (401, 403):
            raise CredentialsRefused(status)
        if status == 429:  # noqa: PLR2004 - an HTTP status
            raise NotExecuted("too many requests (HTTP 429)", _retry_after_s(reply_headers))
        if not 200 <= status < 300 and status not in _SETTLED:  # noqa: PLR2004 - HTTP statuses
            raise _unsettled(method, f"HTTP {status}")
        return Reply(status, reply_headers, content, _document(method, content))

    def _deadline(self) -> float:
        deadline_s = _deadline_s.get()
        if deadline_s is None:
            return asyncio.get_running_loop().time() + self._timeout_s
        return deadline_s

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        connect_s = self._timeout_s * CONNECT_SHARE
        async with self._http.request(
            method,
            url,
            headers={**headers, "User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
            data=body,
            allow_redirects=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s),
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > self._reply_bytes_max:
                    response.close()
                    raise _unsettled(method, "the answer is too large")
            return response.status, response.headers, bytes(content)


def _unsettled(method: str, reason: str) -> NotExecuted | MaybeExecuted:
    """A GET changes nothing: asking again is all that its loss costs."""
    return NotExecuted(reason) if method.upper() == "GET" else MaybeExecuted(reason)


def _document(method: str, content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise _unsettled(method, "the answer is no JSON object") from None
    return document


def _retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Retry-After in whole seconds, at most an hour; None when it is missing or a date."""
    text = headers.get("Retry-After", "")
    return min(int(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004
