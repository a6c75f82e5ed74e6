"""One HTTP/1.1 connection: aiohttp's parser below, our limits, clocks and errors around it.

aiohttp's own request handler spends a task, a future and two passes of the event loop on each request, and answers
broken ones in its own words. This one starts a task per request as soon as its head is parsed, and every refusal is
rendered as all errors are. A client that goes away cancels nothing: a request that began is finished.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader

from payloops.errors import PayloopsError
from payloops.http.errors import HeadersTooLarge, MalformedRequest, PayloadTooLarge, RequestTimeout
from payloops.http.message import Reply, Request, StreamReply

HEADERS_BYTES_MAX: Final = 32 * 1024
LINE_BYTES_MAX: Final = 8190
HEADERS_MAX: Final = 100
BODY_BYTES_MAX: Final = 64 * 1024
WEBHOOK_BYTES_MAX: Final = 1024 * 1024
WEBHOOK_PREFIX: Final = "/webhooks/"

HEADERS_S: Final = 9.0
BODY_S: Final = 9.0
"""With the server's sweep of half a second, slow senders are closed within 10 s."""
KEEPALIVE_S: Final = 75.0
LINGER_S: Final = 2.0
"""How long we go on reading after a last reply: a connection that is closed on unread bytes resets, reply and all."""
WRITE_S: Final = 30.0
PIPELINE_MAX: Final = 32
CHUNK_OVERHEAD_MAX: Final = 8
"""Bytes on the wire for each byte of body: one-byte chunks take six."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = logging.getLogger(__name__)


class Responder(Protocol):
    """What answers requests. Neither method raises."""

    async def respond(self, request: Request) -> Reply:
        """The reply."""
        ...

    def write(self, reply: Reply, request: Request, *, close: bool) -> bytes:
        """The reply as it goes on the wire. ``close``: it is the connection's last."""
        ...

    def refuse(self, error: PayloopsError, request: Request | None) -> bytes:
        """The connection's last reply, to a request that can't be read."""
        ...


class Connections(Protocol):
    """The server, as its connections know it."""

    responder: Responder
    stopping: bool

    def opened(self, connection: Connection) -> bool:
        """Whether there is room for one more."""
        ...

    def closed(self, connection: Connection) -> None:
        """It is gone; a request of it may still be running."""
        ...


class Connection(BaseProtocol):
    """``deadline_s`` is when the server's sweep calls ``timed_out``, on the event loop's clock."""

    __slots__ = (
        "_answering",
        "_body",
        "_body_bytes_max",
        "_finishing",
        "_peer",
        "_peer_done",
        "_queue",
        "_received_bytes",
        "_server",
        "_streaming",
        "deadline_s",
        "task",
    )

    def __init__(self, server: Connections, loop: asyncio.AbstractEventLoop) -> None:
        parser = HttpRequestParser(
            self,
            loop,
            BODY_BYTES_MAX,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            payload_exception=_BrokenBody,
            auto_decompress=False,
            max_msg_queue_size=PIPELINE_MAX,
        )
        super().__init__(loop, parser)
        self._server = server
        self._queue: deque[tuple[RawRequestMessage, StreamReader]] = deque()
        self._answering = False
        self._finishing = False
        """The last reply is written or about to be: what still comes is dropped."""
        self._streaming: StreamReply | None = None
        """The reply that is being made while it is sent."""
        self._peer = ""
        self._peer_done = False
        """The client sends no more."""
        self._body: StreamReader | None = None
        """The body that the running request has not got yet."""
        self._body_bytes_max = 0
        self._received_bytes = 0
        """Since the last whole head, so that neither a head nor a chunked body can go on for ever."""
        self.deadline_s = math.inf
        self.task: asyncio.Task[None] | None = None

    # ----------------------------------------------------------------------------------------------- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected: it has as long for its first byte as for a whole head."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if isinstance(address, tuple) else ""
        if self._server.opened(self):
            self.deadline_s = self._loop.time() + HEADERS_S
        else:
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone. A request that waits for its body ends; one that runs goes on."""
        super().connection_lost(exc)
        self._queue.clear()
        self.deadline_s = math.inf
        self._end_body(ConnectionResetError("the client went away"))
        if self._streaming is not None and self.task is not None:
            # Nobody reads it any more, and making it has no effect but its being read.
            self.task.cancel()
        self._server.closed(self)

    def eof_received(self) -> bool:
        """The client sends no more. What it asked for already is still answered."""
        self._peer_done = True
        if self._streaming is not None and self._streaming.endless:
            return False
        self._end_body(ConnectionResetError("the client went away"))
        if self._answering and not self._finishing:
            self._finishing = True
            return True
        return False

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or of several requests at once."""
        if self._finishing or self._parser is None:
            return
        self._received_bytes += len(data)
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except Exception as problem:  # noqa: BLE001 - whatever a stranger's bytes make the parser raise, they are broken
            self._broken(problem)
            return
        if messages:
            self._take(messages)
        else:
            self._watch_size(first=self._received_bytes == len(data))
        if upgraded:
            # We speak nothing else: the request is answered as HTTP, then the connection ends.
            self._finishing = True

    def _take(self, messages: Sequence[tuple[RawRequestMessage, StreamReader]]) -> None:
        """Heads are whole: their requests are answered one after the other."""
        if self._received_bytes > HEADERS_BYTES_MAX and any(map(_head_too_large, messages)):
            self._broken(LineTooLong("", HEADERS_BYTES_MAX))
            return
        self._received_bytes = 0
        self._queue.extend(messages)
        if len(self._queue) >= PIPELINE_MAX and not self._buffer_paused:
            # The parser holds back the rest by itself, see _resume_pipeline.
            self._pause_reading_for_buffer()
        if not self._answering:
            self._next()

    def _watch_size(self, *, first: bool) -> None:
        """A part of a head or of a body came: neither may go on for ever. ``first``: of a head it is the first."""
        if self._answering:
            if self._received_bytes > self._body_bytes_max * CHUNK_OVERHEAD_MAX:
                self._end_body(_too_large(self._body_bytes_max))
        elif self._received_bytes > HEADERS_BYTES_MAX:
            self._refuse(HeadersTooLarge(f"The headers are larger than {HEADERS_BYTES_MAX} bytes."))
        elif first:
            self.deadline_s = self._loop.time() + HEADERS_S

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        """Asked for after every body, mostly in vain: reading goes on only if it was paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    # ------------------------------------------------------------------------------------------------- the server

    def timed_out(self) -> None:
        """The deadline passed: answer where that is possible, and close."""
        self.deadline_s = math.inf
        if self._end_body(RequestTimeout("The body came too slowly.")):
            return
        if self._answering or self._finishing or not self._received_bytes:
            # A reply that nobody reads, a client that lingers, or one that has nothing to ask.
            self.abort()
        else:
            self._refuse(RequestTimeout("The headers came too slowly."))

    def stop(self) -> None:
        """Close now when idle, else after the reply that is being made."""
        if self._answering:
            self._queue.clear()
        elif not self._finishing:
            self._close()

    def abort(self) -> None:
        """Close without a word."""
        if self.transport is not None:
            self.transport.abort()

    # ------------------------------------------------------------------------------------------------- a request

    def _next(self) -> None:
        message, body = self._queue.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        self._answering = True
        self._body = None if body.is_eof() else body
        self._body_bytes_max = WEBHOOK_BYTES_MAX if message.path.startswith(WEBHOOK_PREFIX) else BODY_BYTES_MAX
        self.deadline_s = math.inf
        self.task = self._loop.create_task(self._answer(message, body))

    async def _answer(self, message: RawRequestMessage, body: StreamReader) -> None:
        """Read the rest of the body, have the request answered, write the reply, and see what comes next."""
        request = Request(
            message.method, message.path, message.headers, peer=self._peer, started_at_s=self._loop.time()
        )
        try:
            if self._body is None:
                request.body = body.read_nowait(-1)
                if len(request.body) > self._body_bytes_max:
                    raise _too_large(self._body_bytes_max)
            else:
                request.body = await self._read(message, body, self._body_bytes_max)
        except PayloopsError as error:
            self._refuse(error, request)
            return
        except ConnectionError:
            self.abort()
            return
        responder = self._server.responder
        reply = await responder.respond(request)
        if isinstance(reply, StreamReply):
            reply.chunked = message.version >= HttpVersion11
            await self._stream(reply, responder.write(reply, request, close=True), wanted=request.method != "HEAD")
            return
        close = message.should_close or self._finishing or self._server.stopping
        await self._write(responder.write(reply, request, close=close), close=close)

    async def _read(self, message: RawRequestMessage, body: StreamReader, limit: int) -> bytes:
        """The whole body. Raises PayloadTooLarge, RequestTimeout, MalformedRequest, ConnectionError."""
        declared = message.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        if message.headers.get("Expect", "").lower() == "100-continue" and self.transport is not None:
            self.transport.write(_CONTINUE)
        self.deadline_s = self._loop.time() + BODY_S
        try:
            read = bytearray()
            while not body.at_eof():
                read += await body.readany()
                if len(read) > limit:
                    raise _too_large(limit)
            return bytes(read)
        finally:
            self._body = None
            self.deadline_s = math.inf

    async def _write(self, reply: bytes, *, close: bool) -> None:
        transport = self.transport
        if transport is None:
            return
        transport.write(reply)
        if self._paused:
            self.deadline_s = self._loop.time() + WRITE_S
            try:
                await self._drain_helper()
            except ConnectionError:
                return
            self.deadline_s = math.inf
        self._answering = False
        if close or self._finishing or self._server.stopping:
            self._close()
        elif self._queue:
            self._next()
            if self._buffer_paused and len(self._queue) <= PIPELINE_MAX // 2:
                self._resume_pipeline()
        else:
            self._received_bytes = 0
            self.deadline_s = self._loop.time() + KEEPALIVE_S

    async def _stream(self, reply: StreamReply, head: bytes, *, wanted: bool) -> None:
        """Write a reply while it is made, no faster than the client reads. A reader that stalls is cut by the sweep."""
        self._streaming = reply
        try:
            async with aclosing(reply.chunks) as chunks:
                await self._send(head)
                if wanted:
                    async for chunk in chunks:
                        if chunk:
                            await self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if reply.chunked else chunk)
                    await self._send(b"0\r\n\r\n" if reply.chunked else b"")
        except ConnectionError:
            return
        except Exception as problem:  # noqa: BLE001 - the head is written: all that can be told is that it broke off
            _log.warning("a reply broke off: %s", type(problem).__name__)
            self.abort()
            return
        finally:
            self._streaming = None
        self._answering = False
        self._close()

    async def _send(self, part: bytes) -> None:
        """Write a part of a reply. Raises ConnectionError when the client is gone."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the client went away")
        self.transport.write(part)
        if self._paused:
            self.deadline_s = self._loop.time() + WRITE_S
            await self._drain_helper()
            self.deadline_s = math.inf

    def _resume_pipeline(self) -> None:
        """Take up the requests that the parser held back, and reading, unless there are too many again."""
        self.data_received(b"")
        if len(self._queue) < PIPELINE_MAX:
            self._resume_reading_for_buffer()

    # ------------------------------------------------------------------------------------------------- the end

    def _broken(self, problem: Exception) -> None:
        """The parser gave up. A request that runs is answered; then the connection ends."""
        error: PayloopsError
        if isinstance(problem, LineTooLong) or "Too many headers" in str(problem):
            error = HeadersTooLarge("The request line or a header is too long, or there are too many headers.")
        else:
            error = MalformedRequest("This is not an HTTP request that we understand.")
        if self._end_body(error):
            return
        if self._answering:
            self._finishing = True
        else:
            self._refuse(error)

    def _end_body(self, problem: Exception) -> bool:
        """Tell a request that waits for its body that it won't come; False when none waits."""
        if self._body is None:
            return False
        self._body.set_exception(problem)
        return True

    def _refuse(self, error: PayloopsError, request: Request | None = None) -> None:
        if self.transport is not None:
            self.transport.write(self._server.responder.refuse(error, request))
        self._answering = False
        self._close()

    def _close(self) -> None:
        """Tell the client that nothing more comes, and read on for a moment so that it gets what was written."""
        self._finishing = True
        self._queue.clear()
        transport = self.transport
        if transport is None:
            return
        if self._peer_done or transport.is_closing() or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        if self._reading_paused or self._buffer_paused:
            self._reading_paused = self._buffer_paused = False
            self._resume_transport_reading()
        self.deadline_s = self._loop.time() + LINGER_S


class _BrokenBody(MalformedRequest):
    """What the parser raises for a body that breaks off or is not framed as it says; its own words stay here."""

    def __init__(self, _words_of_the_parser: str) -> None:
        super().__init__("The body is broken.")


def _head_too_large(parsed: tuple[RawRequestMessage, StreamReader]) -> bool:
    separators = len(": \r\n")
    return sum(len(name) + len(value) + separators for name, value in parsed[0].raw_headers) > HEADERS_BYTES_MAX


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")
