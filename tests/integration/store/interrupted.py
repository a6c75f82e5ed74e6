"""A store that lets somebody else go first, at a chosen moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from payloops.db import Database
from payloops.events.base import Event
from payloops.events.store import EventStore


class InterruptedStore(EventStore):
    """Calls ``interrupt`` once, when that stream is about to be read."""

    def __init__(self, database: Database, stream_id: UUID, interrupt: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database)
        self.interruptions = {stream_id: interrupt}

    async def load(self, stream_id: UUID, *, after_version: int = 0) -> list[Event]:
        interrupt = self.interruptions.pop(stream_id, None)
        if interrupt is not None:
            await interrupt()
        return await super().load(stream_id, after_version=after_version)
