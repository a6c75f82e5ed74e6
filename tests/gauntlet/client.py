"""A merchant's client as it should be: it says a request again, with the same key, until it has an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiohttp
import orjson

PATIENCE_S: Final = 90.0
"""How long one request is said again."""
ATTEMPT_TIMEOUT_S: Final = 15.0
AGAIN_MIN_S: Final = 0.05
AGAIN_MAX_S: Final = 0.5


UNAVAILABLE: Final = 503


class GaveUp(Exception):
    """No answer within the client's patience."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``tries`` counts how often it was asked."""

    status: int
    raw: bytes
    headers: Mapping[str, str] = field(repr=False)
    tries: int = 1

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw) if self.raw else None

    @property
    def code(self) -> str | None:
        body = self.body
        return body.get("code") if isinstance(body, dict) else None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A write with an idempotency key, and the answer that the service stood by."""

    method: str
    path: str
    sent: bytes
    key: str
    status: int
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


@dataclass
class Client:
    """``acknowledged`` is the journal of every write that was answered with success."""

    http: aiohttp.ClientSession
    base_url: str
    credential: Mapping[str, str] = field(default_factory=dict)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """Answers that no fault excuses."""
    unavailable: int = 0
    """Answers 503."""

    async def once(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request, one answer. Raises aiohttp.ClientError and TimeoutError."""
        sent = raw if raw is not None else (b"" if body is None else orjson.dumps(body))
        named = dict(self.credential) | ({} if key is None else {"Idempotency-Key": key}) | dict(headers or {})
        if sent:
            named.setdefault("Content-Type", "application/json")
        async with self.http.request(
            method, self.base_url + path, data=sent or None, headers=named, allow_redirects=False
        ) as response:
            return Answer(response.status, await response.read(), response.headers.copy())

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """Say it until there is an answer that is not "later". Raises GaveUp."""
        deadline_s, delay_s, tries = time.monotonic() + PATIENCE_S, AGAIN_MIN_S, 0
        while time.monotonic() < deadline_s:
            tries += 1
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    answer = await self.once(method, path, body, key=key)
            except (aiohttp.ClientError, OSError, TimeoutError):
                answer = None
            if answer is not None and answer.status == UNAVAILABLE:
                self.unavailable += 1
            if answer is not None and not _later(answer):
                self._note(answer, method, path, body, key)
                return replace(answer, tries=tries)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, AGAIN_MAX_S)
        raise GaveUp(f"{method} {path} had no answer in {PATIENCE_S:g} s")

    def _note(self, answer: Answer, method: str, path: str, body: Any, key: str | None) -> None:
        if answer.status in {401, 403, 500}:
            self.surprises.append(f"{method} {path} was answered {answer.status}: {answer.raw[:200]!r}")
        if key is not None and answer.status < 300:
            sent = b"" if body is None else orjson.dumps(body)
            self.acknowledged.append(Acknowledged(method, path, sent, key, answer.status, answer.raw))


def _later(answer: Answer) -> bool:
    """Whether the answer asks to come again: not served now, or the first request with this key still runs."""
    return answer.status == UNAVAILABLE or (
        answer.status == 409 and answer.code in {"idempotency_in_flight", "version_conflict"}
    )


def new_session() -> aiohttp.ClientSession:
    """A session for many requests at once, with no proxy of the environment's."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=200),
        timeout=aiohttp.ClientTimeout(total=60.0),
        trust_env=False,
        auto_decompress=True,
    )
