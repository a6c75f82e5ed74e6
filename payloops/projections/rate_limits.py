"""Rate limits that all processes share and that outlive them: in Postgres, by its clock, one statement a request.

A sliding log: a bucket keeps the times at which it let the last requests in, never more than its limit, and lets one in
when fewer than that many lie in the window before now. So no window of that length, wherever it begins, holds more than
the limit. Counting per fixed minute would let twice as many through around each border; a token bucket, twice as many
in its first window; a weighted count of two minutes is only right on average. What the log costs, up to some hundred
times of eight bytes, is nothing at such limits. A refused request is not noted: who goes on knocking is let in as soon
as the window allows, and nobody can lock another out for longer than that.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from payloops.db import Database, load_sql
from payloops.errors import Overloaded
from payloops.projections.reading import fetch

IN_FLIGHT_MAX: Final = 2
"""Of a process's connections: a flood that is counted must leave the others to payments."""
WAITING_MAX: Final = 256

_SQL: Final = load_sql("payloops.projections", "rate_limits")


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether the request is let in; how many more may come now; whole seconds until one more may come (0: now)."""

    allowed: bool
    remaining: int
    wait_s: int


class SharedRateLimits:
    """The buckets of one database. Their rows live as long as their window; later requests clear away old ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._waiting = 0

    async def take(self, bucket: str, *, limit: int, window_s: float) -> Taken:
        """Let one request in, if fewer than ``limit`` came in the last ``window_s``.

        Raises Unavailable, Overloaded (WAITING_MAX wait to be counted).
        """
        if self._waiting >= WAITING_MAX:
            raise Overloaded("Too many requests of this kind at once; send the request again in a moment.")
        self._waiting += 1
        try:
            async with self._turns:
                ((allowed, remaining, wait_s),) = await fetch(self._database, _SQL["take"], (bucket, limit, window_s))
        finally:
            self._waiting -= 1
        return Taken(allowed, remaining, math.ceil(wait_s))
