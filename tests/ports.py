"""Ports for the servers that tests start, kept from everybody else until they are used."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

HOST: Final = "127.0.0.1"
_FIRST: Final = 20_000
_LAST: Final = 32_000
"""Below those that the kernel gives to whoever asks for any."""


class HeldPorts:
    """``count`` neighbouring ports, from ``first`` on, that nobody else gets before :meth:`close`.

    A port that is only looked up and let go may be another test's before the server has it: what answers there is then
    a stranger, who soon goes away. So a socket stays bound to each; it does not listen, and servers may bind beside it.
    """

    def __init__(self, count: int = 1) -> None:
        self._sockets = ExitStack()
        self.first = self._take(count)

    def close(self) -> None:
        """Let them go. Safe to call twice."""
        self._sockets.close()

    def _take(self, count: int) -> int:
        width = _LAST - _FIRST
        for offset in range(0, width, count):
            first = _FIRST + (os.getpid() * 97 + offset) % width
            with contextlib.suppress(OSError), ExitStack() as taken:
                for port in range(first, first + count):
                    taken.enter_context(_bound(port))
                self._sockets = taken.pop_all()
                return first
        raise AssertionError("no free ports")


@contextlib.contextmanager
def held_ports(count: int = 1) -> Iterator[int]:
    """The first of ``count`` neighbouring ports that are this block's."""
    held = HeldPorts(count)
    try:
        yield held.first
    finally:
        held.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.bind((HOST, port))
        # Only now: two that hold ports must not both get one, a server beside a holder must.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        bound.close()
        raise
    if sys.platform != "linux":
        # Elsewhere no server could bind beside it.
        bound.close()
    return bound
