"""Load streams, append to them, read the log in its one order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg_pool import PoolTimeout

from payloops.db import Database, is_unavailable, load_sql
from payloops.errors import Unavailable
from payloops.events.base import Event
from payloops.events.codec import EventMapper
from payloops.events.store.append import Append, Appended, Outcome, StoredResponse
from payloops.events.store.group_commit import GroupCommit
from payloops.events.store.watch import CHANNEL, Watch

SQL: Final = load_sql("payloops.events.store", "store")
PAGE_MAX: Final = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event at its place in the log."""

    position: int
    recorded_at: datetime
    event: Event


class EventStore:
    """The log. One instance a process; ``open`` before use, ``close`` commits what is queued."""

    def __init__(self, database: Database, *, queue_max: int = 4096) -> None:
        self._database = database
        self._mapper = EventMapper()
        self.watch = Watch()
        self.commits = GroupCommit(database, queue_max=queue_max, committed=self._after_commit)
        self._listener: asyncio.Task[None] | None = None
        self._seen = 0

    async def open(self, *, listen: bool = True) -> None:
        """Start committing; with ``listen`` also follow what other processes append."""
        await self.commits.open()
        if listen:
            self._listener = asyncio.create_task(self._follow(), name="log-listener")

    async def close(self) -> None:
        """Commit what is queued, then stop."""
        await self.commits.close()
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    def to_stored(self, event: Event) -> StoredEvent:
        """The event as it will stand in the log."""
        return self._mapper.to_stored_event(event)

    async def load(self, stream_id: UUID, *, after_version: int = 0) -> list[Event]:
        """A stream's events in order, in one query. Raises Unavailable, UnreadableEvent."""
        rows = await self._fetch("load_stream", (stream_id, after_version))
        to_event = self._mapper.to_event
        return [to_event(StoredEvent(stream_id, version, topic, state)) for version, topic, state in rows]

    async def append(self, append: Append) -> Appended:
        """Write it with the next batch. Raises as GroupCommit.append."""
        return await self.commits.append(append)

    async def read_stream(self, stream_id: UUID, *, after_version: int = 0, limit: int = 100) -> list[LoggedEvent]:
        """A stream with places and times, for an audit trail."""
        return self._logged(await self._fetch("read_stream", (stream_id, after_version, min(limit, PAGE_MAX))))

    async def read_log(self, after: int, *, limit: int = PAGE_MAX) -> list[LoggedEvent]:
        """The log after a position. Positions have no gaps, so who has seen N has seen all before it."""
        return self._logged(await self._fetch("read_log", (after, min(limit, PAGE_MAX))))

    async def walk_log(self, after: int = 0) -> AsyncIterator[LoggedEvent]:
        """The whole log after a position, page by page."""
        while page := await self.read_log(after):
            for logged in page:
                yield logged
            after = page[-1].position

    async def head(self) -> int:
        """The position of the last event."""
        ((position,),) = await self._fetch("head", ())
        return int(position)

    async def prove_request(
        self, api_key_id: UUID | None, idempotency_id: UUID | None
    ) -> tuple[bool, StoredResponse | None, bool]:
        """Whether the API key still holds, what the idempotency key was answered, and whether that is still in flight."""
        parameters = {"key": api_key_id, "idem": idempotency_id}
        ((holds, request_hash, status, body, sealed, in_flight),) = await self._fetch("prove_request", parameters)
        stored = None if request_hash is None else StoredResponse(request_hash, status, body, sealed)
        return bool(holds), stored, bool(in_flight)

    async def finish_idempotency(self, idempotency_id: UUID, *, status: int, body: str) -> None:
        """Put the first request's last word in place of its first answer."""
        parameters = {"id": idempotency_id, "status": status, "body": body}
        try:
            async with self._database.connection() as connection:
                await connection.execute(SQL["finish_idempotency"], parameters)
        except (psycopg.Error, OSError) as error:
            raise _unavailable(error) from error

    async def _fetch(self, block: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        try:
            async with self._database.connection() as connection:
                cursor = await connection.execute(SQL[block], parameters, prepare=True)
                return await cursor.fetchall()
        except (psycopg.Error, PoolTimeout, OSError) as error:
            raise _unavailable(error) from error

    def _logged(self, rows: Sequence[tuple[Any, ...]]) -> list[LoggedEvent]:
        return [
            LoggedEvent(position, recorded_at, self._mapper.to_event(StoredEvent(stream, version, topic, bytes(state))))
            for position, stream, version, topic, state, recorded_at in rows
        ]

    def _after_commit(self, appends: Sequence[Append]) -> None:
        for append in appends:
            for event in append.events:
                self.watch.grew(UUID(str(event.originator_id)) if isinstance(event.originator_id, str) else event.originator_id)

    async def _follow(self) -> None:
        """Turn other processes' notices into wake-ups of the streams that somebody here waits for."""
        async with aclosing(self._database.listen(CHANNEL)) as notices:
            async for _, payload in notices:
                watched = self.watch.watched
                if not payload:
                    self.watch.wake_all()
                    continue
                position = int(payload.split(" ", 1)[0])
                if watched and position > self._seen:
                    try:
                        rows = await self._fetch("grown_streams", (self._seen, position, watched))
                    except Unavailable:
                        self.watch.wake_all()
                        continue
                    for (stream_id,) in rows:
                        self.watch.grew(stream_id)
                self._seen = max(self._seen, position)


def _unavailable(error: Exception) -> Exception:
    """What a driver's error means to a caller; a fault of ours stays what it is."""
    if isinstance(error, OSError | TimeoutError) or is_unavailable(error):
        return Unavailable("The database can't serve at the moment.")
    return error
