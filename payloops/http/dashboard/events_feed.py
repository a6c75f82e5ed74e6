"""``GET /api/events``: a merchant's public events in their order, by the page or as a stream that goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from payloops.errors import PayloopsError
from payloops.events.webhook_event_types import CHOICES
from payloops.http.answers.analytics import EventFeed
from payloops.http.message import Reply, Request, StreamReply
from payloops.http.openapi.operation import LIMIT, Operation, Parameter, documented, text
from payloops.http.query import Query, refusal
from payloops.http.services import Services
from payloops.projections.public_events import PublicEvent

HEARTBEAT_S: Final = 15.0
"""Also how soon a stream ends after its token was revoked."""
RETRY_MS: Final = 2_000
"""How long a client should wait before it connects again."""
STREAM_PAGE: Final = 100
LATEST: Final = "latest"
_EVENT_STREAM: Final = "text/event-stream"
_POSITION_MAX: Final = 2**63 - 1

_log = logging.getLogger(__name__)


@documented(
    Operation(
        summary="Follow the public events",
        description="In their order. With `Accept: text/event-stream` a stream that goes on; "
        "`Last-Event-ID` says where it goes on after it broke.",
        answers={200: EventFeed},
        query=(
            LIMIT,
            text("after", f"Only events after this position; `{LATEST}`: only what is still to come."),
            text("types", "Only these types or groups, with commas between: `payment.*,refund.failed`."),
        ),
        headers=(Parameter("Last-Event-ID", {"type": "string"}, "Of a stream: as `after`.", "header"),),
        errors=("rate_limited",),
    )
)
async def list_events(request: Request, services: Services) -> Reply:
    """``GET /api/events``."""
    query = Query(request)
    merchant_id, feed = request.caller.merchant_id, services.analytics.feed
    types, limit = _types(query), query.limit()
    after = await _position(query.text("after"), "after", request, services)
    if _EVENT_STREAM in request.headers.get("Accept", "").lower():
        told = request.headers.get("Last-Event-ID")
        if told:
            after = await _position(told, "Last-Event-ID", request, services)
        stream = _stream(request, services, after, types)
        # Up to here it opens: a refusal is still answered as such.
        await anext(stream)
        return StreamReply(stream, f"{_EVENT_STREAM}; charset=utf-8", endless=True)
    page = await feed.page(merchant_id, after, types=types, limit=limit)
    data = b",".join(map(_entry, page.events))
    body = b'{"data":[%s],"hasMore":%s,"nextAfter":%d}' % (data, b"true" if page.more else b"false", page.position)
    return Reply(200, body)


async def _stream(
    request: Request, services: Services, after: int, types: tuple[str, ...]
) -> AsyncGenerator[bytes, None]:
    """Server-sent events (WHATWG HTML, 9.2): nothing first, when it is open; then what there is, as it comes."""
    caller, feed = request.caller, services.analytics.feed
    with feed.follow(caller.merchant_id) as news:
        yield b""
        yield b"retry: %d\n\n" % RETRY_MS
        while not services.stopping.is_set():
            news.clear()
            try:
                page = await feed.page(caller.merchant_id, after, types=types, limit=STREAM_PAGE)
            except PayloopsError as problem:
                _log.warning("a stream of events ends: %s", problem.message)
                return
            if page.events:
                yield b"".join(map(_frame, page.events))
            after = page.position
            if page.more or await _waited(news, services):
                continue
            if caller.claims is not None and not await services.tokens.hold(caller.claims):
                return
            yield b": still here\n\n"


async def _waited(news: asyncio.Event, services: Services) -> bool:
    """Wait for news, or for the stop; False when neither came within HEARTBEAT_S."""
    waits = [asyncio.create_task(news.wait()), asyncio.create_task(services.stopping.wait())]
    try:
        done, _ = await asyncio.wait(waits, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait
    return bool(done)


def _frame(event: PublicEvent) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.position, event.type.encode(), _entry(event))


def _entry(event: PublicEvent) -> bytes:
    """What webhooks tell of it, and its place in the feed."""
    return b'{"position":%d,%s' % (event.position, event.body[1:])


async def _position(text: str | None, name: str, request: Request, services: Services) -> int:
    if text is None:
        return 0
    if text == LATEST:
        return await services.analytics.feed.end(request.caller.merchant_id)
    if text.isascii() and text.isdigit() and len(text) <= len(str(_POSITION_MAX)) and int(text) <= _POSITION_MAX:
        return int(text)
    raise refusal(name, f"must be a position that an event had, or {LATEST}")


def _types(query: Query) -> tuple[str, ...]:
    """``types``: names or groups, with commas between. Raises InvalidInput."""
    named = tuple(name.strip() for name in (query.text("types") or "").split(",") if name.strip())
    for name in named:
        if name not in CHOICES:
            raise refusal("types", f"may name {', '.join(CHOICES)}")
    return named
