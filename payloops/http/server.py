"""The listening side: accepts connections, closes those that are too slow, and stops without dropping a reply."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from payloops.http.connection import Connection, Responder

CONNECTIONS_MAX: Final = 10_000
SWEEP_EVERY_S: Final = 0.5
STOP_S: Final = 2.0
"""How long a stop waits for requests that run; all of it fits in the 4 s that ``payloops up`` gives this part."""
CUT_OFF_S: Final = 0.5
"""How long requests that are cut off may take to store what they owe."""
LAST_REPLIES_S: Final = 0.5
BACKLOG: Final = 1024

_log = logging.getLogger(__name__)


class HttpServer:
    """One listening socket and its connections. ``start`` and ``stop`` once each."""

    def __init__(self, responder: Responder, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self.responder = responder
        self.stopping = False
        self._connections_max = connections_max
        self._connections: set[Connection] = set()
        self._left_behind: set[asyncio.Task[None]] = set()
        """Requests whose clients went away."""
        self._all_closed = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, *, share_port: bool = False) -> int:
        """Listen, and return the port (``port`` 0: the system chooses).

        ``share_port`` lets other processes listen on the same one. Raises OSError (the port is taken).
        """
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self, loop),
            host,
            port,
            backlog=BACKLOG,
            reuse_address=True,
            reuse_port=share_port or None,
        )
        self._sweeper = asyncio.create_task(self._sweep(), name="http-sweeper")
        name = self._listener.sockets[0].getsockname()
        return int(name[1])

    async def stop(self, *, grace_s: float = STOP_S) -> None:
        """Accept no more, let requests that run finish for ``grace_s``, then cut off what is left."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.stop()
        running = self._running()
        if running:
            _, unfinished = await asyncio.wait(running, timeout=grace_s)
            for task in unfinished:
                task.cancel()
            if unfinished:
                _log.warning("%d requests were cut off by the stop", len(unfinished))
                await asyncio.wait(unfinished, timeout=CUT_OFF_S)
        if self._connections:
            # Replies are written; their clients get a moment to read them.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), LAST_REPLIES_S)
        for connection in tuple(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        if self._listener is not None:
            await self._listener.wait_closed()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def opened(self, connection: Connection) -> bool:
        """Take note of a new connection; False when there are too many already, or when stopping."""
        if self.stopping or len(self._connections) >= self._connections_max:
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        """Forget a connection, not the request that it leaves behind."""
        self._connections.discard(connection)
        if self.stopping and not self._connections:
            self._all_closed.set()
        task = connection.task
        if task is not None and not task.done():
            self._left_behind.add(task)
            task.add_done_callback(self._left_behind.discard)

    def _running(self) -> set[asyncio.Task[None]]:
        tasks = {connection.task for connection in self._connections if connection.task is not None}
        return {task for task in tasks | self._left_behind if not task.done()}

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            now_s = loop.time()
            for connection in tuple(self._connections):
                if connection.deadline_s <= now_s:
                    connection.timed_out()
