"""Somebody else's transaction that stands in the way of appends."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg


class Blocker:
    """A transaction of somebody else's that holds the log's head."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def hold(self) -> None:
        await self._connection.execute("BEGIN")
        await self._connection.execute("SELECT position FROM log_head FOR UPDATE")

    async def release(self) -> None:
        await self._connection.execute("ROLLBACK")

    async def blocked(self) -> list[int]:
        """Backends that wait for this transaction, once there is one."""
        async with asyncio.timeout(60.0):
            while True:
                cursor = await self._connection.execute(
                    "SELECT DISTINCT pid FROM pg_locks"
                    " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
                )
                if rows := await cursor.fetchall():
                    return [pid for (pid,) in rows]
                await asyncio.sleep(0.01)
