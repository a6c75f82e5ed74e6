"""The audit trail of a merchant: the log's own events, found by what they are asked for.

``audit_entries`` is kept after the events, not with them, so that the append pays nothing for it: the relay advances it
in the background, and who reads advances it up to what was there when it asked. It holds places in the log and no
facts of its own.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from payloops.db import Database, load_sql
from payloops.errors import Unavailable
from payloops.events.codec import EventMapper
from payloops.projections.audit import AuditEntry
from payloops.projections.reading import fetch

BATCH_EVENTS: Final = 1_000
CATCH_UP_S: Final = 2.0
"""How long a reader waits for the index; after that it is told what there is."""
PAUSE_S: Final = 1.0
BREATH_S: Final = 0.05
"""Between two batches in the background: what is asked now goes first."""
_POSITION_MAX: Final = 2**63 - 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is None does not filter. ``recorded_from`` is inclusive, ``recorded_to`` exclusive; ``actor`` is an id."""

    type: str | None = None
    actor: str | None = None
    order_id: UUID | None = None
    correlation_id: str | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What filters, by its name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


class AuditLog:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapper = EventMapper()

    async def page(
        self, merchant_id: UUID, wanted: AuditFilter, before: int | None, limit: int
    ) -> tuple[list[AuditEntry], bool]:
        """A page of the merchant's trail, newest first, and whether there is more. Raises UnreadableEvent."""
        await self._catch_up()
        given = wanted.given
        parameters = {"merchant": merchant_id, "before": before or _POSITION_MAX, "limit": limit + 1, **given}
        rows = await fetch(self._database, _compose(tuple(sorted(given))), parameters)
        entries = [
            AuditEntry(position, recorded_at, self._mapper.to_event(StoredEvent(stream, version, topic, bytes(state))))
            for position, stream, version, topic, state, recorded_at in rows[:limit]
        ]
        return entries, len(rows) > limit

    async def advance(self, *, wait: bool) -> tuple[int | None, int]:
        """Index some more events. The position that was come to (None: another is at it), and the log's end."""
        ((position, head),) = await fetch(self._database, _SQL["advance"], (BATCH_EVENTS, wait))
        return position, int(head)

    async def run(self) -> None:
        """Advance for ever, calmly."""
        while True:
            position: int | None = None
            head = 0
            try:
                position, head = await self.advance(wait=False)
            except Unavailable as problem:
                _log.warning("the audit trail is not indexed for the moment: %s", problem.message)
            await asyncio.sleep(BREATH_S if position is not None and position < head else PAUSE_S)

    async def _catch_up(self) -> None:
        """Index what is in the log now."""
        position, head = await self.advance(wait=True)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + CATCH_UP_S
        while position is not None and position < head:
            if loop.time() > until_s:
                _log.warning("the audit trail is at position %d of %d", position, head)
                return
            position, _ = await self.advance(wait=True)


_SQL: Final = load_sql("payloops.projections", "audit_log")


@cache
def _compose(given: tuple[str, ...]) -> str:
    """The query with these filters: each set has a plan of its own."""
    return _SQL["page"].replace("{filters}", " AND ".join(_SQL[name] for name in ("merchant", *given)))
