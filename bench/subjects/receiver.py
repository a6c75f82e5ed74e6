"""A receiver of webhooks that costs little: it notes when which event's first byte came, and answers 204 at once.

``/dead`` takes requests and never answers. Answers with what came when since it was last asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from bench import pacing, worker
from bench.samples import Window

REQUEST_BYTES_MAX: Final = 1024 * 1024
DEAD: Final = "/dead"
_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_HEAD_END: Final = b"\r\n\r\n"
_ID: Final = b"webhook-id:"
_LENGTH: Final = b"content-length:"


def arrival(path: str, event_id: str) -> str:
    """The name under which an event's arrival at a path is noted."""
    return f"{path} {event_id}"


class _Connection(asyncio.Protocol):
    """One sender's connection, with one request under way."""

    def __init__(self, came: Callable[[str, float], None]) -> None:
        self._came = came
        self._buffer = b""
        self._began_s = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._began_s = time.monotonic()
        self._buffer += data
        head_end = self._buffer.find(_HEAD_END)
        if len(self._buffer) > REQUEST_BYTES_MAX:
            self._transport.abort()
        if head_end < 0:
            return
        head = self._buffer[:head_end]
        if len(self._buffer) < head_end + len(_HEAD_END) + int(_header(head, _LENGTH)):
            return
        self._buffer = b""
        path = head.split(b" ", 2)[1].decode()
        self._came(arrival(path, _header(head, _ID).decode()), self._began_s)
        if path != DEAD:
            self._transport.write(_ANSWER)


def _header(head: bytes, name: bytes) -> bytes:
    begin = head.lower().index(name) + len(name)
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].strip()


@asynccontextmanager
async def listening(port: int, came: Callable[[str, float], None]) -> AsyncIterator[None]:
    """Listen on loopback; ``came`` is told of each request and the monotonic time of its first byte."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(came), "127.0.0.1", port, backlog=1024)
    try:
        yield
    finally:
        server.close()


@asynccontextmanager
async def open_receiver(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    marks: pacing.Marks = {}

    def came(name: str, at_s: float) -> None:
        marks.setdefault(name, at_s)

    async def measure(_: Window) -> Mapping[str, Any]:
        told = dict(marks)
        marks.clear()
        return {"marks": told}

    async with listening(config["port"], came):
        yield measure


if __name__ == "__main__":
    worker.serve(open_receiver)
