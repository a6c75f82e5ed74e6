"""One statement, prepared once on a connection of its own and called again and again: what the hot paths use.

A cursor of psycopg watches the socket anew for each statement, and converts each parameter by its type. Here the socket
is watched as long as the connection stands, and parameters come as they go over the wire: half the time of the event
loop for each call (docs/adr/0002). Connecting, TLS, errors and the reading of rows are psycopg's.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from payloops.db.database import Connection, Database, sever

TEXT: Final = int(Format.TEXT)
BINARY: Final = int(Format.BINARY)
"""Forms of a parameter."""

_NAME: Final = b"the_statement"
_ANSWERS: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})
_EMPTY_ARRAY = struct.Struct("!iiI")
_ARRAY_HEAD = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")


class PreparedStatement:
    """A statement and its connection. One call at a time; whoever opened it closes it, also after it broke."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._descriptor = connection.fileno()
        self._rows = Transformer(connection)
        self._answer: asyncio.Future[PGresult] | None = None
        """Of the call that is under way."""
        self._result: PGresult | None = None
        self._watched = True
        self._loop.add_reader(self._descriptor, self._readable)

    @classmethod
    async def open(cls, database: Database, statement: str, types: Sequence[int], *, timeout_s: float) -> Self:
        """Connect and prepare it; ``types`` are the OIDs of its parameters $1, $2 and so on.

        :raises psycopg.Error: the server can't be reached, or refuses the statement.
        """
        made = cls(await database.connect())
        try:
            await made._ask(lambda: made._pgconn.send_prepare(_NAME, statement.encode(), types), timeout_s)
        except BaseException:
            await made.close()
            raise
        return made

    @property
    def closed(self) -> bool:
        """Whether it can't be called any more. A server that went away is noticed between calls too."""
        return not self._watched or self._connection.closed

    async def call(
        self, parameters: Sequence[bytes | None], formats: Sequence[int], *, timeout_s: float
    ) -> list[tuple[Any, ...]]:
        """Its rows. Who is cancelled while he waits has broken the connection.

        :raises psycopg.Error: as a cursor's ``execute``; an OperationalError without SQLSTATE when the connection broke
            or no answer came within ``timeout_s``: then it may have been committed.
        """
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        result = await self._ask(lambda: self._pgconn.send_query_prepared(_NAME, parameters, formats), timeout_s)
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)

    def sever(self) -> None:
        """Break the connection: a call that is under way fails at once."""
        sever(self._connection)
        self._break(psycopg.OperationalError("the connection was severed"))

    async def close(self) -> None:
        """Give the connection back. Safe to call twice."""
        self._unwatch()
        await self._connection.close()

    async def _ask(self, send: Callable[[], None], timeout_s: float) -> PGresult:
        self._answer = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self.sever)
        try:
            send()
            self._flush()
            result = await self._answer
        except (psycopg.Error, asyncio.CancelledError):
            # It may be closed already, and then its descriptor is the next one's to open a file; or the answer will
            # come yet, and would be taken for that of the next call.
            self._unwatch()
            raise
        finally:
            timer.cancel()
            self._answer = None
        if result.status not in _ANSWERS:
            raise error_from_result(result, self._connection.info.encoding)
        return result

    def _flush(self) -> None:
        if self._pgconn.flush():
            self._loop.add_writer(self._descriptor, self._writable)

    def _writable(self) -> None:
        try:
            # Who only writes may wait for a server that waits until somebody reads.
            self._pgconn.consume_input()
            if not self._pgconn.flush():
                self._loop.remove_writer(self._descriptor)
        except psycopg.Error as problem:
            self._break(problem)

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    break
                self._result = result
            else:
                self._loop.call_soon(self._watch_again)
                return
        except psycopg.Error as problem:
            self._break(problem)
            return
        if self._pgconn.status == ConnStatus.BAD:
            self._break(psycopg.OperationalError("the connection is lost"))
            return
        result, self._result = self._result, None
        if result is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(result)
            return
        # The server has only told something by the way.
        self._loop.call_soon(self._watch_again)

    def _watch_again(self) -> None:
        """After what was no answer, which may have been the last that is heard of the server.

        When a socket reports an error, uvloop calls the reader one last time and watches no more; libpq has then read
        what came before the error, and not yet met it.
        """
        if self._watched:
            self._loop.remove_reader(self._descriptor)
            self._loop.add_reader(self._descriptor, self._readable)

    def _break(self, problem: psycopg.Error) -> None:
        self._unwatch()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(problem)

    def _unwatch(self) -> None:
        """Before the descriptor is another file's."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)


def array_literal(elements: Iterable[object]) -> bytes:
    """An array in PostgreSQL's text form, of elements that need no quotes there: numbers, UUIDs; None is NULL."""
    return ("{" + ",".join(["NULL" if element is None else str(element) for element in elements]) + "}").encode()


def binary_array(element_type: int, elements: Sequence[bytes]) -> bytes:
    """An array of one dimension in PostgreSQL's binary form (``array_send``), of elements that are in it already."""
    if not elements:
        return _EMPTY_ARRAY.pack(0, 0, element_type)
    parts = [_ARRAY_HEAD.pack(1, 0, element_type, len(elements), 1)]
    length = _LENGTH.pack
    for element in elements:
        parts.append(length(len(element)))
        parts.append(element)
    return b"".join(parts)
