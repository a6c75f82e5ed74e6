"""Keeps child processes alive, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from payloops.errors import PayloopsError

DEATHS_MAX: Final = 10
DEATHS_WITHIN_S: Final = 60.0
_BACKOFF_MIN_S: Final = 0.2
_BACKOFF_MAX_S: Final = 5.0
_MISUSED: Final = 2
_AFTER_KILL_S: Final = 1.0

_log = logging.getLogger(__name__)


class PartFailed(PayloopsError):
    """A part can't be kept alive; the message names it."""

    code = "part_failed"


class RestartPolicy:
    """How long to wait before the next start: bounded back-off that a long life resets, and an end after ten deaths."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._deaths: deque[float] = deque(maxlen=DEATHS_MAX)
        self._delay_s = _BACKOFF_MIN_S

    def next_delay_s(self, *, lived_s: float, now_s: float) -> float:
        """Seconds until the next start, after a life of ``lived_s`` that ended at ``now_s`` (monotonic).

        :raises PartFailed: it died ten times within a minute.
        """
        self._deaths.append(now_s)
        if len(self._deaths) == DEATHS_MAX and now_s - self._deaths[0] < DEATHS_WITHIN_S:
            raise PartFailed(f"{self._part} ended {DEATHS_MAX} times within a minute; giving up (its log says why)")
        if lived_s > DEATHS_WITHIN_S / 2:
            self._delay_s = _BACKOFF_MIN_S
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, _BACKOFF_MAX_S)
        return delay_s


@dataclass(eq=False)
class Child:
    """One child process, started again when it ends. ``name`` is for people; it leads a process group of its own."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    proven: bool = False
    """Whether the service was ready once: from then on a refusal of settings is no reason to give up at once."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The running process's id."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def keep(self) -> None:
        """Run it until :meth:`stop`.

        :raises PartFailed: it refuses its settings, or dies too often.
        """
        policy = RestartPolicy(self.name)
        while not self._stopping.is_set():
            started_s = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            if status == _MISUSED and not self.proven:
                raise PartFailed(f"{self.name} can't start with these settings (its log says why)")
            now_s = time.monotonic()
            delay_s = policy.next_delay_s(lived_s=now_s - started_s, now_s=now_s)
            _log.warning("%s ended (%s); starting it again in %.1f s", self.name, _how(status), delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.DEVNULL,
            env=dict(self.environ),
            start_new_session=True,
        )
        self._process = process
        if self._stopping.is_set():
            process.terminate()
        status = await process.wait()
        # Nothing that it started may go on without it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return status

    def ask_to_stop(self) -> None:
        """SIGTERM, and no more starts."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL for it and all it started, and no more starts."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class Stage:
    """Children that stop together, within ``stop_within_s``."""

    children: Sequence[Child]
    stop_within_s: float


async def supervise(
    stages: Sequence[Stage],
    stop: asyncio.Event,
    hurry: asyncio.Event,
    *,
    others: Sequence[Awaitable[None]] = (),
    once_running: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Keep all children alive until ``stop``; then end one stage after the other (``hurry``: with SIGKILL).

    ``others`` are watched alike; ``once_running`` runs beside them, and its failure ends everything too.

    :raises PartFailed: a part can't be kept alive; the others have been stopped.
    """
    keeping = {child: asyncio.ensure_future(child.keep()) for stage in stages for child in stage.children}
    watching = [asyncio.ensure_future(other) for other in others]
    beginning = [asyncio.ensure_future(once_running())] if once_running is not None else []
    stopping = asyncio.ensure_future(stop.wait())
    try:
        pending: set[asyncio.Future[Any]] = {*keeping.values(), *watching, *beginning, stopping}
        while not stopping.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()
    finally:
        for task in (*watching, *beginning, stopping):
            task.cancel()
        for stage in stages:
            await _stop_stage(stage, keeping, hurry)
        await asyncio.gather(*watching, *beginning, stopping, *keeping.values(), return_exceptions=True)


async def _stop_stage(stage: Stage, keeping: Mapping[Child, asyncio.Future[None]], hurry: asyncio.Event) -> None:
    waiting = [keeping[child] for child in stage.children]
    for child in stage.children:
        child.ask_to_stop()
    hurrying = asyncio.ensure_future(hurry.wait())
    gathered: asyncio.Future[Any] = asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait({gathered, hurrying}, timeout=stage.stop_within_s, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    for child in stage.children:
        if child.pid is not None:
            _log.warning("%s did not stop in time and is killed", child.name)
            child.kill()
    await asyncio.wait({gathered}, timeout=_AFTER_KILL_S)


def _how(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
