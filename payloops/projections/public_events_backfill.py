"""Public events of orders that are older than their table: written from the log, and published to nobody.

Merchants who read the feed find the whole of an order, and an order's sequence begins at 1, whenever it was made. Who
had an endpoint then was not promised them; who makes one now is told what happens from now on (docs/adr/0008).
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from payloops.db import Database, load_sql
from payloops.events.order_state import INITIAL, Existing, evolve
from payloops.events.store import EventStore
from payloops.projections.base import Row
from payloops.projections.public_events import PUBLIC_EVENTS
from payloops.projections.reading import change, fetch

PAGE: Final = 100
TABLE_VERSION: Final = 5
"""The migration that made the table."""

_SQL: Final = load_sql("payloops.projections", "public_events")
_UUID7_TIME_SHIFT: Final = 80

_log = logging.getLogger(__name__)


class PublicEventsBackfill:
    """Run it when a release with public events starts; where there is nothing to do it is two small queries."""

    def __init__(self, database: Database, store: EventStore) -> None:
        self._database = database
        self._store = store

    async def run(self, *, page: int = PAGE) -> int:
        """Fill in all, in order of their ids; the number of events. Raises Unavailable: run it again later."""
        made_at = await fetch(self._database, _SQL["table_made_at"], (TABLE_VERSION,))
        if not made_at:
            return 0
        # Ids are sorted by time (UUIDv7), so the orders before a moment are the ids before its own.
        before, after, count = _first_id_at(made_at[0][0]), UUID(int=0), 0
        while True:
            parameters = {"after": after, "before": before, "limit": page}
            found = await fetch(self._database, _SQL["untold_orders"], parameters)
            rows = [row for (order_id,) in found for row in await self._rows(order_id)]
            if rows:
                # Whatever is in the log has been told, if it was told at all: no append is raced here.
                await change(self._database, _SQL["fill_in"], {"rows": orjson.dumps(rows).decode()})
                count += len(rows)
            if len(found) < page:
                break
            after = found[-1][0]
        if count:
            _log.info("%d public events of orders that are older than the feed are in it from now on", count)
        return count

    async def _rows(self, order_id: UUID) -> list[Row]:
        state: Any = INITIAL
        rows: list[Row] = []
        events: list[Any] = await self._store.load(order_id)
        for event in events:
            after = evolve(state, event)
            if isinstance(after, Existing) and PUBLIC_EVENTS.concerns(type(event)):
                rows += PUBLIC_EVENTS.rows(state, event, after)
            state = after
        return rows


def _first_id_at(moment: datetime) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << _UUID7_TIME_SHIFT)
