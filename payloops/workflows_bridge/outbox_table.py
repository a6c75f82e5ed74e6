"""The outbox as a table: claiming with a lease, finishing under its fence, parking. The only SQL of the relay.

A claim need not survive a crash of the database, so its connection does not wait for the disk; the token that fences it
is random, so that a claim which was lost that way can't be mistaken for a later one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import orjson
import psycopg
from psycopg.types.json import Json

from payloops.db import Connection, Database, answer_within, load_sql
from payloops.projections.reading import change, fetch, unavailable
from payloops.workflows_bridge.engines.base import Advance, Run
from payloops.workflows_bridge.lanes import FullLanes

SQL: Final = load_sql("payloops.workflows_bridge", "outbox")
LANES_SQL: Final = load_sql("payloops.workflows_bridge", "outbox_lanes")
CLAIM_TIMEOUT_S: Final = 5.0
COUNT_MAX: Final = 10_000
AROUND_WINDOW: Final = 256
"""While some lanes are full: so many of the rows that are due first are looked at, whatever their lane;"""
AROUND_LANES: Final = 64
"""and so many lanes after the last ones, of rows and of timers,"""
AROUND_LANES_WIDE: Final = 1024
AROUND_WIDE_EVERY_S: Final = 0.25
"""or, that often, so many: 10 ms, where 64 lanes take 3;"""
AROUND_LANE_WINDOW: Final = 8
"""each with so many of its rows."""
ERROR_CHARS_MAX: Final = 500
_WAKES: Final = UUID("6f0c0d1e-6d0a-5f0e-9a44-3b1a5c2d7e90")
"""Name space of wake ids."""


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row in hand. ``now_s`` is the database's time when it was claimed, ``claimed_s`` ours (monotonic)."""

    seq: int
    token: int
    id: UUID
    key: str
    lane: str
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    correlation_id: str
    traceparent: str | None
    claims: int
    """How often it was claimed, this time included."""
    attempts: int
    """How often it failed."""
    age_s: float
    """Since it was written."""
    now_s: float
    claimed_s: float
    run: Run | None
    """The embedded engine's workflow of that key."""


@dataclass(frozen=True, slots=True)
class Done:
    """A row is done; ``advance`` is what its workflow came to, in the embedded engine."""

    row: ClaimedRow
    advance: Advance | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """``done`` is false when the workflow had moved on; ``more`` tells that its key has more rows that are due."""

    done: bool
    more: bool


@dataclass(frozen=True, slots=True)
class PutBack:
    """A row is not done. ``failed`` counts towards parking."""

    row: ClaimedRow
    delay_s: float
    failed: bool = False
    error: str | None = None
    park: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """``due`` and ``parked`` stop counting at COUNT_MAX. ``overdue_s`` is how long the first row has waited."""

    due: int
    overdue_s: float
    parked: int


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A row that a person must look at."""

    id: UUID
    key: str
    kind: str
    merchant_id: str | None
    order_id: str | None
    correlation_id: str
    attempts: int
    last_error: str | None
    created_at: datetime
    parked_at: datetime


class OutboxTable:
    """All methods raise Unavailable when the database can't serve."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims: Connection | None = None
        self._after = ("", "")
        """How far the walk from lane to lane has come, of rows and of timers."""
        self._wide_at_s = 0.0

    async def close(self) -> None:
        """Give the claims' connection back."""
        connection, self._claims = self._claims, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    async def claim(self, limit: int, *, lease_s: float) -> list[ClaimedRow]:
        """Up to ``limit`` rows, each of another key, now this caller's for ``lease_s``."""
        token = secrets.randbits(63)
        rows, sent_s = await self._claim(SQL["claim"], {"limit": limit, "lease_s": lease_s, "token": token})
        return [_claimed(row, token, sent_s) for row in rows]

    async def claim_around(self, full: FullLanes, limit: int, *, lease_s: float) -> tuple[list[ClaimedRow], bool]:
        """As ``claim``, but of no lane that is full; and whether the next call may find more.

        A call looks at a part of the lanes, the next one at those after them.
        """
        token = secrets.randbits(63)
        parameters = {
            "limit": limit,
            "lease_s": lease_s,
            "token": token,
            "full_lanes": list(full.lanes),
            "full_groups": list(full.groups),
            "after_work": self._after[0],
            "after_wakes": self._after[1],
            "window": AROUND_WINDOW,
            "lanes": self._lanes_to_walk(),
            "lane_window": AROUND_LANE_WINDOW,
        }
        rows, sent_s = await self._claim(LANES_SQL["claim_around"], parameters)
        after_work, after_wakes = rows[0][:2]
        self._after = (after_work or "", after_wakes or "")
        claimed = [_claimed(row[2:], token, sent_s) for row in rows if row[2] is not None]
        # Lanes that have only timers are many, and hardly any is due: their walk goes on with the next claim there is.
        return claimed, after_work is not None or len(claimed) == limit

    def _lanes_to_walk(self) -> int:
        """Far at times, so that a due timer behind thousands of lanes is found in seconds, whatever else is claimed."""
        now_s = time.monotonic()
        if now_s < self._wide_at_s:
            return AROUND_LANES
        self._wide_at_s = now_s + AROUND_WIDE_EVERY_S
        return AROUND_LANES_WIDE

    async def _claim(self, sql: str, parameters: Mapping[str, Any]) -> tuple[list[tuple[Any, ...]], float]:
        """The rows of a claim, and when it was asked for. Raises Unavailable."""
        sent_s = time.monotonic()
        try:
            connection = await self._claims_connection()
            with answer_within(connection, CLAIM_TIMEOUT_S):
                cursor = await connection.execute(sql, parameters, prepare=True)
                return await cursor.fetchall(), sent_s
        except BaseException as problem:
            # What a cancelled or broken claim has taken comes back when its lease ends.
            await self.close()
            if isinstance(problem, psycopg.Error | OSError):
                raise unavailable(problem) from problem
            raise

    async def extend(self, rows: Sequence[ClaimedRow], *, lease_s: float) -> set[int]:
        """Heartbeat. The ``seq`` of those that are still the caller's."""
        parameters = {"lease_s": lease_s, "seqs": [row.seq for row in rows], "tokens": [row.token for row in rows]}
        return {seq for (seq,) in await fetch(self._database, SQL["extend"], parameters)}

    async def settle(self, items: Sequence[Done]) -> dict[int, Settled]:
        """Finish rows, by ``seq``. Those that are missing from the answer were lost to somebody else."""
        parameters = {"items": _document([_settlement(item) for item in items])}
        rows = await fetch(self._database, SQL["settle"], parameters)
        return {seq: Settled(done, more) for seq, done, more in rows}

    async def put_back(self, items: Sequence[PutBack]) -> set[int]:
        """Leave rows for later, or park them. The ``seq`` of those that were still the caller's."""
        parameters = {"items": _document([_return(item) for item in items])}
        return {seq for (seq,) in await fetch(self._database, SQL["put_back"], parameters)}

    async def backlog(self) -> Backlog:
        """What waits."""
        ((due, overdue_s, parked),) = await fetch(self._database, SQL["backlog"], {"limit": COUNT_MAX})
        return Backlog(due, overdue_s, parked)

    async def list_parked(self, limit: int = 100) -> list[ParkedRow]:
        """The parked rows, newest first."""
        return [ParkedRow(*row) for row in await fetch(self._database, SQL["list_parked"], {"limit": limit})]

    async def unpark(self, row_id: UUID) -> bool:
        """Make a parked row due again. False when there is none."""
        return bool(await fetch(self._database, SQL["unpark"], {"id": row_id}))

    async def prune_runs(self, *, keep_s: float, limit: int) -> None:
        """Forget workflows that finished longer ago than ``keep_s``."""
        await change(self._database, SQL["prune_runs"], {"keep_s": keep_s, "limit": limit})

    async def _claims_connection(self) -> Connection:
        if self._claims is None or self._claims.closed:
            self._claims = await self._database.connect()
            with answer_within(self._claims, CLAIM_TIMEOUT_S):
                await self._claims.execute("SET synchronous_commit = off")
                # The table is empty at one moment and has a long backlog at the next, so what the planner believes of
                # it is mostly wrong: always by the indexes that give the order, never by sorting all that is due.
                await self._claims.execute("SET enable_seqscan = off")
                await self._claims.execute("SET enable_bitmapscan = off")
        return self._claims


def _claimed(row: Sequence[Any], token: int, claimed_s: float) -> ClaimedRow:
    seq, row_id, key, lane, kind, payload, correlation_id, traceparent, claims, attempts, age_s, now_s, *run = row
    workflow_type, state, version, status = run
    return ClaimedRow(
        seq=seq,
        token=token,
        id=row_id,
        key=key,
        lane=lane,
        kind=kind,
        payload=payload,
        correlation_id=correlation_id,
        traceparent=traceparent,
        claims=claims,
        attempts=attempts,
        age_s=age_s,
        now_s=now_s,
        claimed_s=claimed_s,
        run=None if workflow_type is None else Run(workflow_type, state, version, finished=status == "finished"),
    )


def _settlement(item: Done) -> dict[str, Any]:
    document: dict[str, Any] = {"seq": item.row.seq, "token": item.row.token, "key": item.row.key}
    advance = item.advance
    if advance is not None:
        version = advance.expected_version + 1
        document |= {
            "type": advance.type,
            "state": advance.state,
            "expected": advance.expected_version,
            "status": "finished" if advance.finished else "running",
            "version": version,
            "wake_at": advance.wake_at_s,
            "wake_id": uuid5(_WAKES, f"{item.row.key}-{version}"),
        }
    return document


def _return(item: PutBack) -> dict[str, Any]:
    return {
        "seq": item.row.seq,
        "token": item.row.token,
        "delay_s": item.delay_s,
        "failed": item.failed,
        "error": None if item.error is None else item.error[:ERROR_CHARS_MAX],
        "park": item.park,
    }


def _document(items: Sequence[Mapping[str, Any]]) -> Json:
    return Json(items, dumps=orjson.dumps)
