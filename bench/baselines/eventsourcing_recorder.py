"""P1's baseline: the ``eventsourcing`` library's own recorder, which locks the table for each insert, with 16 threads.

It is given ready-made stored events: it neither decides nor encodes, and writes no read table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from bench import closed_loop, worker
from bench.samples import Window
from payloops.values import new_id

TOPIC = "order.created"


@asynccontextmanager
async def open_recorder(config: dict[str, Any]) -> AsyncIterator[worker.Measure]:
    threads: int = config["threads"]
    state = b"x" * config["state_bytes"]
    datastore = PostgresDatastore(
        dbname=config["database"],
        host=config["host"],
        port=config["port"],
        user=config["user"],
        password="",
        pool_size=threads,
    )
    recorder = PostgresApplicationRecorder(datastore)
    recorder.create_table()

    def insert() -> None:
        stream: UUID = new_id()
        recorder.insert_events([StoredEvent(stream, 1, TOPIC, state)])

    async def measure(window: Window) -> Mapping[str, Any]:
        sample = await asyncio.to_thread(closed_loop.run_threads, insert, threads, window)
        return sample.to_json()

    try:
        yield measure
    finally:
        datastore.close()


if __name__ == "__main__":
    worker.serve(open_recorder)
