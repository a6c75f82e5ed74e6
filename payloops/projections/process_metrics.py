"""The metrics of all processes in one place, so that whichever API is asked shows the whole service's.

A payment is recorded by a relay or worker, which nobody from outside can ask. So each process writes its counts down
every few seconds. The row of a process that ended stays: a sum that dropped with it would look like a restart.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final
from uuid import UUID

import orjson
import psycopg

from payloops.db import Database, load_sql
from payloops.errors import Unavailable
from payloops.projections.reading import change, fetch, unavailable
from payloops.telemetry.metrics import Metrics
from payloops.values import new_id

SQL: Final = load_sql("payloops.projections", "process_metrics")
EVERY_S: Final = 2.0
LIVES_S: Final = 15.0
"""A process that wrote within this time is taken to live: its levels count."""
ENDED_S: Final = 3600.0
"""Rows of processes that wrote nothing for this long are put into one."""
PAST: Final = UUID(int=0)
"""The row into which they are put."""
CLOSE_S: Final = 1.0
ROWS_MAX: Final = 1000
_PROCESS: Final = new_id()
_FOLD_EVERY: Final = 300

_log = logging.getLogger(__name__)


class ProcessMetrics:
    """One process's share, written down while it is open, and the sum of all."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        part: str,
        *,
        process: UUID = _PROCESS,
        ended_s: float = ENDED_S,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._part = part
        self._process = process
        self._ended_s = ended_s
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin writing down."""
        self._task = asyncio.create_task(self._run(), name="process-metrics")

    async def close(self) -> None:
        """Write down once more and end, within CLOSE_S."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def write(self) -> None:
        """Write down now. Raises Unavailable."""
        document = orjson.dumps(self._metrics.snapshot()).decode()
        await change(self._database, SQL["write"], {"process": self._process, "part": self._part, "counts": document})

    async def fold(self) -> None:
        """Put the rows of processes that ended long ago into one. Raises Unavailable."""
        try:
            async with self._database.connection() as connection, connection.transaction():
                cursor = await connection.execute(
                    SQL["ended"], {"past": PAST, "ended_s": self._ended_s, "limit": ROWS_MAX}
                )
                rows = await cursor.fetchall()
                ended = [process for process, _ in rows if process != PAST]
                if not ended:
                    return
                sums = Metrics()
                for _, counts in rows:
                    sums.merge(counts, levels=False)
                document = orjson.dumps(sums.snapshot()).decode()
                await connection.execute(SQL["write"], {"process": PAST, "part": "ended", "counts": document})
                await connection.execute(SQL["forget"], {"processes": ended})
        except (psycopg.Error, OSError) as problem:
            raise unavailable(problem) from problem

    async def total(self) -> Metrics:
        """All processes' metrics. Raises Unavailable."""
        total = Metrics()
        total.merge(self._metrics.snapshot(), levels=True)
        asked = {"process": self._process, "past": PAST, "lives_s": LIVES_S, "limit": ROWS_MAX}
        rows = await fetch(self._database, SQL["others"], asked)
        for counts, lives in rows:
            total.merge(counts, levels=lives)
        return total

    async def _run(self) -> None:
        turn = 0
        while True:
            last = self._closing.is_set()
            try:
                await self.write()
                if turn % _FOLD_EVERY == _FOLD_EVERY - 1:
                    await self.fold()
            except Unavailable as problem:
                _log.debug("metrics were not written down: %s", problem.message)
            if last:
                return
            turn += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._closing.wait()
