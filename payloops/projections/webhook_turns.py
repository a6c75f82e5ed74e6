"""One new webhook endpoint of a merchant at a time, whichever process makes it: so they are counted exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

import psycopg

from payloops.db import ANSWER_TIMEOUT_S, Connection, Database, answer_within, load_sql
from payloops.projections.reading import unavailable

AT_ONCE_MAX: Final = 4
"""Merchants of one process whose turn it is: each takes a connection of its own, none of the pool."""

_SQL: Final = load_sql("payloops.projections", "webhook_views")


class EndpointTurns:
    """An advisory lock of the database, which ends with its connection: a process that dies holds up nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    @asynccontextmanager
    async def turn(self, merchant_id: UUID) -> AsyncIterator[int]:
        """How many endpoints the merchant has, while nobody else makes one. Raises Unavailable: others take long."""
        here = self._turns.setdefault(merchant_id, asyncio.Lock())
        async with here, self._at_once:
            connection = await self._connect()
            try:
                yield await self._counted(connection, merchant_id)
            finally:
                await connection.close()

    async def _connect(self) -> Connection:
        try:
            return await self._database.connect()
        except (psycopg.Error, OSError) as problem:
            raise unavailable(problem) from problem

    async def _counted(self, connection: Connection, merchant_id: UUID) -> int:
        """The lock's own timeout (55P03) is one of those that pass."""
        try:
            with answer_within(connection, ANSWER_TIMEOUT_S):
                await connection.execute(_SQL["endpoint_turn"], {"merchant": merchant_id})
                # A statement of its own: it sees what whoever had the lock before has committed.
                cursor = await connection.execute(_SQL["endpoint_count"], {"merchant": merchant_id})
                row = await cursor.fetchone()
        except (psycopg.Error, OSError) as problem:
            raise unavailable(problem) from problem
        return 0 if row is None else int(row[0])
