"""Who waits for a stream to grow: woken by this process's own commits at once, and by others' through NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

CHANNEL = "payloops"
"""append_batch notifies here: the log's new head, and ``outbox`` when a relay has work."""


class Watch:
    """Events by stream. A wake-up is a hint: the waiter looks for itself."""

    def __init__(self) -> None:
        self._waiters: dict[UUID, set[asyncio.Event]] = {}
        self._of_log: set[asyncio.Event] = set()

    @contextmanager
    def stream(self, stream_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever the stream may have grown, for the length of the block."""
        event = asyncio.Event()
        self._waiters.setdefault(stream_id, set()).add(event)
        try:
            yield event
        finally:
            waiters = self._waiters[stream_id]
            waiters.discard(event)
            if not waiters:
                del self._waiters[stream_id]

    @contextmanager
    def log(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever any stream may have grown, for the length of the block."""
        event = asyncio.Event()
        self._of_log.add(event)
        try:
            yield event
        finally:
            self._of_log.discard(event)

    @property
    def watched(self) -> list[UUID]:
        """The streams that somebody waits for."""
        return list(self._waiters)

    def grew(self, stream_id: UUID) -> None:
        """Wake who waits for this stream."""
        self.log_grew()
        for event in self._waiters.get(stream_id, ()):
            event.set()

    def log_grew(self) -> None:
        """Wake who waits for the log as a whole."""
        for event in self._of_log:
            event.set()

    def wake_all(self) -> None:
        """Wake everybody: notices may have been missed."""
        self.log_grew()
        for waiters in self._waiters.values():
            for event in waiters:
                event.set()
