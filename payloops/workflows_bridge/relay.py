"""The relay: takes outbox rows as soon as they are committed and hands them to the engine, several at once.

Any number of relays may run. A row is its relay's for the length of a lease that is extended while the effect runs; a
relay that was stopped longer than that has lost the row, and what it did does not count. Effects are at least once with
stable ids. A slow destination holds up its own lane only: a lane gets a part of the slots, all receivers of a merchant
together another part (lanes.py), and what is slow takes none from the others. A parked row does not hold up its key:
each effect finds out by itself whether it is still wanted.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from payloops.db import Database, is_unavailable
from payloops.errors import PayloopsError, Unavailable
from payloops.events.store.watch import CHANNEL
from payloops.telemetry import TraceContext, correlation_scope, span, trace_scope
from payloops.telemetry.metrics import METRICS
from payloops.workflows_bridge.contracts import ContractViolation, Kind, SignalWorkflow, StartWorkflow
from payloops.workflows_bridge.engines.base import Engine, LeaseLost, Taken, Work
from payloops.workflows_bridge.in_hand import RowInHand
from payloops.workflows_bridge.lanes import LANE_SHARE, FullLanes, full_lanes, share
from payloops.workflows_bridge.outbox_table import ClaimedRow, Done, OutboxTable, PutBack
from payloops.workflows_bridge.settling import Settler
from payloops.workflows_bridge.timers import Timers

FAILURES_MAX: Final = 10
"""A row that failed this often is parked."""
FAILURE_DELAY_MIN_S: Final = 0.5
FAILURE_DELAY_MAX_S: Final = 60.0
PAUSE_MIN_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
YOUNG_S: Final = 1.0
"""What runs longer leaves its slot to others."""
SLOW_FACTOR: Final = 8
"""All that runs at once, slow or not, in slots."""
GRACE_S: Final = 4.0
LOOK_AGAIN_S: Final = 0.25
RUNS_KEPT_S: Final = 7 * 24 * 3600
PRUNE_EVERY_S: Final = 600.0
PRUNE_MAX: Final = 1000

_log = logging.getLogger(__name__)

Untaken = Callable[[SignalWorkflow, Work], Awaitable[None]]
"""What is done about a signal that no workflow takes."""


Task = Callable[[Mapping[str, Any], Work], Awaitable[None]]
"""What the relay itself does for a kind of row that no engine knows: given the row's payload. It may raise TryLater."""


class TryLater(Exception):
    """The effect can't be had yet, which is no fault and does not count towards parking."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"in {delay_s:g} s")
        self.delay_s = delay_s


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """``concurrency`` counts slots."""

    concurrency: int = 64
    lease_s: float = 10.0
    poll_s: float = 1.0
    """A backstop: rows are announced, and a relay knows its own timers."""
    failures_max: int = FAILURES_MAX
    failure_delay_min_s: float = FAILURE_DELAY_MIN_S

    @property
    def lane_max(self) -> int:
        """Slots that one lane gets, and rows that one claim takes."""
        return share(self.concurrency, LANE_SHARE)


@dataclass(slots=True)
class RelayCounters:
    """Since the start of this relay."""

    claimed: int = 0
    dispatched: int = 0
    failed: int = 0
    parked: int = 0
    lost: int = 0
    untaken: int = 0
    pauses: int = 0
    age_s: float = 0.0
    """How old the last row was when it was claimed, timers left aside."""


class Relay:
    """One relay. ``open`` starts it; ``close`` finishes, or gives back, what it has in hand."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        untaken: Untaken,
        tasks: Mapping[str, Task] | None = None,
        options: RelayOptions | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._untaken = untaken
        self._tasks = tasks or {}
        self._options = options or RelayOptions()
        self.table = OutboxTable(database)
        self.counters = RelayCounters()
        self._settler = Settler(self.table)
        self._in_hand: dict[int, RowInHand] = {}
        self._wake = asyncio.Event()
        self._timers = Timers()
        self._hungry = False
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._closed = asyncio.Event()
        self._claimer: asyncio.Task[None] | None = None
        self._helpers: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Start relaying."""
        self._settler.open()
        self._claimer = asyncio.create_task(self._keep(self._claim_rows), name="outbox-claimer")
        self._helpers = [
            asyncio.create_task(self._keep(work), name=f"outbox-{name}")
            for name, work in (("listener", self._listen), ("heartbeat", self._extend), ("pruner", self._prune))
        ]

    async def close(self, *, grace_s: float = GRACE_S) -> None:
        """Take no more; wait for what is in hand for ``grace_s``, give the rest back to be taken by others at once."""
        self._closed.set()
        self._wake.set()
        deadline_s = time.monotonic() + grace_s
        if self._claimer is not None:
            # What a claim has taken that has to be broken off here comes back when its lease ends.
            await asyncio.wait([self._claimer], timeout=grace_s)
            self._claimer.cancel()
            await asyncio.gather(self._claimer, return_exceptions=True)
        tasks = [hand.task for hand in self._in_hand.values() if hand.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline_s - time.monotonic()))
        left = list(self._in_hand.values())
        for hand in left:
            if hand.task is not None:
                hand.task.cancel()
        await asyncio.gather(*(hand.task for hand in left if hand.task is not None), return_exceptions=True)
        if left:
            with suppress(Unavailable):
                await self.table.put_back([PutBack(hand.row, 0) for hand in left])
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        await self._settler.close()
        await self.table.close()

    @property
    def in_hand(self) -> int:
        """How many rows are being worked on."""
        return len(self._in_hand)

    # --------------------------------------------------------------------------------------------------------- claiming

    async def _claim_rows(self) -> None:
        while not self._closed.is_set():
            now_s = time.monotonic()
            if now_s < self._paused_until_s:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._paused_until_s - now_s):
                        await self._closed.wait()
                continue
            limit, full = self._room(now_s)
            self._hungry = limit == 0 or bool(full)
            if limit == 0:
                # What woke us is waited for again: who ends a row wakes the hungry. Waiting for what is there already
                # would not let anybody else run.
                self._wake.clear()
            elif await self._claim(limit, full):
                continue
            await self._wait(self._nothing_before_s())

    async def _claim(self, limit: int, full: FullLanes) -> bool:
        """Take rows. True when there may be more that can be taken now."""
        self._wake.clear()
        probing = self._pause_s > 0
        self._timers.forget_gone()
        try:
            limit = 1 if probing else limit
            rows, more = await self._claimed(limit, full)
        except Unavailable as problem:
            self._pause(problem)
            return True
        for row in rows:
            self._take(row)
        return more and not probing

    async def _claimed(self, limit: int, full: FullLanes) -> tuple[list[ClaimedRow], bool]:
        """Rows of lanes that have room. Raises Unavailable."""
        if full:
            return await self.table.claim_around(full, limit, lease_s=self._options.lease_s)
        rows = await self.table.claim(limit, lease_s=self._options.lease_s)
        return rows, len(rows) == limit

    def _room(self, now_s: float) -> tuple[int, FullLanes]:
        """How many rows to take now, and the lanes that have enough."""
        slots = self._options.concurrency
        young = sum(1 for hand in self._in_hand.values() if now_s - hand.started_s < YOUNG_S)
        full = full_lanes([hand.row.lane for hand in self._in_hand.values()], slots=slots)
        free = min(slots - young, slots * SLOW_FACTOR - len(self._in_hand), self._options.lane_max)
        return max(0, free), full

    def _nothing_before_s(self) -> float:
        """How long to wait when nobody wakes us."""
        # While lanes are full a claim sees a part of the others only: soon look at the next part.
        wait_s = min(self._options.poll_s, LOOK_AGAIN_S) if self._hungry else self._options.poll_s
        return max(0.0, min(wait_s, self._timers.next_in_s()))

    async def _wait(self, duration_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._wake.wait()

    def _pause(self, problem: BaseException) -> None:
        """The engine or the database is away: leave everything alone for a while, then try with one row."""
        now_s = time.monotonic()
        if now_s < self._paused_until_s:
            return
        self.counters.pauses += 1
        self._pause_s = min(max(self._pause_s * 2, PAUSE_MIN_S), PAUSE_MAX_S)
        self._paused_until_s = now_s + _about(self._pause_s)
        self._wake.set()
        _log.warning("relaying pauses for %.1f s: %s", self._pause_s, _describe(problem))

    def _take(self, row: ClaimedRow) -> None:
        self.counters.claimed += 1
        if row.kind != Kind.WAKE and row.attempts == 0:
            self.counters.age_s = row.age_s
            if row.kind != Kind.CHECKOUT:
                # That one may be written long before it is due.
                METRICS.outbox_dispatch_s.observe(row.age_s, (row.kind,))
        before = self._in_hand.get(row.seq)
        if before is not None:
            # Our own lease ran out unnoticed: what is still running for it does not count any more.
            self._end(before)
        hand = RowInHand(row, row.claimed_s + self._options.lease_s, time.monotonic())
        self._in_hand[row.seq] = hand
        hand.task = asyncio.create_task(self._handle(hand), name=f"outbox-{row.kind}")

    # ------------------------------------------------------------------------------------------------------- one effect

    async def _handle(self, hand: RowInHand) -> None:
        row = hand.row
        trace = TraceContext.parse(row.traceparent)
        try:
            with (
                correlation_scope(row.correlation_id),
                trace_scope(trace),
                span(f"outbox {row.kind}", kind="consumer", attributes={"workflow.id": row.key}),
            ):
                await self._try(hand)
        finally:
            if self._in_hand.get(row.seq) is hand:
                del self._in_hand[row.seq]
            if self._hungry:
                self._wake.set()

    async def _try(self, hand: RowInHand) -> None:
        try:
            taken = await self._perform(hand)
            await self._settle(hand, taken)
        except TryLater as later:
            await self._give_back(hand, PutBack(hand.row, later.delay_s))
        except LeaseLost:
            self._lose(hand)
        except Exception as problem:  # noqa: BLE001 - whatever one row does, the others go on
            if isinstance(problem, Unavailable) or is_unavailable(problem):
                self._pause(problem)
                # Due at once: it is this relay that pauses, another one's connection may be well.
                await self._give_back(hand, PutBack(hand.row, 0))
            else:
                await self._fail(hand, problem)

    async def _perform(self, hand: RowInHand) -> Taken:
        """Hand it to the engine. Raises what the engine raises, ContractViolation."""
        payload = hand.row.payload
        match hand.row.kind:
            case Kind.START:
                return await self._engine.start(StartWorkflow.from_json(payload), hand)
            case Kind.SIGNAL:
                return await self._signal(SignalWorkflow.from_json(payload), hand)
            case Kind.WAKE:
                return await self._engine.wake(int(payload["version"]), hand)
            case kind:
                task = self._tasks.get(kind)
                if task is None:
                    raise ContractViolation("outbox: there is no such kind")
                await task(payload, hand)
                return Taken()

    async def _signal(self, signal: SignalWorkflow, hand: RowInHand) -> Taken:
        answer = await self._engine.signal(signal, hand)
        if isinstance(answer, Taken):
            return answer
        self.counters.untaken += 1
        _log.info("no workflow takes %s: %s (%s)", signal.signal, signal.workflow_id, answer.reason)
        await self._untaken(signal, hand)
        return Taken()

    async def _settle(self, hand: RowInHand, taken: Taken) -> None:
        hand.settling = True
        settled = await self._settler.settle(Done(hand.row, taken.advance))
        if settled is None:
            self._lose(hand)
            return
        if self._pause_s > 0:
            # The row that was tried went well: take up the others again.
            self._pause_s = 0.0
            self._wake.set()
        if not settled.done:
            # Somebody else brought the workflow on meanwhile: look again at what it is now.
            await self._give_back(hand, PutBack(hand.row, 0))
            return
        self.counters.dispatched += 1
        METRICS.outbox_rows.add((hand.row.kind, "done"))
        if taken.advance is not None and taken.advance.wake_at_s is not None:
            self._remember_timer(taken.advance.wake_at_s - hand.now_s())
        if settled.more:
            self._wake.set()

    async def _fail(self, hand: RowInHand, problem: Exception) -> None:
        row = hand.row
        failures, error = row.attempts + 1, _describe(problem)
        park = failures >= self._options.failures_max
        delay_s = _about(min(self._options.failure_delay_min_s * 2**row.attempts, FAILURE_DELAY_MAX_S))
        self.counters.failed += 1
        context = {"outboxId": str(row.id), "workflowId": row.key, "kind": row.kind, "failures": failures}
        METRICS.outbox_rows.add((row.kind, "parked" if park else "failed"))
        if park:
            self.counters.parked += 1
            _log.error("an outbox row is parked after %d failures: %s", failures, error, extra=context)
        else:
            trace = problem if not isinstance(problem, PayloopsError) else None
            _log.warning("an outbox row failed: %s", error, extra=context, exc_info=trace)
        await self._give_back(hand, PutBack(row, delay_s, failed=True, error=error, park=park))

    async def _give_back(self, hand: RowInHand, item: PutBack) -> None:
        """Let go of the row; while the database is away, as long as it is ours."""
        while True:
            try:
                kept = await self.table.put_back([item])
            except Unavailable:
                if time.monotonic() >= hand.lease_until_s:
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if kept:
                self._remember_timer(item.delay_s)
            else:
                self._lose(hand)
            return

    def _lose(self, hand: RowInHand) -> None:
        self.counters.lost += 1
        METRICS.outbox_rows.add((hand.row.kind, "lost"))
        _log.warning("the lease of an outbox row ran out: %s %s", hand.row.kind, hand.row.key)

    def _end(self, hand: RowInHand) -> None:
        """Stop what runs for a lost row."""
        hand.lost = True
        self._lose(hand)
        if hand.task is not None:
            hand.task.cancel()

    def _remember_timer(self, delay_s: float) -> None:
        """A row is due then; wake up for it if nothing else comes before."""
        if delay_s <= 0 or self._timers.remember(delay_s):
            self._wake.set()

    # ---------------------------------------------------------------------------------------------------------- helpers

    async def _keep(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again whatever happens to it, until the relay closes."""
        while not self._closed.is_set():
            try:
                await work()
            except Exception:  # noqa: BLE001 - the relay outlives whatever a part of it does
                _log.exception("a part of the relay failed and is started again")
                await asyncio.sleep(PAUSE_MIN_S)

    async def _listen(self) -> None:
        async with aclosing(self._database.listen(CHANNEL)) as notices:
            async for _, payload in notices:
                if not payload or payload.endswith("outbox"):
                    self._wake.set()

    async def _extend(self) -> None:
        """Heartbeat, three times a lease."""
        await asyncio.sleep(self._options.lease_s / 3)
        hands = [hand for hand in self._in_hand.values() if not hand.settling]
        if not hands:
            return
        sent_s = time.monotonic()
        try:
            kept = await self.table.extend([hand.row for hand in hands], lease_s=self._options.lease_s)
        except Unavailable as problem:
            _log.warning("leases could not be extended: %s", _describe(problem))
            return
        for hand in hands:
            if hand.row.seq in kept:
                hand.lease_until_s = sent_s + self._options.lease_s
            elif not hand.settling and self._in_hand.get(hand.row.seq) is hand:
                self._end(hand)

    async def _prune(self) -> None:
        await asyncio.sleep(_about(PRUNE_EVERY_S))
        with suppress(Unavailable):
            await self.table.prune_runs(keep_s=RUNS_KEPT_S, limit=PRUNE_MAX)


def _about(duration_s: float) -> float:
    """With some jitter, so that relays that failed together don't come back together."""
    return duration_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret


def _describe(problem: BaseException) -> str:
    """What may be kept and logged of an error: a driver's or library's own words may quote a row."""
    if isinstance(problem, PayloopsError):
        return f"{type(problem).__name__}: {problem.message}"
    if isinstance(problem, psycopg.Error):
        return f"{type(problem).__name__} {problem.sqlstate or ''}".strip()
    if isinstance(problem, ContractViolation):
        return f"ContractViolation: {problem}"
    return type(problem).__name__
