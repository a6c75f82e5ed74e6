"""An engine for tests of the relay: it does what the test says, and notes what it was handed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Json

from payloops.db import Database
from payloops.values import new_id
from payloops.workflows_bridge.contracts import SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import Answer, Taken, Work

Effect = Callable[[str, Work], Awaitable[None]]


class NotingEngine:
    """Every effect is noted when it begins and when it has ended; ``effect`` is what it does between."""

    def __init__(self, effect: Effect | None = None) -> None:
        self._effect = effect
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.running: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.untaken: list[str] = []
        self.answer: Answer = Taken()

    async def start(self, start: StartWorkflow, work: Work) -> Taken:
        await self._note(start.input["name"], work)
        return Taken()

    async def signal(self, signal: SignalWorkflow, work: Work) -> Answer:
        await self._note(signal.payload["name"], work)
        return self.answer

    async def wake(self, version: int, work: Work) -> Taken:
        await self._note(f"wake-{version}", work)
        return Taken()

    async def nobody(self, signal: SignalWorkflow, _work: Work) -> None:
        self.untaken.append(signal.payload["name"])

    async def _note(self, name: str, work: Work) -> None:
        self.begun.append(name)
        for counted in (work.key, "all"):
            self.running[counted] += 1
            self.most_at_once[counted] = max(self.most_at_once[counted], self.running[counted])
        try:
            if self._effect is not None:
                await self._effect(name, work)
        finally:
            self.running[work.key] -= 1
            self.running["all"] -= 1
        self.ended.append(name)


def start_row(name: str, *, key: str | None = None, lane: str = "") -> dict[str, Any]:
    """A row of kind start; ``name`` is what the engine notes."""
    key = key or f"w-{name}"
    payload = StartWorkflow("Test", key, "queue", {"name": name}, "merchant").to_json()
    return _row(key, lane, "start", payload)


def signal_row(name: str, *, key: str, lane: str = "") -> dict[str, Any]:
    """A row of kind signal."""
    payload = SignalWorkflow(key, "tell", {"name": name}, "merchant", "order", 1).to_json()
    return _row(key, lane, "signal", payload)


def wake_row(version: int, *, key: str, due_at: str) -> dict[str, Any]:
    """A row of kind wake, due at a time that Postgres understands."""
    return {**_row(key, "", "wake", {"version": version}), "due_at": due_at}


def _row(key: str, lane: str, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(new_id()),
        "key": key,
        "lane": lane,
        "kind": kind,
        "payload": payload,
        "correlation_id": f"c-{key}",
        "traceparent": None,
    }


async def write(database: Database, rows: Iterable[dict[str, Any]], *, announce: bool = True) -> list[UUID]:
    """Rows as an append writes them: one transaction, then one notice."""
    document = [{"c": 0, **row} for row in rows]
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SELECT apply_outbox(%s::json, '{}')", (Json(document, dumps=orjson.dumps),))
        if announce:
            await connection.execute("SELECT pg_notify('payloops', '0 outbox')")
    return [UUID(row["id"]) for row in document]


async def left(database: Database) -> int:
    """Rows that are neither done nor parked."""
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM outbox WHERE parked_at IS NULL")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 60.0) -> None:
    """Wait until it holds; there is no event for it."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.005)
