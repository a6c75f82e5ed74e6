"""When each API key was last used: kept in memory, written every few seconds in one statement.

A time is that of the writing, so it is late by FLUSH_EVERY_S at most: noting a use costs no look at the clock.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final
from uuid import UUID

from payloops.db import Database
from payloops.errors import PayloopsError
from payloops.projections.reading import change
from payloops.projections.views import compose
from payloops.values import Clock

FLUSH_EVERY_S: Final = 5.0
KEYS_MAX: Final = 10_000
"""Keys remembered between two writes; uses of further ones in that time are not recorded."""

_log = logging.getLogger(__name__)


class KeyUses:
    """The uses of this process since the last write. ``open`` starts writing, ``close`` writes what is left."""

    def __init__(self, database: Database, clock: Clock, *, flush_every_s: float = FLUSH_EVERY_S) -> None:
        self._database = database
        self._clock = clock
        self._flush_every_s = flush_every_s
        self._used: set[UUID] = set()
        self._task: asyncio.Task[None] | None = None

    def used(self, key_id: UUID) -> None:
        """Remember it."""
        if len(self._used) < KEYS_MAX:
            self._used.add(key_id)

    async def open(self) -> None:
        """Start writing every few seconds."""
        self._task = asyncio.create_task(self._flush_for_ever(), name="key-uses")

    async def close(self) -> None:
        """Write what is left, then stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write now. A database that can't serve loses nothing but the news of a few seconds."""
        used, self._used = self._used, set()
        if not used:
            return
        parameters = {"keys": list(used), "at": self._clock.now()}
        try:
            await change(self._database, compose("use_keys"), parameters)
        except PayloopsError as problem:
            _log.warning("the last uses of %d API keys were not written: %s", len(used), problem.message)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_every_s)
            await self.flush()
