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

from payloops.db import Database, answer_within, is_connection_failure, is_unavailable, load_sql
from payloops.errors import Unavailable
from payloops.events.base import Event
from payloops.events.codec import EventMapper
from payloops.events.store.append import Append, Appended, StoredResponse
from payloops.events.store.group_commit import DEFAULT_LIMITS, GroupCommit, Limits
from payloops.events.store.watch import CHANNEL, Watch

SQL: Final = load_sql("payloops.events.store", "store")
PAGE_MAX: Final = 1000
FINISH_TRIES_MAX: Final = 3
FOLLOW_AGAIN_S: Final = 1.0
LOOK_BACK_MAX: Final = 10_000
"""Events that are searched for watched streams; when more came at once, everybody who waits looks for himself."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event at its place in the log."""

    position: int
    recorded_at: datetime
    event: Event


class EventStore:
    """The log. One instance a process; ``open`` before use, ``close`` commits what is queued."""

    def __init__(self, database: Database, *, queue_max: int = 4096, limits: Limits = DEFAULT_LIMITS) -> None:
        self._database = database
        self._limits = limits
        self._mapper = EventMapper()
        self.watch = Watch()
        self.commits = GroupCommit(database, queue_max=queue_max, committed=self._after_commit, limits=limits)
        self._listener: asyncio.Task[None] | None = None
        self._seen: int | None = None

    async def open(self, *, listen: bool = True) -> None:
        """Start committing; with ``listen`` also follow what other processes append."""
        await self.commits.open()
        if listen:
            self._listener = asyncio.create_task(self._follow(), name="log-listener")

    async def close(self) -> None:
        """Commit what is queued, for a bounded time, then stop."""
        await self.commits.close()
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    def to_stored(self, event: Event) -> StoredEvent:
        """The event as it will stand in the log."""
        return self._mapper.to_stored_event(event)

    def from_stored(self, stored: StoredEvent) -> Event:
        """The event that stands in the log. Raises UnreadableEvent."""
        return self._mapper.to_event(stored)

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
        """Whether the API key still holds, what the idempotency key was answered, and if that is still in flight."""
        parameters = {"key": api_key_id, "idem": idempotency_id}
        ((holds, request_hash, status, body, sealed, in_flight),) = await self._fetch("prove_request", parameters)
        stored = None if request_hash is None else StoredResponse(request_hash, status, body, sealed)
        return bool(holds), stored, bool(in_flight)

    async def finish_idempotency(self, idempotency_id: UUID, *, status: int, body: str, sealed: bool) -> bool:
        """Put the first request's last word in place of its first answer.

        False when its time was over: then its first answer stands. Raises Unavailable.
        """
        parameters = {"id": idempotency_id, "status": status, "body": body, "sealed": sealed}
        for _ in range(FINISH_TRIES_MAX - 1):
            try:
                return bool(await self._execute("finish_idempotency", parameters))
            except (psycopg.Error, OSError) as error:
                if not is_connection_failure(error) or isinstance(error, PoolTimeout):
                    break
                _log.warning("the connection broke at the end of a request; saying it again: %s", type(error).__name__)
        return bool(await self._fetch("finish_idempotency", parameters))

    async def forget_idempotency_keys(self, *, older_than_s: float, limit: int) -> int:
        """Delete at most ``limit`` keys that were used longer ago than that, and say how many. Raises Unavailable."""
        ((count,),) = await self._fetch("forget_idempotency_keys", (older_than_s, limit))
        return int(count)

    async def _fetch(self, block: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """A statement's rows. Raises Unavailable."""
        try:
            return await self._execute(block, parameters)
        except OSError as error:
            raise _unavailable() from error
        except psycopg.Error as error:
            if is_unavailable(error):
                raise _unavailable() from error
            raise

    async def _execute(self, block: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            with answer_within(connection, self._limits.answer_timeout_s):
                cursor = await connection.execute(SQL[block], parameters, prepare=True)
                return await cursor.fetchall()

    def _logged(self, rows: Sequence[tuple[Any, ...]]) -> list[LoggedEvent]:
        return [
            LoggedEvent(position, recorded_at, self._mapper.to_event(StoredEvent(stream, version, topic, bytes(state))))
            for position, stream, version, topic, state, recorded_at in rows
        ]

    def _after_commit(self, appends: Sequence[Append]) -> None:
        for append in appends:
            for event in append.events:
                self.watch.grew(
                    UUID(str(event.originator_id)) if isinstance(event.originator_id, str) else event.originator_id
                )

    async def _follow(self) -> None:
        """Turn other processes' notices into wake-ups of the streams that somebody here waits for."""
        while True:
            try:
                async with aclosing(self._database.listen(CHANNEL)) as notices:
                    async for _, payload in notices:
                        await self._noticed(payload)
            except Exception:  # noqa: BLE001 - whoever waits must not wait for a task that died
                _log.exception("following the log failed; beginning again in %.0f s", FOLLOW_AGAIN_S)
            self._seen = None
            self.watch.wake_all()
            await asyncio.sleep(FOLLOW_AGAIN_S)

    async def _noticed(self, payload: str) -> None:
        """Wake who waits for what was appended since the last notice; an empty payload says that some were missed."""
        position = _head_in(payload)
        since, self._seen = self._seen, position
        self.watch.log_grew()
        watched = self.watch.watched
        if not watched:
            return
        if since is None or position is None or not 0 < position - since <= LOOK_BACK_MAX:
            self.watch.wake_all()
            return
        try:
            rows = await self._fetch("grown_streams", (since, position, watched))
        except (Unavailable, psycopg.Error):
            self.watch.wake_all()
            return
        for (stream_id,) in rows:
            self.watch.grew(stream_id)


def _head_in(payload: str) -> int | None:
    head = payload.partition(" ")[0]
    return int(head) if head.isascii() and head.isdigit() else None


def _unavailable() -> Unavailable:
    return Unavailable("The database can't serve at the moment.")
