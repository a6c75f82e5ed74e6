"""How the queries of this package reach the database, and what its errors mean to who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from payloops.db import ANSWER_TIMEOUT_S, Database, answer_within, is_unavailable
from payloops.errors import Unavailable

Columns = tuple[Any, ...]


async def fetch(database: Database, sql: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[Columns]:
    """The rows of one prepared query. Raises Unavailable when the database can't serve."""
    try:
        async with database.connection() as connection:
            with answer_within(connection, ANSWER_TIMEOUT_S):
                cursor = await connection.execute(sql, parameters, prepare=True)
                return await cursor.fetchall()
    except (psycopg.Error, OSError) as problem:
        raise unavailable(problem) from problem


async def change(database: Database, sql: str, parameters: Sequence[Any] | Mapping[str, Any]) -> None:
    """One prepared statement that returns nothing. Raises Unavailable when the database can't serve."""
    try:
        async with database.connection() as connection:
            with answer_within(connection, ANSWER_TIMEOUT_S):
                await connection.execute(sql, parameters, prepare=True)
    except (psycopg.Error, OSError) as problem:
        raise unavailable(problem) from problem


def unavailable(problem: Exception) -> Exception:
    """Unavailable for trouble that passes; a fault of ours stays what it is."""
    if isinstance(problem, OSError) or is_unavailable(problem):
        return Unavailable("The database can't serve at the moment.")
    return problem
