"""Postgres: the connection pool, LISTEN, and what a driver error means.

Connections are in autocommit mode: a statement is a transaction unless ``async with connection.transaction()``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import select
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

Connection: TypeAlias = psycopg.AsyncConnection[TupleRow]

CONNECT_TIMEOUT_S: Final = 3
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 10_000
UNSENT_DATA_TIMEOUT_MS: Final = 5_000
"""How long sent bytes may stay unacknowledged before the kernel gives a connection up (half-open peers)."""
ANSWER_TIMEOUT_S: Final = 8.0
"""Longer than a statement may take: when it passes, there is nobody at the other end."""
WAITING_MAX: Final = 4096
_CHECK_AFTER_IDLE_S: Final = 30.0
_RECONNECT_GIVE_UP_S: Final = 1.0
_LISTEN_HEARTBEAT_S: Final = 15.0
_LISTEN_BACKOFF_MIN_S: Final = 0.1
_LISTEN_BACKOFF_MAX_S: Final = 2.0

_log = logging.getLogger(__name__)


class _PooledConnection(psycopg.AsyncConnection[TupleRow]):
    last_used_s: float = 0.0
    """Monotonic time of its last return to the pool."""
    severed: bool = False
    """No answer came on it in time, so it was shut."""


class Database:
    """A bounded pool of autocommit connections to one database.

    It opens without waiting for the server, checks a connection before it hands it out (without a round trip while
    the connection is fresh), and goes on reconnecting about twice a second while the server is away, so that it serves
    again within a second or two of a restart.
    """

    def __init__(
        self,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        application_name: str = "payloops",
        statement_timeout_ms: int = 5_000,
        lock_timeout_ms: int = 2_000,
    ) -> None:
        self._conninfo = connection_string(
            dsn,
            application_name=application_name,
            statement_timeout_ms=statement_timeout_ms,
            lock_timeout_ms=lock_timeout_ms,
        )
        self._pool = AsyncConnectionPool(
            self._conninfo,
            connection_class=_PooledConnection,
            kwargs={"autocommit": True, "prepare_threshold": 3},
            min_size=min_size,
            max_size=max_size,
            max_waiting=WAITING_MAX,
            max_lifetime=3600,
            max_idle=300,
            reconnect_timeout=_RECONNECT_GIVE_UP_S,
            reconnect_failed=_try_again,
            check=_check,
            name=application_name,
            open=False,
        )

    def __repr__(self) -> str:
        return f"Database({self._pool.name!r})"

    async def open(self, *, wait_s: float | None = None) -> None:
        """Start the pool; with ``wait_s`` also wait until ``min_size`` connections stand.

        :raises psycopg_pool.PoolTimeout: the server could not be reached within ``wait_s``; the pool is closed again.
        """
        await self._pool.open(wait=False)
        if wait_s is not None:
            await self._pool.wait(timeout=wait_s)

    async def close(self) -> None:
        """Close all connections. Safe to call twice."""
        await self._pool.close(timeout=2.0)

    @contextlib.asynccontextmanager
    async def connection(self, timeout_s: float = 3.0) -> AsyncIterator[Connection]:
        """A connection of the pool, for the length of the block.

        :raises psycopg_pool.PoolTimeout: none was free within ``timeout_s`` (also while the server is away).
        :raises psycopg_pool.TooManyRequests: thousands are waiting already.
        """
        async with self._pool.connection(timeout=timeout_s) as connection:
            try:
                yield connection
            finally:
                connection.last_used_s = time.monotonic()
                if connection.severed:
                    # Those beside it are most likely silent too. To find out would take as long for each of them; new
                    # ones cost a few milliseconds.
                    await self._pool.drain()

    async def connect(self) -> Connection:
        """A connection of its own, outside the pool; the caller closes it.

        :raises psycopg.OperationalError: the server can't be reached.
        """
        return await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, prepare_threshold=3)

    def stats(self) -> Mapping[str, int]:
        """The pool's counters, by psycopg_pool's names (``pool_size``, ``pool_available``, ``requests_waiting`` …)."""
        return self._pool.get_stats()

    async def listen(self, *channels: str) -> AsyncGenerator[tuple[str, str], None]:
        """Notifications as ``(channel, payload)``, for ever, on a connection of its own.

        Each time LISTEN has taken effect (first of all, and after every reconnect) it yields ``("", "")``: what was
        notified before is lost, so poll then. Close the iterator (``contextlib.aclosing``) to give the connection back.
        """
        delay_s = _LISTEN_BACKOFF_MIN_S
        while True:
            try:
                async with await self.connect() as connection:
                    for channel in channels:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    yield ("", "")
                    delay_s = _LISTEN_BACKOFF_MIN_S
                    while True:
                        async for notice in connection.notifies(timeout=_LISTEN_HEARTBEAT_S):
                            yield (notice.channel, notice.payload)
                        with answer_within(connection, CONNECT_TIMEOUT_S):
                            await connection.execute("")
            except (psycopg.Error, OSError) as problem:
                if isinstance(problem, psycopg.Error) and not is_connection_failure(problem):
                    raise
                _log.warning("listening again in %.1f s: %s", delay_s, type(problem).__name__)
            await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            delay_s = min(delay_s * 2, _LISTEN_BACKOFF_MAX_S)


def connection_string(
    dsn: str,
    *,
    application_name: str,
    statement_timeout_ms: int,
    lock_timeout_ms: int,
) -> str:
    """``dsn`` with our time limits: connecting, statements, locks, idle transactions, and peers that went silent.

    Options that the DSN brings along are kept. ``jit`` is off unless they say otherwise: the planner takes some of our
    queries for worth compiling, which alone can take 100 ms.
    """
    given = conninfo_to_dict(dsn)
    limits: dict[str, int] = {
        "statement_timeout": statement_timeout_ms,
        "lock_timeout": lock_timeout_ms,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    }
    ours = " ".join(f"-c {name}={value}" for name, value in limits.items())
    # Of two words on one setting the server takes the last.
    options = ("-c jit=off", given.get("options"), ours)
    return make_conninfo(
        dsn,
        application_name=application_name,
        connect_timeout=CONNECT_TIMEOUT_S,
        keepalives=1,
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        tcp_user_timeout=UNSENT_DATA_TIMEOUT_MS,
        options=" ".join(str(part) for part in options if part),
    )


@contextlib.contextmanager
def answer_within(connection: Connection, timeout_s: float) -> Iterator[None]:
    """End ``connection`` if the block takes longer: what waits for the server in it then fails as a broken connection.

    For a peer that neither answers nor goes away (stopped, or cut off after it took the question). Cancelling the
    statement instead would wait for that same peer.
    """
    timer = asyncio.get_running_loop().call_later(timeout_s, sever, connection)
    try:
        yield
    finally:
        timer.cancel()


def sever(connection: Connection) -> None:
    """Shut the connection's socket: whoever reads it meets its end at once."""
    if isinstance(connection, _PooledConnection):
        connection.severed = True
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def is_connection_failure(problem: BaseException) -> bool:
    """Whether the connection broke or none could be had: a statement that was under way may or may not have committed.

    The classes are those of PostgreSQL's appendix A: 08 (connection), 57P01-57P03 (server going or coming), and errors
    that libpq raises without a SQLSTATE.
    """
    if isinstance(problem, PoolTimeout | PoolClosed | TooManyRequests):
        return True
    if isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError):
        state = problem.sqlstate
        return state is None or state.startswith("08") or state in {"57P01", "57P02", "57P03", "57P05", "25P03"}
    return False


def is_unavailable(problem: BaseException) -> bool:
    """Whether the database can't serve for now, so that the same request may succeed later.

    Besides :func:`is_connection_failure`: out of resources (class 53, a full disk too), a statement or lock that timed
    out (57014, 55P03), an input/output error (58030), and a server that turned read-only in a failover (25006).
    """
    if is_connection_failure(problem):
        return True
    state = problem.sqlstate if isinstance(problem, psycopg.Error) else None
    return state is not None and (state.startswith("53") or state in {"57014", "55P03", "58030", "25006"})


async def _check(connection: _PooledConnection) -> None:
    # A round trip per loan would cost as much as the hot statements themselves. A connection that a server dropped is
    # readable (an end of file or a farewell message), so asking the kernel is enough while it is fresh.
    if connection.closed:
        raise psycopg.OperationalError("the connection is closed")
    fresh = time.monotonic() - connection.last_used_s < _CHECK_AFTER_IDLE_S
    if fresh and not _readable(connection.fileno()):
        return
    with answer_within(connection, CONNECT_TIMEOUT_S):
        await connection.execute("")


def _readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


async def _try_again(pool: AsyncConnectionPool[Any]) -> None:
    # The pool forgets a connection that it could not make; asking it to check itself makes it try to grow again, so
    # that clients that already wait are served as soon as the server is back.
    await pool.check()
