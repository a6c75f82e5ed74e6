"""A bad network between us and Postgres: at a chosen moment it loses a request or an answer, goes silent or goes slow.

It listens on a unix socket, understands just enough of the frontend protocol to know where a request ends and which
statement it executes, and meddles with one statement only, which is the append unless a test says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from enum import Enum, auto
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

APPEND = b"append_batch"
_READY = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery, idle: the server has committed."""
_CHUNK = 1 << 20


class Fault(Enum):
    """What happens to the next append."""

    LOSE_REQUEST = auto()  # the server never sees it; both ends are cut
    LOSE_ANSWER = auto()  # the server commits; then both ends are cut
    CUT_MEANWHILE = auto()  # it is passed on and the client is cut at once: it may commit after the client's next try
    SWALLOW_REQUEST = auto()  # the server never sees it; the connection stays open and silent
    SWALLOW_ANSWER = auto()  # the server commits; the connection stays open and silent
    SLOW = auto()  # it arrives late


class Proxy:
    """Between ``dsn`` (what tests give to the code) and the real server."""

    def __init__(self, upstream_dsn: str, directory: Path) -> None:
        given = conninfo_to_dict(upstream_dsn)
        self._host, self._port = str(given.get("host") or "/tmp"), int(given.get("port") or 5432)
        self.dsn = make_conninfo(upstream_dsn, host=str(directory), port=5432)
        self._armed: list[Fault] = []
        self._links: set[asyncio.Task[None]] = set()
        self.refusing = False
        """New connections are closed at once."""
        self.silent = False
        """Whatever is sent on any connection is swallowed."""
        self.delay_s = 0.05
        self.statement = APPEND
        """What the statement holds that faults are for."""
        self.appends = 0
        """Requests that executed an append."""
        self.requests = 0
        """All requests on connections that append: each is one round trip."""
        self.done: list[Fault] = []
        self.struck = asyncio.Event()

    def arm(self, *faults: Fault) -> None:
        """Let these happen to the next appends, one each."""
        self._armed.extend(faults)
        self.struck.clear()

    def take(self) -> Fault | None:
        if not self._armed:
            return None
        fault = self._armed.pop(0)
        self.done.append(fault)
        self.struck.set()
        return fault

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}", limit=_CHUNK)
        return await asyncio.open_connection(self._host, self._port, limit=_CHUNK)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if not self.refusing:
                with contextlib.suppress(OSError):
                    await _Link(self, reader, writer).run()
        except asyncio.CancelledError:
            pass  # the proxy cuts this link; asyncio would log the cancellation of a connection's own task
        finally:
            self._links.discard(task)
            writer.transport.abort()

    async def cut_all(self) -> None:
        """Cut every connection there is."""
        links = tuple(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


class _Link:
    """One client's connection and its own to the server."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._appends = False
        self._fault: Fault | None = None
        self._buffer = bytearray()
        self._started = False

    async def run(self) -> None:
        server_reader, server_writer = await self._proxy.connect()
        try:
            async with asyncio.TaskGroup() as both:
                back = both.create_task(self._answers(server_reader))
                await self._requests(server_writer)
                back.cancel()
        finally:
            server_writer.transport.abort()

    async def _requests(self, server: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(_CHUNK):
            self._buffer += data
            while (request := self._next_request()) is not None:
                if not await self._forward(request, server):
                    return

    async def _forward(self, request: bytes, server: asyncio.StreamWriter) -> bool:
        """Pass a request on, or do the armed fault to it. False when the link is to be cut."""
        if self._proxy.silent:
            return True
        self._appends = self._appends or self._proxy.statement in request
        if self._appends and self._started:
            self._proxy.requests += 1
        if self._appends and _executes(request):
            self._proxy.appends += 1
            self._fault = self._proxy.take()
        match self._fault:
            case Fault.LOSE_REQUEST:
                return False
            case Fault.SWALLOW_REQUEST:
                return True
            case Fault.SLOW:
                await asyncio.sleep(self._proxy.delay_s)
                self._fault = None
        server.write(request)
        await server.drain()
        self._started = True
        return self._fault is not Fault.CUT_MEANWHILE

    async def _answers(self, server: asyncio.StreamReader) -> None:
        while data := await server.read(_CHUNK):
            if self._fault is Fault.LOSE_ANSWER:
                if data.endswith(_READY):
                    break
            elif self._fault is not Fault.SWALLOW_ANSWER:
                self._writer.write(data)
                await self._writer.drain()
        self._writer.transport.abort()

    def _next_request(self) -> bytes | None:
        """All messages up to the one that makes the server answer; None when more bytes must come first."""
        if not self._started:
            size = int.from_bytes(self._buffer[:4], "big")
            return self._cut(size) if len(self._buffer) >= max(size, 4) else None
        end = 0
        while len(self._buffer) >= end + 5:
            kind, size = self._buffer[end], int.from_bytes(self._buffer[end + 1 : end + 5], "big")
            end += 1 + size
            if len(self._buffer) < end:
                return None
            if kind in b"SQXpF":  # Sync, Query, Terminate, password, function call
                return self._cut(end)
        return None

    def _cut(self, size: int) -> bytes:
        request = bytes(self._buffer[:size])
        del self._buffer[:size]
        return request


def _executes(request: bytes) -> bool:
    place = 0
    while place + 5 <= len(request):
        if request[place] in b"EQ":  # Execute, Query
            return True
        place += 1 + int.from_bytes(request[place + 1 : place + 5], "big")
    return False


@contextlib.asynccontextmanager
async def proxied(upstream_dsn: str) -> AsyncIterator[Proxy]:
    """A running proxy before the server of that DSN."""
    directory = Path(tempfile.mkdtemp(prefix="payloops-proxy-"))
    try:
        proxy = Proxy(upstream_dsn, directory)
        server = await asyncio.start_unix_server(proxy.serve, directory / ".s.PGSQL.5432", limit=_CHUNK)
        try:
            yield proxy
        finally:
            server.close()
            await proxy.cut_all()
            await server.wait_closed()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
