"""Group commit: what queued while the last commit was in flight goes together as the next one.

One batch is in flight at a time, on a connection of its own. A batch whose answer was lost is sent again as it was:
append_batch recognizes events that it wrote before, so the outcome is found and never guessed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psycopg

from payloops.db import Connection, Database, is_connection_failure, is_unavailable
from payloops.errors import OutcomeUnknown, Overloaded, Unavailable
from payloops.events.store.append import CALL, Append, Appended, Outcome, outcomes, parameters

BATCH_MAX: Final = 256
ANSWER_TIMEOUT_S: Final = 8.0
"""Longer than the server's statement timeout: when it passes, the connection is dead and nothing else."""
RETRY_FOR_S: Final = 10.0
RETRY_DELAY_MIN_S: Final = 0.02
RETRY_DELAY_MAX_S: Final = 1.0

_log = logging.getLogger(__name__)

Committed = Callable[[Sequence[Append]], None]


class _Waiting:
    """A command in the queue."""

    __slots__ = ("append", "result", "sent")

    def __init__(self, append: Append, result: asyncio.Future[Appended]) -> None:
        self.append = append
        self.result = result
        self.sent = False


class GroupCommit:
    """The queue of appends of this process and the task that commits them.

    ``committed`` is called with the appends of each batch that took effect.
    """

    def __init__(self, database: Database, *, queue_max: int, committed: Committed) -> None:
        self._database = database
        self._queue_max = queue_max
        self._committed = committed
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._closing = False
        self.batches = 0
        self.commands = 0

    async def open(self) -> None:
        """Start committing."""
        self._task = asyncio.create_task(self._run(), name="group-commit")

    async def close(self) -> None:
        """Commit what is queued, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._drop_connection()

    @property
    def waiting(self) -> int:
        """How many commands are queued."""
        return len(self._queue)

    async def append(self, append: Append) -> Appended:
        """Queue it and wait until its batch is committed.

        Raises Overloaded (the queue is full: nothing happened), Unavailable (the database can't serve: nothing
        happened), OutcomeUnknown (it may have been committed), psycopg.Error (the database refused just this command).
        """
        if self._closing or len(self._queue) >= self._queue_max:
            raise Overloaded("The service is busy; send the request again in a moment.")
        result: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(append, result))
        self._wake.set()
        return await result

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._next_batch()
            try:
                await self._commit(batch)
            except Exception as error:  # the loop must outlive whatever a batch does; each waiter is told
                _log.exception("a batch of %d commands failed", len(batch))
                _fail(batch, error)

    def _next_batch(self) -> list[_Waiting]:
        """The longest run of queued commands, at most BATCH_MAX, in which no two touch the same thing."""
        batch: list[_Waiting] = []
        taken: set[object] = set()
        while self._queue and len(batch) < BATCH_MAX:
            append = self._queue[0].append
            touches = append.touches()
            if not taken.isdisjoint(touches):
                break
            taken.update(touches)
            waiting = self._queue.popleft()
            if not waiting.result.cancelled():
                batch.append(waiting)
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit the batch; where the server refuses it whole, halve it until the offending command stands alone."""
        if not batch:
            return
        try:
            results = await self._send([waiting.append for waiting in batch], batch)
        except psycopg.Error as error:
            if is_unavailable(error):
                _log.warning("the database can't take appends: %s %s", error.sqlstate, type(error).__name__)
                _fail(batch, Unavailable("The database can't serve at the moment; nothing was done."))
            elif len(batch) == 1:
                _fail(batch, error)
            else:
                middle = len(batch) // 2
                await self._commit(batch[:middle])
                await self._commit(batch[middle:])
            return
        except Unavailable as error:
            _fail(batch, error)
            return
        self.batches += 1
        self.commands += len(batch)
        done = [w.append for w, r in zip(batch, results, strict=True) if r.outcome is Outcome.APPENDED]
        if done:
            self._committed(done)
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.result.done():
                waiting.result.set_result(result)

    async def _send(self, appends: list[Append], batch: list[_Waiting]) -> list[Appended]:
        """Send until there is an answer, RETRY_FOR_S at most. Raises Unavailable, OutcomeUnknown, psycopg.Error."""
        values = parameters(appends)
        give_up_at = time.monotonic() + RETRY_FOR_S
        delay_s = RETRY_DELAY_MIN_S
        while True:
            try:
                connection = await self._connect()
                for waiting in batch:
                    waiting.sent = True
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    cursor = await connection.execute(CALL, values, prepare=True)
                    rows = await cursor.fetchall()
                return outcomes(appends, rows)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if isinstance(error, psycopg.Error) and not is_connection_failure(error):
                    raise
                await self._drop_connection()
                if time.monotonic() + delay_s > give_up_at:
                    raise _given_up(batch) from error
                _log.warning("the connection broke during an append; sending it again: %s", type(error).__name__)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_DELAY_MAX_S)

    async def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await self._database.connect()
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()


def _given_up(batch: Sequence[_Waiting]) -> Unavailable:
    if any(waiting.sent for waiting in batch):
        return OutcomeUnknown(
            "The connection to the database broke; send the request again with the same Idempotency-Key to learn the outcome."
        )
    return Unavailable("The database can't be reached; nothing was done.")


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.result.done():
            waiting.result.set_exception(error)
