"""Stores opened as a process of its own has them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from payloops.db import Database
from payloops.events.store import EventStore
from payloops.events.store.group_commit import Limits

QUICK = Limits(answer_timeout_s=1.0, retry_for_s=5.0, retry_delay_max_s=0.1, close_for_s=3.0)
"""Gives a silent connection up after a second, so that tests of silence are short."""


@contextlib.asynccontextmanager
async def opened(
    dsn: str, *, queue_max: int = 4096, limits: Limits = QUICK, listen: bool = False, lock_timeout_ms: int = 2_000
) -> AsyncIterator[EventStore]:
    """A store with its own pool, queue and listener."""
    database = Database(
        dsn, min_size=0, max_size=4, application_name="payloops-test-store", lock_timeout_ms=lock_timeout_ms
    )
    await database.open()
    store = EventStore(database, queue_max=queue_max, limits=limits)
    await store.open(listen=listen)
    try:
        yield store
    finally:
        await store.close()
        await database.close()
