"""Finishing rows in batches: what was done while the last batch was being written goes together as the next one."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import psycopg

from payloops.errors import Unavailable
from payloops.workflows_bridge.outbox_table import Done, OutboxTable, Settled

BATCH_MAX: Final = 256
RETRY_FOR_S: Final = 20.0
"""Longer than a lease: who waits longer has lost the row anyway."""
RETRY_DELAY_MIN_S: Final = 0.05
RETRY_DELAY_MAX_S: Final = 1.0

_log = logging.getLogger(__name__)


class _Waiting:
    __slots__ = ("item", "result")

    def __init__(self, item: Done, result: asyncio.Future[Settled | None]) -> None:
        self.item = item
        self.result = result


class Settler:
    """The queue of done rows of one relay, as long as its slots, and the task that writes them."""

    def __init__(self, table: OutboxTable) -> None:
        self._table = table
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start writing."""
        self._task = asyncio.create_task(self._run(), name="outbox-settler")

    async def close(self) -> None:
        """Stop. Nobody may wait any more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def settle(self, item: Done) -> Settled | None:
        """Write it with the next batch. None: somebody else has the row, and this result does not count.

        Raises Unavailable, and psycopg.Error when the database refuses just this item.
        """
        result: asyncio.Future[Settled | None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(item, result))
        self._wake.set()
        return await result

    async def _run(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            try:
                await self._write(batch)
            except Exception as problem:  # noqa: BLE001 - the loop must outlive whatever a batch does; each waiter is told
                _log.exception("a batch of %d outbox rows could not be finished", len(batch))
                _fail(batch, problem)

    async def _write(self, batch: list[_Waiting]) -> None:
        """Write the batch; where the server refuses it whole, halve it until the offending item stands alone."""
        batch = [waiting for waiting in batch if not waiting.result.done()]
        if not batch:
            return
        try:
            answers, again = await self._send([waiting.item for waiting in batch])
        except Unavailable as problem:
            _fail(batch, problem)
            return
        except psycopg.Error as problem:
            if len(batch) == 1:
                _fail(batch, problem)
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
            return
        # A row that is gone on the second try was finished by the first, whose answer was lost.
        missing = Settled(done=True, more=True) if again else None
        for waiting in batch:
            if not waiting.result.done():
                waiting.result.set_result(answers.get(waiting.item.row.seq, missing))

    async def _send(self, items: Sequence[Done]) -> tuple[dict[int, Settled], bool]:
        loop = asyncio.get_running_loop()
        give_up_at, delay_s, again = loop.time() + RETRY_FOR_S, RETRY_DELAY_MIN_S, False
        while True:
            try:
                return await self._table.settle(items), again
            except Unavailable:
                if loop.time() + delay_s > give_up_at:
                    raise
            again = True
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_DELAY_MAX_S)


def _fail(batch: Sequence[_Waiting], problem: Exception) -> None:
    for waiting in batch:
        if not waiting.result.done():
            waiting.result.set_exception(problem)
