"""All that happened to an order, in one order: its events, what processors told, and what the merchant was told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from payloops.db import Database, load_sql
from payloops.events.base import Event
from payloops.events.codec import EventMapper
from payloops.projections.audit import wire_data
from payloops.projections.reading import Columns, fetch
from payloops.projections.views import no_order
from payloops.values import iso

ENTRIES_MAX: Final = 500
"""Of each kind, the last ones: an order that lives for years stays readable."""

Kind = Literal["event", "processor", "inbound", "delivery", "attempt"]
"""``event``: somebody here did it; ``processor``: what a call to a processor came to; ``inbound``: a processor's
webhook; ``delivery``: a webhook of ours; ``attempt``: one try to deliver it."""

_SQL: Final = load_sql("payloops.projections", "timeline")
_TOPIC: Final = re.compile(r"[a-z_]+\.([a-z_]+)\.v[0-9]+")
_WEBHOOKS: Final = {"type": "system", "id": "webhooks"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. ``data`` holds neither secrets nor personal data."""

    at: datetime
    kind: Kind
    title: str
    actor: dict[str, str]
    correlation_id: str | None
    data: dict[str, Any]


class Timelines:
    """The queries over one database. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapper = EventMapper()

    async def of_order(self, merchant_id: UUID, order_id: UUID) -> list[Entry]:
        """The order's story, the oldest first. Raises NotFound, UnreadableEvent."""
        parameters: dict[str, Any] = {"merchant": merchant_id, "order": order_id, "limit": ENTRIES_MAX}
        events = await fetch(self._database, _SQL["order_events"], parameters)
        if not events:
            raise no_order()
        inbound = await fetch(self._database, _SQL["inbound"], parameters)
        deliveries = await fetch(self._database, _SQL["deliveries"], parameters)
        told = {"deliveries": [row[1] for row in deliveries], "limit": ENTRIES_MAX}
        attempts = await fetch(self._database, _SQL["attempts"], told) if deliveries else []
        cause_of = {row[1]: row[-1] for row in deliveries}
        entries = [
            *map(_inbound, reversed(inbound)),
            *_in_order(_event(self._read(order_id, row)) for row in events),
            *map(_delivery, reversed(deliveries)),
            *(_attempt(row, cause_of.get(row[1])) for row in reversed(attempts)),
        ]
        # A stable sort: of one moment, a cause stands before its effect.
        return sorted(entries, key=lambda entry: entry.at)

    def _read(self, order_id: UUID, row: Columns) -> Event:
        version, topic, state = row
        return self._mapper.to_event(StoredEvent(order_id, version, topic, bytes(state)))


def wire_timeline(entry: Entry) -> dict[str, Any]:
    """The entry of the wire contract, for orjson."""
    return {
        "at": iso(entry.at),
        "kind": entry.kind,
        "title": entry.title,
        "actor": entry.actor,
        "correlationId": entry.correlation_id,
        "data": entry.data,
    }


def _in_order(entries: Iterable[Entry]) -> Iterable[Entry]:
    """An order's events have an order of their own, which clocks of several machines must not turn round."""
    latest: datetime | None = None
    for entry in entries:
        if latest is not None and entry.at < latest:
            yield replace(entry, at=latest)
        else:
            latest = entry.at
            yield entry


def _event(event: Event) -> Entry:
    actor = event.meta.actor
    found = _TOPIC.fullmatch(event.TOPIC)
    words = event.TOPIC if found is None else found[1].replace("_", " ").capitalize()
    return Entry(
        at=event.timestamp,
        kind="processor" if actor.type in ("workflow", "processor") else "event",
        title=words,
        actor={"type": actor.type, "id": actor.id},
        correlation_id=event.meta.correlation_id,
        data={"version": event.originator_version, **wire_data(event)},
    )


def _inbound(row: Columns) -> Entry:
    received_at, event_id, processor, processor_event_id, event_type, status, reason, processed_at, correlation_id = row
    return Entry(
        at=received_at,
        kind="inbound",
        title=f"{processor.capitalize()} sent {event_type}",
        actor={"type": "processor", "id": processor},
        correlation_id=correlation_id,
        data={
            "id": event_id,
            "processorEventId": processor_event_id,
            "type": event_type,
            "status": status,
            "reason": reason,
            "processedAt": None if processed_at is None else iso(processed_at),
        },
    )


def _delivery(row: Columns) -> Entry:
    created_at, delivery_id, endpoint_id, url, event_type, sequence, status, attempts, delivered_at, correlation_id = (
        row
    )
    return Entry(
        at=created_at,
        kind="delivery",
        title=f"Webhook {event_type} scheduled",
        actor=_WEBHOOKS,
        correlation_id=correlation_id,
        data={
            "id": delivery_id,
            "endpointId": endpoint_id,
            "url": url,
            "eventType": event_type,
            "sequence": sequence,
            "status": status,
            "attempts": attempts,
            "deliveredAt": None if delivered_at is None else iso(delivered_at),
        },
    )


def _attempt(row: Columns, correlation_id: str | None) -> Entry:
    started_at, delivery_id, number, duration_ms, status_code, error = row
    outcome = f"answered {status_code}" if status_code is not None else "got no answer"
    return Entry(
        at=started_at,
        kind="attempt",
        title=f"Webhook attempt {number} {outcome}",
        actor=_WEBHOOKS,
        correlation_id=correlation_id,
        data={
            "deliveryId": delivery_id,
            "number": number,
            "durationMs": duration_ms,
            "statusCode": status_code,
            "error": error,
        },
    )
