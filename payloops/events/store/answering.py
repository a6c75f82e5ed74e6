"""How long we wait for the server's answer to a statement."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from payloops.db import Connection


@contextmanager
def answer_within(connection: Connection, timeout_s: float) -> Iterator[None]:
    """Shut the connection when the block takes longer, so that the statement in it fails as on any broken connection.

    Cancelling the statement instead would wait for the server to agree, which a half-open peer never does. The server's
    own statement timeout is shorter: when this one passes, there is no server at the other end.
    """
    handle = asyncio.get_running_loop().call_later(timeout_s, sever, connection)
    try:
        yield
    finally:
        handle.cancel()


def sever(connection: Connection) -> None:
    """Shut the connection's socket: whoever reads it meets its end at once."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
