"""Reads that are asked for at one time go together, as appends do: a round trip for many costs what one for one does.

While queries are in flight, requests queue; the next query takes what queued. A request alone waits for nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Final

import psycopg

from payloops.db import ANSWER_TIMEOUT_S, TEXT, Database, PreparedStatement, array_literal, is_connection_failure
from payloops.errors import Overloaded
from payloops.projections.reading import Columns, unavailable

BATCH_MAX: Final = 256
IN_FLIGHT_MAX: Final = 3
QUEUE_FOR_ANOTHER: Final = 32
"""So many must wait before a further query is sent beside the one in flight. A round trip costs the driver as much as
the rows of many orders: at 32 connections one query at a time took a quarter less of the processor than two."""
QUEUE_MAX: Final = 4096
TRIES_MAX: Final = 2

_UUIDS: Final = 2951
_TYPES: Final = (_UUIDS, _UUIDS, _UUIDS)
_FORMATS: Final = (TEXT, TEXT, TEXT)

_log = logging.getLogger(__name__)

Answer = tuple[bool, Columns]
"""Whether the API key holds, and the order's columns (all None when there is no such order of that merchant)."""


class _Asked:
    __slots__ = ("answer", "api_key_id", "merchant_id", "order_id")

    def __init__(self, api_key_id: str | None, merchant_id: str, order_id: str, answer: asyncio.Future[Answer]) -> None:
        self.api_key_id = api_key_id
        self.merchant_id = merchant_id
        self.order_id = order_id
        self.answer = answer


class GroupedReads:
    """Orders by id. ``sql`` is the block ``orders_by_id``. Queries have connections of their own, which stay."""

    def __init__(self, database: Database, sql: str) -> None:
        self._database = database
        self._sql = sql
        self._queue: deque[_Asked] = deque()
        self._in_flight = 0
        self._free: list[PreparedStatement] = []
        self._running: set[asyncio.Task[None]] = set()
        """For ``close``, and so that nothing collects them. A task is here a moment longer than it is in flight."""
        self.queries = 0
        self.answers = 0

    async def get(self, api_key_id: str | None, merchant_id: str, order_id: str) -> Answer:
        """The order as it is now; ids are the text of UUIDs. Raises Overloaded (the queue is full), Unavailable."""
        if len(self._queue) >= QUEUE_MAX:
            raise Overloaded("The service is busy; send the request again in a moment.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(_Asked(api_key_id, merchant_id, order_id, answer))
        in_flight = self._in_flight
        if not in_flight or (in_flight < IN_FLIGHT_MAX and len(self._queue) >= QUEUE_FOR_ANOTHER * in_flight):
            self._in_flight += 1
            task = asyncio.create_task(self._run(), name="grouped-read")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def close(self) -> None:
        """Answer what is queued, then give the connections back."""
        while self._running:
            await asyncio.gather(*self._running)
        await self._drop_free()

    async def _run(self) -> None:
        try:
            await self._work_off()
        finally:
            self._in_flight -= 1

    async def _work_off(self) -> None:
        """Until the queue is empty: who comes after that look starts a task of its own."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            try:
                await self._answer([asked for asked in batch if not asked.answer.done()])
            except Exception as problem:  # noqa: BLE001 - each waiter is told; the queue must go on
                failure = unavailable(problem)
                if failure is problem:
                    _log.exception("a grouped read of %d orders failed", len(batch))
                for asked in batch:
                    if not asked.answer.done():
                        asked.answer.set_exception(failure)

    async def _answer(self, batch: list[_Asked]) -> None:
        for tries in range(1, TRIES_MAX + 1):
            try:
                rows = await self._fetch(batch)
            except psycopg.Error as problem:
                if tries == TRIES_MAX or not is_connection_failure(problem):
                    raise
                continue
            break
        else:
            return
        self.queries += 1
        self.answers += len(rows)
        for row in rows:
            asked = batch[row[0] - 1]
            if not asked.answer.done():
                asked.answer.set_result((row[1], row[2:]))

    async def _fetch(self, batch: list[_Asked]) -> list[Columns]:
        # Literals made of text cost a tenth of lists of UUIDs, which a driver would convert one by one.
        parameters = (
            array_literal([asked.api_key_id for asked in batch]),
            array_literal([asked.merchant_id for asked in batch]),
            array_literal([asked.order_id for asked in batch]),
        )
        statement = await self._prepared()
        try:
            return await statement.call(parameters, _FORMATS, timeout_s=ANSWER_TIMEOUT_S)
        finally:
            self._free.append(statement)
            if statement.closed:
                # Those beside it are most likely broken or silent too. To find out could take long for each of them.
                await self._drop_free()

    async def _prepared(self) -> PreparedStatement:
        while self._free:
            # The one used last: who is not needed stays idle.
            statement = self._free.pop()
            if not statement.closed:
                return statement
            self._free.append(statement)
            await self._drop_free()
        return await PreparedStatement.open(self._database, self._sql, _TYPES, timeout_s=ANSWER_TIMEOUT_S)

    async def _drop_free(self) -> None:
        while self._free:
            with suppress(psycopg.Error, OSError):
                await self._free.pop().close()
