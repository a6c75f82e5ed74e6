"""What a processor does by itself some time later: a refund settles, a customer disputes a charge."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Sequence

from payloops.sandbox.engine import Engine
from payloops.sandbox.store import Appointment

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 60.0


class Agenda:
    """Keeps the appointments of the store, soonest first. Those of an earlier process are kept too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Appointment] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; what was due while no process ran happens now."""
        self.push(self._engine.store.pending_appointments())
        self._task = asyncio.create_task(self._run())

    def push(self, appointments: Sequence[Appointment], /) -> None:
        """Take over appointments that are committed."""
        for appointment in appointments:
            heapq.heappush(self._waiting, appointment)
        if appointments:
            self._changed.set()

    async def stop(self) -> None:
        """End; what is still to come stays in the store."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            now_ms = self._engine.now_ms()
            while self._waiting and self._waiting[0].due_ms <= now_ms:
                self._keep(heapq.heappop(self._waiting))
            wait_s = _LONGEST_WAIT_S
            if self._waiting:
                wait_s = min(wait_s, max(0.0, (self._waiting[0].due_ms - self._engine.now_ms()) / 1000))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _keep(self, appointment: Appointment) -> None:
        try:
            self._engine.keep(appointment)
        except Exception:  # noqa: BLE001
            # One that can't be kept is undone and stays in the store for the next start; the others go on.
            _log.exception("an appointment of the sandbox failed")
