"""A bad network between the service and Postgres: connections can be cut, reset, made slow, or go silent for good."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from payloops.embedded_postgres.places import PORT

HOST: Final = "127.0.0.1"
_CHUNK: Final = 1 << 16
_CLOSE_WITH_RESET: Final = struct.pack("ii", 1, 0)


class BadNetwork:
    """Passes bytes between TCP clients and the server's socket, as long as it likes."""

    def __init__(self, server_socket: Path) -> None:
        self._server_socket = server_socket
        self._links: set[_Link] = set()
        self.port = 0
        self.delay_s = 0.0
        """How long each piece of data is under way."""

    def dsn(self, behind: str) -> str:
        """The data source name that leads through here to the one of ``behind``."""
        given = conninfo_to_dict(behind)
        return f"postgresql://{given['user']}@{HOST}:{self.port}/{given['dbname']}"

    def cut(self, *, reset: bool) -> None:
        """End every connection, with a reset or in an orderly way."""
        for link in tuple(self._links):
            link.cut(reset=reset)

    def silence(self) -> None:
        """From now on nothing passes on the connections that there are; new ones work. A half-open peer."""
        for link in self._links:
            link.silent = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, writer)
        self._links.add(link)
        try:
            with contextlib.suppress(OSError):
                await link.run(reader, self._server_socket)
        except asyncio.CancelledError:
            pass  # the network ends this connection; asyncio would log the cancellation of its task
        finally:
            self._links.discard(link)
            _end(writer)

    async def close(self) -> None:
        """End every connection and wait until all are gone."""
        self.cut(reset=False)
        await asyncio.gather(*(link.task for link in self._links if link.task is not None), return_exceptions=True)


class _Link:
    def __init__(self, network: BadNetwork, writer: asyncio.StreamWriter) -> None:
        self._network = network
        self._writer = writer
        self.task = asyncio.current_task()
        self.silent = False

    async def run(self, reader: asyncio.StreamReader, server_socket: Path) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(server_socket)
        ways = [
            asyncio.create_task(self._pass(reader, server_writer)),
            asyncio.create_task(self._pass(server_reader, self._writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _end(server_writer)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._network.delay_s:
                await asyncio.sleep(self._network.delay_s)
            if not self.silent:
                writer.write(data)
                await writer.drain()

    def cut(self, *, reset: bool) -> None:
        if reset:
            peer: socket.socket = self._writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
        if self.task is not None:
            self.task.cancel()


def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    writer.close()


@contextlib.asynccontextmanager
async def bad_network(socket_dir: Path) -> AsyncIterator[BadNetwork]:
    """A network in front of the server with that socket directory."""
    network = BadNetwork(socket_dir / f".s.PGSQL.{PORT}")
    server = await asyncio.start_server(network.serve, HOST, 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
        await network.close()
        await server.wait_closed()
