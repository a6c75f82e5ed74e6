"""One statement on a connection of its own: its rows, its errors, and every way in which a connection can end."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import tempfile
import threading
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import uvloop
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from payloops.db import (
    BINARY,
    TEXT,
    Database,
    PreparedStatement,
    array_literal,
    binary_array,
    is_connection_failure,
)
from tests.databases import TestDatabase, TestServer

TEXT_OID, TEXTS, BYTEAS, UUIDS, INTEGER = 25, 1009, 1001, 2951, 23
ANSWER_S = 60.0
ECHO = "SELECT n, repeat('x', n), NULL::text, n % 2 = 0 FROM unnest($1::integer[]) n"
INTEGERS = 1007


async def opened(database: Database, statement: str, *types: int) -> PreparedStatement:
    return await PreparedStatement.open(database, statement, types, timeout_s=ANSWER_S)


async def echoed(statement: PreparedStatement, *numbers: int) -> list[tuple[object, ...]]:
    return await statement.call([array_literal(numbers)], [TEXT], timeout_s=ANSWER_S)


@pytest.fixture
async def echo(database: Database) -> AsyncIterator[PreparedStatement]:
    statement = await opened(database, ECHO, INTEGERS)
    yield statement
    await statement.close()


def backends(server: TestServer, database: TestDatabase, action: str = "pid") -> int:
    """How many of our connections stand, or were ended."""
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        query = f"SELECT {action} FROM pg_stat_activity WHERE datname = %s AND query LIKE 'SELECT n, repeat%%'"
        return len(admin.execute(query.encode(), (database.name,)).fetchall())


async def test_rows_are_python_values(echo: PreparedStatement) -> None:
    assert await echoed(echo, 2, 3) == [(2, "xx", None, True), (3, "xxx", None, False)]
    assert await echoed(echo) == []


async def test_it_is_called_again_and_again_on_one_connection(
    echo: PreparedStatement, postgres_server: TestServer, test_database: TestDatabase
) -> None:
    for number in range(50):
        assert await echoed(echo, number) == [(number, "x" * number, None, number % 2 == 0)]
    assert backends(postgres_server, test_database) == 1


async def test_requests_and_answers_larger_than_any_buffer(database: Database) -> None:
    statement = await opened(database, "SELECT part FROM unnest($1::bytea[]) part", BYTEAS)
    parts = [bytes([number]) * 3_000_000 for number in range(6)]
    try:
        rows = await statement.call([binary_array(17, parts)], [BINARY], timeout_s=ANSWER_S)
        assert [row[0] for row in rows] == parts
    finally:
        await statement.close()


async def test_arrays_arrive_as_they_were_given(database: Database) -> None:
    statement = await opened(
        database, "SELECT $1::text[], $2::bytea[], $3::uuid[], $4::uuid[]", TEXTS, BYTEAS, UUIDS, UUIDS
    )
    texts, octets, ids = ["", '{a,"b"}', "ü\\"], [b"", b"\0\xff"], [uuid4(), uuid4()]
    given = [
        binary_array(TEXT_OID, [text.encode() for text in texts]),
        binary_array(17, octets),
        array_literal([ids[0], None, ids[1]]),
        binary_array(2950, []),
    ]
    try:
        rows = await statement.call(given, [BINARY, BINARY, TEXT, BINARY], timeout_s=ANSWER_S)
        assert rows == [(texts, octets, [ids[0], None, ids[1]], [])]
    finally:
        await statement.close()


async def test_an_error_names_its_state_and_leaves_the_connection_usable(database: Database) -> None:
    statement = await opened(database, "SELECT 1 / $1::integer", INTEGER)
    try:
        for _ in range(3):
            with pytest.raises(psycopg.errors.DivisionByZero) as caught:
                await statement.call([b"0"], [TEXT], timeout_s=ANSWER_S)
            assert caught.value.sqlstate == "22012"
            assert await statement.call([b"1"], [TEXT], timeout_s=ANSWER_S) == [(1,)]
        assert not statement.closed
    finally:
        await statement.close()


async def test_a_statement_that_can_not_be_prepared_leaves_no_connection(
    database: Database, postgres_server: TestServer, test_database: TestDatabase
) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await opened(database, "SELECT n, repeat('x', n) FROM nowhere, unnest($1::integer[]) n", INTEGERS)
    assert backends(postgres_server, test_database) == 0


async def test_without_a_server_it_can_not_be_opened(test_database: TestDatabase) -> None:
    database = Database(test_database.app_dsn.replace("port=5432", "port=1"))
    with pytest.raises(psycopg.OperationalError) as caught:
        await opened(database, ECHO, INTEGERS)
    assert is_connection_failure(caught.value)


async def test_a_connection_that_ends_meanwhile_is_known_to_be_closed(
    echo: PreparedStatement, postgres_server: TestServer, test_database: TestDatabase
) -> None:
    await echoed(echo, 1)
    assert backends(postgres_server, test_database, "pg_terminate_backend(pid, 5000)") == 1
    async with asyncio.timeout(ANSWER_S):
        while not echo.closed:
            await asyncio.sleep(0)
    with pytest.raises(psycopg.OperationalError) as caught:
        await echoed(echo, 1)
    assert is_connection_failure(caught.value)


async def test_a_connection_that_ends_under_a_call_fails_it(
    database: Database, postgres_server: TestServer, test_database: TestDatabase
) -> None:
    statement = await opened(database, "SELECT pg_terminate_backend(pg_backend_pid()), $1::integer", INTEGER)
    with pytest.raises(psycopg.OperationalError) as caught:
        await statement.call([b"1"], [TEXT], timeout_s=ANSWER_S)
    assert is_connection_failure(caught.value)
    assert statement.closed
    await statement.close()
    await statement.close()


async def test_no_answer_in_time_breaks_it(database: Database) -> None:
    statement = await opened(database, "SELECT pg_sleep($1::integer)", INTEGER)
    with pytest.raises(psycopg.OperationalError) as caught:
        await statement.call([b"4"], [TEXT], timeout_s=0.05)
    assert is_connection_failure(caught.value)
    assert statement.closed
    await statement.close()


async def test_who_severs_it_ends_the_call(database: Database) -> None:
    statement = await opened(database, "SELECT pg_sleep($1::integer)", INTEGER)
    call = asyncio.ensure_future(statement.call([b"4"], [TEXT], timeout_s=ANSWER_S))
    await asyncio.sleep(0)
    statement.sever()
    with pytest.raises(psycopg.OperationalError):
        await call
    await statement.close()


async def test_who_is_cancelled_leaves_no_answer_to_the_next_call(database: Database) -> None:
    statement = await opened(database, "SELECT pg_sleep($1::integer)", INTEGER)
    call = asyncio.ensure_future(statement.call([b"4"], [TEXT], timeout_s=ANSWER_S))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert statement.closed
    with pytest.raises(psycopg.OperationalError):
        await statement.call([b"0"], [TEXT], timeout_s=ANSWER_S)
    await statement.close()


class LastWords(threading.Thread):
    """Between us and the server: when told so it leaves a request unread, says one more thing, and is gone.

    The kernel then reports an error on our socket (ECONNRESET) together with those words.
    """

    NOTICE = b"N" + struct.pack("!i", 25) + b"SNOTICE\0C00000\0Mbye\0\0"

    def __init__(self, upstream: str, directory: str) -> None:
        super().__init__(daemon=True)
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/.s.PGSQL.5432")
        self._listener.listen()
        self.dying = threading.Event()

    def run(self) -> None:
        ours, _ = self._listener.accept()
        self._listener.close()
        with ours, socket.socket(socket.AF_UNIX) as theirs:
            theirs.connect(self._upstream)
            while True:
                readable, _, _ = select.select([ours, theirs], [], [])
                if ours in readable and self.dying.is_set():
                    ours.sendall(self.NOTICE)
                    return
                for one, other in ((ours, theirs), (theirs, ours)):
                    if one in readable:
                        other.sendall(one.recv(1 << 16))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_socket_that_breaks_after_its_last_words_is_noticed(test_database: TestDatabase, run: Any) -> None:
    """uvloop, which the service runs on, calls the reader of such a socket once and then no more."""

    async def scene(hop: LastWords, dsn: str) -> None:
        statement = await opened(Database(dsn), ECHO, INTEGERS)
        assert await echoed(statement, 1) == [(1, "x", None, False)]
        hop.dying.set()
        async with asyncio.timeout(ANSWER_S / 2):
            with pytest.raises(psycopg.OperationalError) as caught:
                await echoed(statement, 1)
        assert is_connection_failure(caught.value)
        assert statement.closed
        await statement.close()

    given = conninfo_to_dict(test_database.app_dsn)
    with tempfile.TemporaryDirectory(prefix="payloops-") as directory:
        hop = LastWords(f"{given['host']}/.s.PGSQL.{given.get('port', 5432)}", directory)
        hop.start()
        run(scene(hop, make_conninfo(test_database.app_dsn, host=directory, port=5432)))
        hop.join(ANSWER_S)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_server_that_is_silent_for_good_ends_the_call_in_time(test_database: TestDatabase, run: Any) -> None:
    async def scene() -> None:
        statement = await opened(Database(test_database.app_dsn), "SELECT pg_sleep($1::integer)", INTEGER)
        async with asyncio.timeout(ANSWER_S / 2):
            # Even if nothing of the socket is heard any more.
            statement._loop.remove_reader(statement._descriptor)
            with pytest.raises(psycopg.OperationalError) as caught:
                await statement.call([b"4"], [TEXT], timeout_s=0.05)
        assert is_connection_failure(caught.value)
        await statement.close()

    run(scene())


async def test_what_the_server_tells_by_the_way_is_no_answer(database: Database) -> None:
    noisy = """
        SELECT set_config('client_min_messages', 'debug1', false), set_config('TimeZone', $1, false)
    """
    statement = await opened(database, noisy, TEXT_OID)
    try:
        for zone in ("Asia/Kolkata", "UTC", "Asia/Kathmandu"):
            # Each change of the time zone is reported beside the answer.
            assert await statement.call([zone.encode()], [TEXT], timeout_s=ANSWER_S) == [("debug1", zone)]
    finally:
        await statement.close()
