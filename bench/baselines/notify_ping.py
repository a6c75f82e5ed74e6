"""P6's baseline: a row committed with a NOTIFY in one statement, and a process that does nothing but LISTEN.

``role`` is ``writer`` (at a steady pace) or ``listener`` (answers with what it heard when since it was last asked).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

import psycopg

from bench import pacing, worker
from bench.samples import Window
from payloops.db import Database
from payloops.values import new_id

CHANNEL: Final = "bench_ping"
CONNECTIONS: Final = 8
_CREATE: Final = "CREATE TABLE bench_pings (id text PRIMARY KEY)"
_PING: Final = "WITH row AS (INSERT INTO bench_pings VALUES (%(id)s)) SELECT pg_notify('bench_ping', %(id)s)"


@asynccontextmanager
async def open_ping(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    database = Database(
        config["dsn"], min_size=CONNECTIONS, max_size=CONNECTIONS, application_name="payloops-bench-ping"
    )
    opened = _writer(database, config) if config["role"] == "writer" else _listener(database)
    try:
        async with opened as measure:
            yield measure
    finally:
        await database.close()


@asynccontextmanager
async def _writer(database: Database, config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    with psycopg.connect(config["owner_dsn"], autocommit=True) as connection:
        connection.execute(_CREATE)
    await database.open(wait_s=5.0)

    async def ping() -> str:
        name = str(new_id())
        async with database.connection() as connection:
            await connection.execute(_PING, {"id": name}, prepare=True)
        return name

    async def measure(window: Window) -> Mapping[str, Any]:
        marks, begin_s = await pacing.run(ping, config["per_s"], window)
        return {"marks": marks, "begin_s": begin_s}

    yield measure


@asynccontextmanager
async def _listener(database: Database) -> AsyncIterator[worker.Measure]:
    heard: pacing.Marks = {}
    listening = asyncio.Event()

    async def listen() -> None:
        async with aclosing(database.listen(CHANNEL)) as notices:
            async for _, payload in notices:
                if payload:
                    heard[payload] = time.monotonic()
                listening.set()

    async def measure(_: Window) -> Mapping[str, Any]:
        marks = dict(heard)
        heard.clear()
        return {"marks": marks}

    task = asyncio.create_task(listen())
    await listening.wait()
    try:
        yield measure
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    worker.serve(open_ping)
