"""A database that neither answers nor goes away: one statement pays for finding out, the next ones don't."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from payloops.db import Database
from payloops.errors import Unavailable
from payloops.projections import reading
from payloops.projections.reading import fetch
from tests.gauntlet.network import bad_network

CONNECTIONS = 4
ANSWER_TIMEOUT_S = 2.0
NOTICED_WITHIN_S = 20.0


def socket_dir(dsn: str) -> Path:
    host = str(conninfo_to_dict(dsn).get("host") or "")
    if not host.startswith("/"):
        pytest.skip("the tests' server has no socket to stand before")
    return Path(host)


async def test_silent_connections_are_found_out_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ANSWER_TIMEOUT_S", ANSWER_TIMEOUT_S)
    async with bad_network(socket_dir(database_url)) as network:
        database = Database(network.dsn(database_url), min_size=CONNECTIONS, max_size=CONNECTIONS)
        await database.open(wait_s=10.0)
        try:
            # Each of them was used: a connection that nobody had yet is asked before it is lent.
            async with contextlib.AsyncExitStack() as all_of_them:
                for _ in range(CONNECTIONS):
                    connection = await all_of_them.enter_async_context(database.connection())
                    await connection.execute("SELECT 1")
            network.silence()
            began_s = time.monotonic()
            with pytest.raises(Unavailable):
                await fetch(database, "SELECT 1", ())
            assert time.monotonic() - began_s < NOTICED_WITHIN_S
            began_s = time.monotonic()
            for _ in range(CONNECTIONS):
                assert await fetch(database, "SELECT 1", ()) == [(1,)]
            assert time.monotonic() - began_s < ANSWER_TIMEOUT_S * CONNECTIONS
        finally:
            await database.close()


async def test_other_errors_leave_the_pool_as_it_is(database: Database) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await fetch(database, "SELECT 1 / 0", ())
    before = database.stats()["connections_num"]
    assert await fetch(database, "SELECT 1", ()) == [(1,)]
    assert database.stats()["connections_num"] == before
