"""A real HTTP server that misbehaves as told, and the session that the adapters share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from payloops.workflows_bridge.processors.transport import processor_session


@dataclass
class Seen:
    """A request that a server got."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str


@dataclass
class Server:
    """An HTTP server on loopback that answers as its handler says and remembers what it was asked."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)


Answer = Callable[[Seen], web.Response | Awaitable[web.Response]]
StartServer = Callable[[Answer], Awaitable[Server]]
RawAnswer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
StartRawServer = Callable[[RawAnswer], Awaitable[str]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with processor_session() as session:
        yield session


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Starts servers that speak proper HTTP."""
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> Server:
        server = Server()

        async def handle(request: web.Request) -> web.Response:
            seen = Seen(request.method, request.path, request.query_string, dict(request.headers), await request.text())
            server.seen.append(seen)
            response = answer(seen)
            return response if isinstance(response, web.Response) else await response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def start_raw_server() -> AsyncIterator[StartRawServer]:
    """Starts servers that write whatever bytes they like once a request's head has come in."""
    servers: list[asyncio.Server] = []
    talking: set[asyncio.Task[None]] = set()

    async def start(answer: RawAnswer) -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talking.add(task)
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await reader.readuntil(b"\r\n\r\n")
                await answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)
