"""Group commit: what queued while the last commit was in flight goes together as the next one.

One batch is in flight at a time, on a connection of its own. A batch whose answer was lost is sent again as it was:
append_batch recognizes events that it wrote before, so the outcome is found and never guessed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import psycopg

from payloops.db import Database, PreparedStatement, is_connection_failure, is_unavailable
from payloops.errors import OutcomeUnknown, Overloaded, Unavailable
from payloops.events.store.append import (
    CALL,
    FORMATS,
    TYPES,
    Append,
    Appended,
    Outcome,
    StoredResponse,
    outcomes,
    parameters,
)
from payloops.telemetry.metrics import METRICS

_log = logging.getLogger(__name__)

Committed = Callable[[Sequence[Append]], None]

_ROLLED_BACK: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock timeout: nothing happened, and the next try may well succeed."""
_WRONG_SESSION: Final = frozenset({"25006", "26000", "0A000"})
"""A server that turned read-only, a prepared statement that is gone or whose function was replaced: nothing happened,
and a new connection helps."""


_SPLIT_MIN: Final = 8
"""Fewer commands than this are cheaper sent together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batch and of each wait."""

    batch_max: int = 256
    answer_timeout_s: float = 8.0
    """Longer than the server's statement timeout: when it passes, the connection is dead and nothing else."""
    retry_for_s: float = 10.0
    """How long a command may wait for a database that is away, counted from its arrival in the queue."""
    retry_delay_min_s: float = 0.02
    retry_delay_max_s: float = 1.0
    close_for_s: float = 5.0
    """How long the queue is still worked off after ``close``."""


DEFAULT_LIMITS: Final = Limits()


class AppendRefused(Exception):
    """The database refused just this command, which is a fault of ours: the SQLSTATE and constraint, never a value."""


class _Fault(Enum):
    """What a failed try says of the batch."""

    BROKEN = auto()  # the connection broke: it may have been committed
    ROLLED_BACK = auto()  # nothing happened; try again
    UNABLE = auto()  # nothing happened; the server can't do it for now
    REFUSED = auto()  # nothing happened; at least one command is bad


class _Waiting:
    """A command in the queue. ``unsure``: a try of it got no answer, so it may have been committed."""

    __slots__ = ("append", "expires_at", "result", "unsure")

    def __init__(self, append: Append, result: asyncio.Future[Appended], expires_at: float) -> None:
        self.append = append
        self.result = result
        self.expires_at = expires_at
        self.unsure = False

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)

    def give_up(self) -> None:
        """Say what is known: that nothing happened, or that nobody knows."""
        if self.unsure:
            self.fail(
                OutcomeUnknown(
                    "The connection to the database broke; send the request again with the same Idempotency-Key to"
                    " learn the outcome."
                )
            )
        else:
            self.fail(Unavailable("The database can't serve at the moment; nothing was done."))


class GroupCommit:
    """The queue of appends of this process and the task that commits them.

    ``committed`` is called with the appends of each batch that took effect.
    """

    def __init__(
        self, database: Database, *, queue_max: int, committed: Committed, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._database = database
        self._queue_max = queue_max
        self._limits = limits
        self._committed = committed
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._statement: PreparedStatement | None = None
        self._close_at: float | None = None
        self.batches = 0
        self.commands = 0

    async def open(self) -> None:
        """Start committing."""
        self._task = asyncio.create_task(self._run(), name="group-commit")

    async def close(self) -> None:
        """Commit what is queued, for Limits.close_for_s at most, then stop. Safe to call twice."""
        if self._close_at is None:
            self._close_at = time.monotonic() + self._limits.close_for_s
        self._wake.set()
        if self._task is not None:
            _, running = await asyncio.wait([self._task], timeout=self._limits.close_for_s)
            if running and self._statement is not None:
                self._statement.sever()
            await self._task
        await self._drop_connection()

    @property
    def waiting(self) -> int:
        """How many commands are queued."""
        return len(self._queue)

    async def append(self, append: Append) -> Appended:
        """Queue it and wait until its batch is committed.

        Cancelling the wait withdraws a command that is still queued; one that is in flight may take effect.

        Raises Overloaded (the queue is full, or closed: nothing happened), Unavailable (the database can't serve:
        nothing happened), OutcomeUnknown (it may have been committed), AppendRefused (a fault of ours in just this
        command).
        """
        if self._close_at is not None or len(self._queue) >= self._queue_max:
            raise Overloaded("The service is busy; send the request again in a moment.")
        if self._task is None or self._task.done():
            raise RuntimeError("the group commit is not open")
        result: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(append, result, time.monotonic() + self._limits.retry_for_s))
        self._wake.set()
        return await result

    async def _run(self) -> None:
        batch: list[_Waiting] = []
        idle = True
        try:
            while True:
                batch = self._next_batch(self._first_size() if idle else self._limits.batch_max)
                idle = not batch
                if batch:
                    await self._commit_or_tell(batch)
                elif self._close_at is not None:
                    return
                else:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            # Only a cancelled task comes here with work left. Nobody may wait for it for ever.
            for waiting in (*batch, *self._queue):
                waiting.give_up()
            self._queue.clear()

    def _first_size(self) -> int:
        """How much of the queue goes first after a pause.

        Clients that were answered together come back together: taking half of them makes two groups, one of which is
        prepared here while the other is with the database.
        """
        waiting = len(self._queue)
        return waiting if waiting < _SPLIT_MIN else min(waiting // 2, self._limits.batch_max)

    def _next_batch(self, size_max: int) -> list[_Waiting]:
        """The longest run of queued commands, at most ``size_max``, in which no two touch the same thing.

        Left out are those whose waiters are gone and those that waited too long: they were never sent.
        """
        batch: list[_Waiting] = []
        taken: set[object] = set()
        now_s = time.monotonic()
        while self._queue and len(batch) < size_max:
            waiting = self._queue[0]
            if waiting.result.done():
                self._queue.popleft()
                continue
            if self._expires_at(waiting) < now_s:
                waiting.give_up()
                continue
            touches = waiting.append.touches()
            if not taken.isdisjoint(touches):
                break
            taken.update(touches)
            batch.append(self._queue.popleft())
        return batch

    async def _commit_or_tell(self, batch: list[_Waiting]) -> None:
        try:
            await self._commit(batch)
        except Exception:  # noqa: BLE001 - a fault of ours must not end the committing task, nor leave anybody waiting
            _log.exception("a batch of %d commands failed", len(batch))
            for waiting in batch:
                waiting.unsure = True
                waiting.give_up()

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Send the batch until there is an answer or its time is over.

        Where the server refuses it whole, it is halved until the offending command stands alone. Each waiter is told;
        nothing is raised.
        """
        delay_s = self._limits.retry_delay_min_s
        while batch:
            try:
                results = await self._send(batch)
            except Exception as error:  # noqa: BLE001 - the loop must outlive whatever a batch does
                fault = _fault(error)
                if fault is _Fault.REFUSED:
                    await self._halve(batch, error)
                    return
                await self._after(fault, error)
                batch = self._still_waiting(batch, fault, delay_s)
            else:
                self._settle(batch, results)
                return
            if batch:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, self._limits.retry_delay_max_s)

    async def _send(self, batch: list[_Waiting]) -> list[Appended]:
        appends = [waiting.append for waiting in batch]
        values = parameters(appends)
        statement = await self._prepared()
        sent_s = time.monotonic()
        try:
            rows = await statement.call(values, FORMATS, timeout_s=self._limits.answer_timeout_s)
        except BaseException as error:
            if not isinstance(error, Exception) or _fault(error) is _Fault.BROKEN:
                for waiting in batch:
                    waiting.unsure = True
            raise
        METRICS.append_duration_s.observe(time.monotonic() - sent_s)
        METRICS.append_commands.observe(len(batch))
        METRICS.append_queue.set(len(self._queue))
        return outcomes(appends, rows)

    async def _halve(self, batch: list[_Waiting], error: Exception) -> None:
        if not isinstance(error, psycopg.Error):
            await self._drop_connection()  # a driver that met something unforeseen is not trusted with the next batch
        if len(batch) == 1:
            refused = _refused(error)
            _log.error("%s", refused)
            batch[0].fail(refused)
            return
        middle = len(batch) // 2
        await self._commit(batch[:middle])
        await self._commit(batch[middle:])

    async def _after(self, fault: _Fault, error: Exception) -> None:
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        _log.warning("an append failed (%s): %s %s", fault.name.lower(), type(error).__name__, state or "")
        if fault is not _Fault.ROLLED_BACK or state in _WRONG_SESSION:
            await self._drop_connection()

    def _still_waiting(self, batch: list[_Waiting], fault: _Fault, delay_s: float) -> list[_Waiting]:
        """Those who get another try.

        A server that is unable has answered: only who may have been committed by an earlier try goes on, to learn
        whether it was.
        """
        next_try_at = time.monotonic() + delay_s
        again: list[_Waiting] = []
        for waiting in batch:
            if next_try_at > self._expires_at(waiting) or (fault is _Fault.UNABLE and not waiting.unsure):
                waiting.give_up()
            else:
                again.append(waiting)
        return again

    def _expires_at(self, waiting: _Waiting) -> float:
        return waiting.expires_at if self._close_at is None else min(waiting.expires_at, self._close_at)

    def _settle(self, batch: list[_Waiting], results: list[Appended]) -> None:
        self.batches += 1
        self.commands += len(batch)
        done: list[Append] = []
        for waiting, answer in zip(batch, results, strict=True):
            result = Appended(Outcome.APPENDED) if _is_own_answer(waiting, answer) else answer
            if result.outcome is Outcome.APPENDED:
                done.append(waiting.append)
            if not waiting.result.done():
                waiting.result.set_result(result)
        if done:
            try:
                self._committed(done)
            except Exception:  # noqa: BLE001 - what was committed stays so, whatever a listener does
                _log.exception("a listener failed after a commit")

    async def _prepared(self) -> PreparedStatement:
        if self._statement is not None and self._statement.closed:
            await self._drop_connection()
        if self._statement is None:
            timeout_s = self._limits.answer_timeout_s
            self._statement = await PreparedStatement.open(self._database, CALL, TYPES, timeout_s=timeout_s)
        return self._statement

    async def _drop_connection(self) -> None:
        statement, self._statement = self._statement, None
        if statement is not None:
            with suppress(psycopg.Error, OSError):
                await statement.close()


def _fault(error: Exception) -> _Fault:
    if isinstance(error, OSError):
        return _Fault.BROKEN
    if not isinstance(error, psycopg.Error):
        return _Fault.REFUSED  # such as a value that can't be encoded
    if is_connection_failure(error):
        return _Fault.BROKEN
    if error.sqlstate in _ROLLED_BACK or error.sqlstate in _WRONG_SESSION:
        return _Fault.ROLLED_BACK
    return _Fault.UNABLE if is_unavailable(error) else _Fault.REFUSED


def _refused(error: Exception) -> AppendRefused:
    """What may be told of it: a server's own text can quote the row."""
    kind = type(error).__name__
    if not isinstance(error, psycopg.Error):
        refused = AppendRefused(f"a command can't be written: {kind}")
        refused.__cause__ = error
        return refused
    constraint = error.diag.constraint_name
    return AppendRefused(f"the database refused a command: {kind} {error.sqlstate or ''} {constraint or ''}".rstrip())


def _is_own_answer(waiting: _Waiting, answer: Appended) -> bool:
    """Whether a replay is of this very command: one without events can't be recognized by them after a lost answer."""
    row = waiting.append.idempotency
    if not waiting.unsure or waiting.append.events or row is None:
        return False
    return answer.response == StoredResponse(row.request_hash, row.status, row.body, row.sealed)
