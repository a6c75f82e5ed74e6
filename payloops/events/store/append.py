"""One command's append, a batch of them as the parameters of ``append_batch``, and what that function answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

from payloops.db import BINARY, TEXT, array_literal, binary_array
from payloops.values import value

INLINE_TABLES: Final = (
    "merchants",
    "merchant_keys",
    "api_keys",
    "processor_configs",
    "orders",
    "transactions",
    "refunds",
    "public_events",
    "webhook_endpoints",
    "webhook_deliveries",
    "webhook_attempts",
    "processor_events",
    "checkout_sessions",
    "order_stats",
    "order_emails",
    "outbox",
)
"""Tables that append_batch writes beside the log."""

ADDED_TO: Final = frozenset({"order_stats"})
"""Those whose rows are added to what is there: what many commands write alike goes once, with their numbers."""

_UUID: Final = 2950
_TEXT: Final = 25
_BYTEA: Final = 17
_JSON: Final = 114
_ARRAYS_OF_EVENTS: Final = (1007, 2951, 1016, 1009, 1001)  # integer[], uuid[], bigint[], text[], bytea[]
_DOCUMENTS: Final = 1 + len(INLINE_TABLES)
TYPES: Final = (*_ARRAYS_OF_EVENTS, *[_JSON] * _DOCUMENTS)
"""Of CALL's parameters, as their OIDs (pg_type.dat)."""
FORMATS: Final = (TEXT, BINARY, TEXT, BINARY, BINARY, *[TEXT] * _DOCUMENTS)
"""Long values go in binary: a quarter of the text form's cost at both ends (docs/adr/0002)."""
CALL: Final = "SELECT * FROM append_batch({})".format(", ".join(f"${place}" for place in range(1, len(TYPES) + 1)))  # noqa: S608 - placeholders only

Row = dict[str, Any]
_Groups = dict[tuple[tuple[str, Any], ...], list[int]]
"""Rows, as their items, and the numbers of the commands that write them."""


class Outcome(StrEnum):
    """What became of a command; see append_batch (migrations/0016)."""

    APPENDED = "appended"
    CONFLICT = "conflict"
    REPLAYED = "replayed"
    IN_FLIGHT = "in_flight"
    UNAUTHORIZED = "unauthorized"
    CLAIMED = "claimed"


@value(frozen=True, slots=True)
class IdempotencyRow:
    """An idempotency key with the answer that its request will get.

    ``flight_s``: how long the first request may go on waiting for the outcome before this answer stands.
    """

    id: UUID
    merchant_id: UUID
    request_hash: str
    status: int
    body: str
    sealed: bool = False
    flight_s: int | None = None


@value(frozen=True, slots=True)
class StoredResponse:
    """The answer that an idempotency key got before."""

    request_hash: str
    status: int
    body: str
    sealed: bool


@dataclass(slots=True)
class Append:
    """All that one command writes: it commits together or not at all."""

    events: Sequence[StoredEvent]
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    api_key_id: UUID | None = None
    """The key that must still be valid when this commits."""
    claim: tuple[str, UUID] | None = None
    """A value that only one stream may hold, and that stream."""
    idempotency: IdempotencyRow | None = None

    def touches(self) -> list[object]:
        """What no two commands of one batch may share."""
        touched: list[object] = [event.originator_id for event in self.events]
        if self.idempotency is not None:
            touched.append(("idempotency", self.idempotency.id))
        if self.claim is not None:
            touched.append(("claim", self.claim[0]))
        return touched


@value(frozen=True, slots=True)
class Appended:
    """``position`` is the first event's place in the log; None when there was none."""

    outcome: Outcome
    position: int | None = None
    response: StoredResponse | None = None


def parameters(batch: Sequence[Append]) -> list[bytes | None]:
    """The parameters of CALL, in FORMATS. Events go as arrays, rows as one JSON document a table (docs/adr/0002)."""
    commands: list[int] = []
    streams: list[bytes] = []
    versions: list[int] = []
    topics: list[bytes] = []
    states: list[bytes] = []
    checks: list[Row] = []
    tables: dict[str, list[Row]] = {}
    alike: dict[str, _Groups] = {}
    for number, append in enumerate(batch):
        for event in append.events:
            commands.append(number)
            stream = event.originator_id
            streams.append((stream if isinstance(stream, UUID) else UUID(stream)).bytes)
            versions.append(event.originator_version)
            topics.append(event.topic.encode())
            states.append(event.state)
        check = _check(append, number)
        if check is not None:
            checks.append(check)
        for table, rows in append.rows.items():
            if table in ADDED_TO:
                _group(alike.setdefault(table, {}), rows, number)
                continue
            into = tables.setdefault(table, [])
            for row in rows:
                row["c"] = number
                into.append(row)
    for table, groups in alike.items():
        tables[table] = [{**dict(row), "cs": numbers} for row, numbers in groups.items()]
    documents = (_document(tables.get(table)) for table in INLINE_TABLES)
    return [
        array_literal(commands),
        binary_array(_UUID, streams),
        array_literal(versions),
        binary_array(_TEXT, topics),
        binary_array(_BYTEA, states),
        _document(checks),
        *documents,
    ]


def _group(groups: _Groups, rows: Sequence[Row], number: int) -> None:
    """Put the command's number to each of its rows. The rows stay as they are: a batch may be sent again."""
    for row in rows:
        key = tuple(row.items())
        numbers = groups.get(key)
        if numbers is None:
            groups[key] = [number]
        else:
            numbers.append(number)


def _document(rows: list[Row] | None) -> bytes | None:
    return orjson.dumps(rows) if rows else None


def _check(append: Append, number: int) -> Row | None:
    key, claim, idempotency = append.api_key_id, append.claim, append.idempotency
    if key is None and claim is None and idempotency is None:
        return None
    check: Row = {"c": number, "key": key}
    if claim is not None:
        check["claim"], check["owner"] = claim
    if idempotency is not None:
        check["idem"] = idempotency.id
        check["merchant"] = idempotency.merchant_id
        check["hash"] = idempotency.request_hash
        check["status"] = idempotency.status
        check["body"] = idempotency.body
        check["sealed"] = idempotency.sealed
        check["flight"] = idempotency.flight_s
    return check


def outcomes(batch: Sequence[Append], rows: Iterable[Sequence[Any]]) -> list[Appended]:
    """The outcome of each command of the batch, from append_batch's rows.

    A command of no events that nothing was said of went well.
    """
    results: list[Appended] = [Appended(Outcome.APPENDED) for _ in batch]
    for number, told, position, request_hash, status, body, sealed in rows:
        outcome = Outcome.APPENDED if told == "same" else Outcome(told)
        response = None if request_hash is None else StoredResponse(request_hash, status, body, sealed)
        results[number] = Appended(outcome, position, response)
    return results
