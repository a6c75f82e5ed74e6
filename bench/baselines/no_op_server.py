"""P4's baseline: the API's own HTTP server on uvloop, with a handler that gives every request the same bytes.

It parses requests as the API does. It finds no route, asks for no credential, and queries nothing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Final

import orjson
import uvloop

from bench import sample_order
from payloops.errors import PayloopsError
from payloops.http.message import Reply, Request
from payloops.http.server import HttpServer

_NOTHING: Final = Reply(200)
_BODY: Final = orjson.dumps(sample_order.read_row())
_REPLY: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_BODY),
    _BODY,
)
_REFUSAL: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


class NoOp:
    """The responder that does nothing."""

    async def respond(self, request: Request) -> Reply:  # noqa: ARG002 - the server's interface
        return _NOTHING

    def write(self, reply: Reply, request: Request, *, close: bool) -> bytes:  # noqa: ARG002 - the server's interface
        return _REPLY

    def refuse(self, error: PayloopsError, request: Request | None) -> bytes:  # noqa: ARG002 - the server's interface
        return _REFUSAL


async def serve(port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = HttpServer(NoOp())
    await server.start("127.0.0.1", port)
    await stopping.wait()
    await server.stop()


def main(arguments: Sequence[str]) -> int:
    (port,) = arguments
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(port)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
