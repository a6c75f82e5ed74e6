"""The queries of the inbox, for the dashboard and for processing. Each sees one merchant only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from payloops.db import Database, load_sql
from payloops.errors import NotFound
from payloops.events.codec import EventMapper
from payloops.events.processor_event import ProcessorEventReceived
from payloops.projections.base import Row
from payloops.projections.personal_data import PersonalData
from payloops.projections.processor_events import BODY
from payloops.projections.reading import Columns, fetch
from payloops.projections.views import OrderPlace

STATUSES: Final = ("received", "processed", "ignored", "quarantined", "failed")
IN_TROUBLE: Final = frozenset({"quarantined", "failed"})

_NAMES: Final = (
    *("id", "processor", "processor_event_id", "type", "order_id", "status", "reason", "received_at"),
    *("since", "processed_at"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)
_LAST_ID: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """What is None does not filter."""

    status: str | None = None
    processor: str | None = None
    type: str | None = None
    order_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """An event of the inbox with its raw body; that is None when it can't be read any more."""

    row: Row
    body: str | None = field(repr=False)


class InboxViews:
    """All methods raise Unavailable."""

    def __init__(self, database: Database, personal: PersonalData) -> None:
        self._database = database
        self._personal = personal
        self._mapper = EventMapper()

    async def page(
        self, merchant_id: UUID, wanted: InboxFilter, after: OrderPlace | None, limit: int
    ) -> tuple[list[Row], OrderPlace | None]:
        """A page of events, newest first, and its last event's place when there are more."""
        block = "page"
        if wanted.order_id is not None:
            block = "page_of_order"
        elif wanted.status in IN_TROUBLE:
            block = "page_in_trouble"
        parameters = {
            "merchant": merchant_id,
            "status": wanted.status,
            "processor": wanted.processor,
            "type": wanted.type,
            "order": wanted.order_id,
            "before_time": _END if after is None else _EPOCH + timedelta(milliseconds=after.created_at_ms),
            "before_id": _LAST_ID if after is None else after.order_id,
            "limit": limit + 1,
        }
        found = [_row(columns) for columns in await fetch(self._database, _compose(block), parameters)]
        if len(found) <= limit:
            return found, None
        last = found[limit - 1]
        return found[:limit], OrderPlace((last["received_at"] - _EPOCH) // timedelta(milliseconds=1), last["id"])

    async def event(self, merchant_id: UUID, event_id: UUID) -> InboxEvent:
        """One event. Raises NotFound, for another merchant's too, and UnreadableEvent, DecryptionError."""
        found = await fetch(self._database, _compose("one"), {"id": event_id, "merchant": merchant_id})
        if not found:
            raise NotFound("No such processor event.")
        *columns, topic, state = found[0]
        first = self._mapper.to_event(StoredEvent(event_id, 1, topic, bytes(state)))
        sealed = first.body if isinstance(first, ProcessorEventReceived) else None
        key = await self._personal.key_for(merchant_id)
        return InboxEvent(_row(columns), key.open(BODY, event_id, sealed))

    async def order_paid_as(self, merchant_id: UUID, processor: str, ids: Sequence[str]) -> UUID | None:
        """The merchant's order that is paid under one of these ids of the processor, of a payment or its order."""
        parameters = {"merchant": merchant_id, "processor": processor, "ids": list(ids)}
        found = await fetch(self._database, _compose("order_by_processor_ids"), parameters)
        return found[0][0] if found else None


@cache
def _compose(block: str) -> str:
    blocks = load_sql("payloops.projections", "processor_events")
    return blocks[block].replace("{event_columns}", blocks["event_columns"])


def _row(columns: Sequence[Any] | Columns) -> Row:
    return dict(zip(_NAMES, columns, strict=True))
