"""What stands between a client and a service, or instead of one, and fails as it is told.

``Flaky`` speaks HTTP/1.1 by itself from a script; ``Between`` passes on what it gets and loses what it should.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar


@dataclass(frozen=True)
class Got:
    """A request that arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = field(repr=False)

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")


@dataclass(frozen=True)
class Say:
    """An answer."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def written(self) -> bytes:
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = {"Content-Length": str(len(raw)), "Content-Type": "application/json", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} X\r\n{head}\r\n".encode() + raw


DROP = "drop"
"""Close the connection without an answer."""
HANG = "hang"
"""Say nothing, until the client has gone."""


class Flaky:
    """Answers request after request by the script; ``got`` are those that arrived."""

    def __init__(self, script: Sequence[Say | str | bytes]) -> None:
        self.script = list(script)
        self.got: list[Got] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (got := await read_request(reader)) is not None:
                self.got.append(got)
                step = self.script.pop(0)
                if step == DROP:
                    return
                if step == HANG:
                    await reader.read()
                    return
                writer.write(step if isinstance(step, bytes) else step.written())  # type: ignore[union-attr]
                await writer.drain()
                if isinstance(step, bytes):
                    return
        finally:
            writer.close()


class Between:
    """A proxy. ``loses`` decides of each request whether the answer to it is lost after the service has given it."""

    def __init__(self, port: int, loses: Callable[[Got], bool]) -> None:
        self._port = port
        self._loses = loses
        self._writers: set[asyncio.StreamWriter] = set()
        self.lost: list[tuple[Got, bytes]] = []
        self.got: list[Got] = []
        self.url = ""

    def lose(self, loses: Callable[[Got], bool]) -> None:
        """From now on, lose these."""
        self._loses = loses

    def cut(self) -> None:
        """Break all connections that are open."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (got := await read_request(reader)) is not None:
                self.got.append(got)
                there, back = await asyncio.open_connection("127.0.0.1", self._port)
                head = "".join(f"{name}: {value}\r\n" for name, value in got.headers.items() if name != "connection")
                back.write(f"{got.method} {got.target} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + got.body)
                try:
                    if self._loses(got):
                        self.lost.append((got, await there.read()))
                        return
                    while chunk := await there.read(65_536):
                        writer.write(chunk)
                        await writer.drain()
                finally:
                    back.close()
                return
        finally:
            self._writers.discard(writer)
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Got | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Got(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


Served = TypeVar("Served", "Flaky", "Between")


@asynccontextmanager
async def serving(what: Served) -> AsyncIterator[Served]:
    """On a free port of loopback, for the length of the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError):
            await what.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    what.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield what
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
