"""One way to speak to the client that waits and to the one of asyncio, so that each test is run against both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any, Literal

import httpx

from payloops.client import AsyncDashboard, AsyncPayLoops, Dashboard, PayLoops

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class Both:
    """Runs calls of one of the two clients; what waits does so in a thread, because the service is in this one."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._clients: list[Any] = []

    def payloops(self, api_key: str, **options: Any) -> Any:
        """A PayLoops or an AsyncPayLoops; untyped, for a test can't tell which."""
        made = (PayLoops if self.kind == "sync" else AsyncPayLoops)(api_key, **options)
        return self._kept(made)

    def dashboard(self, token: str, **options: Any) -> Any:
        made = (Dashboard if self.kind == "sync" else AsyncDashboard)(token, **options)
        return self._kept(made)

    async def signed_in(self, how: Literal["register", "login"], **fields: Any) -> Any:
        made = await self.do(getattr(Dashboard if self.kind == "sync" else AsyncDashboard, how), **fields)
        return self._kept(made)

    def http(self, **options: Any) -> Any:
        """An httpx client of that kind."""
        return self._kept((httpx.Client if self.kind == "sync" else httpx.AsyncClient)(**options))

    def _kept(self, made: Any) -> Any:
        self._clients.append(made)
        return made

    async def do(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A call's answer."""
        if self.kind == "sync":
            return await asyncio.to_thread(method, *args, **kwargs)
        return await method(*args, **kwargs)

    async def items(self, pager: Any) -> list[Any]:
        """All of a list."""
        if self.kind == "sync":
            return await asyncio.to_thread(list, pager)
        return [item async for item in pager]

    async def take(self, stream: Any, count: int) -> list[Any]:
        """The next ones of a stream."""
        if self.kind == "sync":
            return await asyncio.to_thread(lambda: list(islice(stream, count)))
        taken: list[Any] = []
        while len(taken) < count:
            taken.append(await anext(stream))
        return taken

    @contextlib.asynccontextmanager
    async def closing(self, stream: Any) -> AsyncIterator[Any]:
        """A stream that is closed at the end of the block."""
        try:
            yield stream
        finally:
            await (asyncio.to_thread(stream.close) if self.kind == "sync" else stream.aclose())

    async def close(self) -> None:
        for client in self._clients:
            await (asyncio.to_thread(client.close) if self.kind == "sync" else client.aclose())
