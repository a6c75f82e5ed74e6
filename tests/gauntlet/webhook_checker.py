"""What must hold of outbound webhooks: none is missing, none differs, and each order's come in order."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final
from uuid import UUID

from payloops.crypto import KeyRing
from payloops.db import Database
from payloops.projections.personal_data import PersonalData
from payloops.projections.public_events import PublicEvents
from tests.deliveries.receiver import Received
from tests.gauntlet.hooks import Hook
from tests.gauntlet.shop import Shop

_GAPS: Final = """
SELECT stream_id::text, array_agg(sequence ORDER BY position)
FROM (
    SELECT stream_id, sequence, position, row_number() OVER (PARTITION BY stream_id ORDER BY position) AS place
    FROM public_events WHERE merchant_id = %(merchant)s
) counted
GROUP BY stream_id HAVING bool_or(sequence <> place)
"""
_UNTOLD: Final = """
SELECT e.type, e.id::text, w.url FROM public_events e
JOIN webhook_endpoints w ON w.merchant_id = e.merchant_id
JOIN stored_events s ON s.originator_id = w.id AND s.originator_version = 1
WHERE e.merchant_id = %(merchant)s AND w.version = 1 AND w.enabled AND json_array_length(w.event_types) = 0
    AND e.position > s.notification_id
    AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.event_id = e.id AND d.endpoint_id = w.id)
"""
"""Events that came after an endpoint that wants all of them and was never touched, without a delivery to it."""
_DELIVERED: Final = """
SELECT d.event_id, d.order_id, d.sequence, d.status, d.endpoint_id FROM webhook_deliveries d
WHERE d.merchant_id = %(merchant)s AND d.order_id IS NOT NULL
"""


async def webhook_problems(database: Database, shop: Shop) -> list[str]:
    """Of one merchant. Receivers are asked only where the shop has some that take everything."""
    async with database.connection() as connection:
        found = {"merchant": shop.merchant_id}
        gaps = await (await connection.execute(_GAPS, found)).fetchall()
        untold = await (await connection.execute(_UNTOLD, found)).fetchall()
        deliveries = await (await connection.execute(_DELIVERED, found)).fetchall()
    problems = [f"order {stream} counts its public events {counted}" for stream, counted in gaps]
    problems += [f"{event_type} {event} has no delivery to {url}" for event_type, event, url in untold]
    if not shop.hooks:
        return problems
    ring = KeyRing.from_setting(shop.service.settings["ENCRYPTION_KEY"])
    events = PublicEvents(database, PersonalData(database, ring))
    bodies = {row[0]: await _body(events, row[0]) for row in deliveries}
    for hook in shop.hooks:
        mine = [row for row in deliveries if str(row[4]) == hook.endpoint_id]
        problems += _received(hook, mine, bodies)
    return problems


async def _body(events: PublicEvents, event_id: UUID) -> bytes:
    event = await events.get(event_id)
    return b"" if event is None else event.body


def _received(hook: Hook, deliveries: list[tuple[Any, ...]], bodies: dict[UUID, bytes]) -> list[str]:
    """Each delivery at least once, to the byte, well signed, and an order's first arrivals by sequence."""
    problems: list[str] = []
    came: dict[str, list[Received]] = defaultdict(list)
    firsts: dict[str, list[int]] = defaultdict(list)
    for one in hook.received():
        if one.problem is not None:
            problems.append(f"{hook.path} got what it can't believe: {one.problem}")
            continue
        if one.id not in came:
            firsts[str(one.document["orderId"])].append(one.sequence)
        came[one.id].append(one)
    for event_id, order_id, sequence, status, _ in deliveries:
        if status != "delivered":
            problems.append(f"{hook.path}: event {sequence} of order {order_id} is {status}")
        elif str(event_id) not in came:
            problems.append(f"{hook.path}: event {sequence} of order {order_id} counts as delivered and never came")
        problems += [
            f"{hook.path}: event {event_id} came as other bytes than it is: {one.body[:200]!r}"
            for one in came.pop(str(event_id), [])
            if one.body != bodies[event_id]
        ]
    problems += [f"{hook.path}: {event_id} came, of which there is no delivery" for event_id in came]
    problems += [
        f"{hook.path}: order {order_id} came as {seen}" for order_id, seen in firsts.items() if seen != sorted(seen)
    ]
    return problems
