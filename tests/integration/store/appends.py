"""Appends made by hand: the store does not care what events mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from psycopg.types.json import Json

from payloops.db import Database
from payloops.events.store import Append, IdempotencyRow
from payloops.events.store.append import TYPES, parameters
from payloops.values import new_id

TOPIC = "test.happened.v1"
EVENTS = ("integer[]", "uuid[]", "bigint[]", "text[]", "bytea[]")
_CASTS = ", ".join([f"%s::{kind}" for kind in EVENTS] + ["%s::json"] * (len(TYPES) - len(EVENTS)))
BY_HAND = f"SELECT * FROM append_batch({_CASTS})"
"""The call of append_batch as a cursor takes it, for transactions of a test's own; with ``by_hand``."""


def stored(stream: UUID, version: int = 1, *, topic: str = TOPIC, state: bytes | None = None) -> StoredEvent:
    """An event; unless told otherwise its state is unique, as that of every real event is."""
    return StoredEvent(stream, version, topic, str(new_id()).encode() if state is None else state)


def append(stream: UUID | None = None, version: int = 1, *, count: int = 1, **fields: Any) -> Append:
    """A command with ``count`` events from ``version`` on; a new stream unless one is named."""
    stream = new_id() if stream is None else stream
    return Append([stored(stream, version + place) for place in range(count)], **fields)


def by_hand(*appends: Append) -> list[Any]:
    """The parameters of BY_HAND."""
    events = [(number, event) for number, append in enumerate(appends) for event in append.events]
    documents = [None if sent is None else sent.decode() for sent in parameters(appends)[len(EVENTS) :]]
    return [
        [number for number, _ in events],
        [event.originator_id for _, event in events],
        [event.originator_version for _, event in events],
        [event.topic for _, event in events],
        [event.state for _, event in events],
        *documents,
    ]


def key_row(key_id: UUID | None = None, **fields: Any) -> IdempotencyRow:
    """An idempotency key's row."""
    given: dict[str, Any] = {"merchant_id": UUID(int=7), "request_hash": "hash", "status": 201, "body": "body"}
    return IdempotencyRow(id=new_id() if key_id is None else key_id, **(given | fields))


def outbox_row(**fields: Any) -> dict[str, Any]:
    """A row of the outbox."""
    given = {"id": new_id(), "key": "key", "kind": "test", "payload": {}, "correlation_id": "c", "traceparent": None}
    return given | {"due_at": None} | fields


async def insert_api_key(database: Database, *, expires_in_s: float | None = None) -> UUID:
    """An API key that holds, for ever or for some seconds of the database's time."""
    key_id = new_id()
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO api_keys
                (id, merchant_id, public_id, prefix, name, secret_hash, live, scopes, created_at, expires_at)
            VALUES (%s, %s, %s, 'sk_test', 'key', 'hash', false, %s, now(),
                clock_timestamp() + %s::double precision * interval '1 second')
            """,
            (key_id, UUID(int=7), str(key_id), Json([]), expires_in_s),
        )
    return key_id


async def revoke_api_key(database: Database, key_id: UUID) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = %s", (key_id,))


async def query(database: Database, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement."""
    async with database.connection() as connection:
        return await (await connection.execute(statement, parameters)).fetchall()


async def log(database: Database) -> list[tuple[int, UUID, int, bytes]]:
    """The log in order: position, stream, version, state."""
    rows = await query(
        database,
        "SELECT notification_id, originator_id, originator_version, state FROM stored_events ORDER BY notification_id",
    )
    return [(position, stream, version, bytes(state)) for position, stream, version, state in rows]


async def assert_gapless(database: Database) -> int:
    """Positions are 1 … head, versions 1 … n in every stream; gives the head.

    One statement, one snapshot: an append whose client gave up may still be committed at any time.
    """
    ((head, positions, broken),) = await query(
        database,
        "SELECT (SELECT position FROM log_head),"
        " (SELECT coalesce(array_agg(notification_id ORDER BY notification_id), '{}') FROM stored_events),"
        " (SELECT count(*) FROM (SELECT FROM stored_events GROUP BY originator_id"
        "   HAVING max(originator_version) <> count(*)) AS gapped)",
    )
    assert positions == list(range(1, head + 1))
    assert broken == 0
    return int(head)


def streams_of(appends: Sequence[Append]) -> list[UUID]:
    return [UUID(str(event.originator_id)) for append in appends for event in append.events]
