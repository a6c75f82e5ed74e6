"""The pool and LISTEN against a real server, restarts included."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from payloops import embedded_postgres
from payloops.db import Connection, Database, answer_within, is_connection_failure, is_unavailable
from tests.parts import open_directory

PATIENCE_S = 60


async def scalar(connection: Connection, query: str) -> Any:
    row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row[0]


async def test_connections_are_limited_and_named(database: Database) -> None:
    async with database.connection() as connection:
        assert connection.autocommit
        assert await scalar(connection, "SHOW application_name") == "payloops-test"
        assert await scalar(connection, "SHOW statement_timeout") == "5s"
        assert await scalar(connection, "SHOW lock_timeout") == "2s"
        assert await scalar(connection, "SHOW idle_in_transaction_session_timeout") == "10s"
    assert database.stats()["pool_max"] == 8
    assert repr(database) == "Database('payloops-test')"


async def test_queries_are_not_compiled_on_a_server_that_would_unless_the_url_says_so(
    database_url: str, owner_database_url: str
) -> None:
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("ALTER DATABASE {} SET jit = on").format(sql.Identifier(owner.info.dbname)))
    with psycopg.connect(database_url) as plain:
        assert plain.execute("SHOW jit").fetchone() == ("on",)
    for given, expected in (("", "off"), ("-c work_mem=5MB", "off"), ("-c jit=on -c work_mem=5MB", "on")):
        database = Database(make_conninfo(database_url, options=given), max_size=1)
        await database.open(wait_s=PATIENCE_S)
        try:
            async with database.connection() as pooled, await database.connect() as own:
                for connection in (pooled, own):
                    assert await scalar(connection, "SHOW jit") == expected, given
                    assert await scalar(connection, "SHOW statement_timeout") == "5s"
                    if given:
                        assert await scalar(connection, "SHOW work_mem") == "5MB"
        finally:
            await database.close()


async def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    database = Database(database_url, statement_timeout_ms=50)
    await database.open()
    try:
        with pytest.raises(psycopg.errors.QueryCanceled) as caught:
            async with database.connection() as connection:
                await connection.execute("SELECT pg_sleep(10)")
        assert is_unavailable(caught.value)
        async with database.connection() as connection:
            assert await scalar(connection, "SELECT 1") == 1
    finally:
        await database.close()


async def test_an_exhausted_pool_says_so_in_time(database_url: str) -> None:
    database = Database(database_url, max_size=1)
    await database.open(wait_s=PATIENCE_S)
    try:
        async with database.connection():
            with pytest.raises(PoolTimeout) as caught:
                async with database.connection(timeout_s=0.05):
                    pass
        assert is_connection_failure(caught.value)
    finally:
        await database.close()
        await database.close()


async def test_an_absent_server_is_noticed_on_opening(tmp_path: Path) -> None:
    database = Database(f"postgresql://x@/x?host={tmp_path}")
    with pytest.raises(PoolTimeout):
        await database.open(wait_s=0.1)
    await database.close()


async def test_a_connection_that_the_server_ended_is_never_handed_out(database_url: str) -> None:
    database = Database(database_url, max_size=1)
    await database.open(wait_s=PATIENCE_S)
    try:
        async with database.connection() as connection:
            pid = await scalar(connection, "SELECT pg_backend_pid()")
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        async with database.connection(timeout_s=PATIENCE_S) as connection:
            assert await scalar(connection, "SELECT pg_backend_pid()") != pid
    finally:
        await database.close()


@pytest.fixture
def own_server() -> Iterator[Path]:
    with open_directory() as made:
        yield made


async def test_the_pool_serves_again_after_a_killed_server_came_back(own_server: Path) -> None:
    server = embedded_postgres.start(own_server)
    database = Database(server.app_dsn, min_size=2, max_size=4)
    try:
        await database.open(wait_s=PATIENCE_S)
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.to_thread(server.server.wait, PATIENCE_S)
        with pytest.raises((psycopg.Error, PoolTimeout)) as caught:
            async with database.connection(timeout_s=0.3) as connection:
                await connection.execute("SELECT 1")
        assert is_connection_failure(caught.value)

        async def wait_for_service() -> int:
            async with database.connection(timeout_s=PATIENCE_S) as connection:
                return int(await scalar(connection, "SELECT 1"))

        # Waiting since before the server is back: nobody asks again on its behalf.
        waiting = asyncio.create_task(wait_for_service())
        server.stop()
        server = await asyncio.to_thread(embedded_postgres.start, own_server)
        assert await waiting == 1
    finally:
        await database.close()
        server.stop()


async def next_of(notices: AsyncIterator[tuple[str, str]]) -> tuple[str, str]:
    return await asyncio.wait_for(anext(notices), PATIENCE_S)


async def test_listening_yields_notices_and_says_when_it_began(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with aclosing(database.listen("one", "Two words")) as notices:
        assert await next_of(notices) == ("", "")
        async with database.connection() as connection:
            await connection.execute(
                "SELECT pg_notify('one', 'a'), pg_notify('Two words', 'b'), pg_notify('three', 'c')"
            )
        assert [await next_of(notices), await next_of(notices)] == [("one", "a"), ("Two words", "b")]
        async with database.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        assert await next_of(notices) == ("", "")
        async with database.connection() as connection:
            await connection.execute("SELECT pg_notify('one', 'again')")
        assert await next_of(notices) == ("one", "again")
    assert "listening again" in caplog.text


async def test_a_quiet_listener_looks_after_its_connection(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payloops.db.database._LISTEN_HEARTBEAT_S", 0.02)
    async with aclosing(database.listen("one")) as notices:
        assert await next_of(notices) == ("", "")
        waiting = asyncio.ensure_future(anext(notices))
        await asyncio.wait({waiting}, timeout=0.2)
        async with database.connection() as connection:
            await connection.execute("SELECT pg_notify('one', 'late')")
        assert await asyncio.wait_for(waiting, PATIENCE_S) == ("one", "late")


async def test_a_stopped_server_is_given_up_on(own_server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that neither answers nor goes away must not hold a caller longer than the check's own limit."""
    monkeypatch.setattr("payloops.db.database.CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr("payloops.db.database._CHECK_AFTER_IDLE_S", 0.0)
    server = embedded_postgres.start(own_server)
    database = Database(server.app_dsn, max_size=1)
    await database.open(wait_s=PATIENCE_S)
    async with database.connection() as connection:
        backend = await scalar(connection, "SELECT pg_backend_pid()")
    try:
        os.kill(backend, signal.SIGSTOP)
        async with database.connection(timeout_s=PATIENCE_S) as connection:
            replacement = await scalar(connection, "SELECT pg_backend_pid()")
            assert replacement != backend
            os.kill(backend, signal.SIGKILL)
            os.kill(replacement, signal.SIGSTOP)
            with pytest.raises(psycopg.OperationalError) as caught, answer_within(connection, 0.1):
                await connection.execute("SELECT 1")
            assert is_connection_failure(caught.value)
            os.kill(replacement, signal.SIGKILL)
    finally:
        await database.close()
        server.stop()
