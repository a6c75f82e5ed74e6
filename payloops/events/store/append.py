"""One command's append, a batch of them as the parameters of ``append_batch``, and what that function answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

from payloops.values import value

INLINE_TABLES: Final = (
    "merchants",
    "merchant_keys",
    "api_keys",
    "processor_configs",
    "orders",
    "transactions",
    "refunds",
    "outbox",
)
"""Tables that append_batch writes beside the log."""

CALL: Final = (
    "SELECT * FROM append_batch(%s::integer[], %b::uuid[], %s::bigint[], %b::text[], %b::bytea[], %s::json, {})".format(  # noqa: S608 - placeholders only
        ", ".join(["%s::json"] * len(INLINE_TABLES))
    )
)
"""Long values go in binary (%b): a quarter of the text format's cost at both ends (docs/adr/0002). Numbers and
documents go as untyped text: the driver prepares a statement anew for other parameter types, and it takes the size of
numbers and a document's absence for such, so that any new mix of commands would cost a round trip more."""

Row = dict[str, Any]


class Outcome(StrEnum):
    """What became of a command; see append_batch (migrations/0004)."""

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


def parameters(batch: Sequence[Append]) -> list[Any]:
    """The parameters of CALL. Events go as arrays, rows as one JSON document a table (docs/adr/0002)."""
    commands: list[int] = []
    streams: list[UUID | str] = []
    versions: list[int] = []
    topics: list[str] = []
    states: list[bytes] = []
    checks: list[Row] = []
    tables: dict[str, list[Row]] = {}
    for number, append in enumerate(batch):
        for event in append.events:
            commands.append(number)
            streams.append(event.originator_id)
            versions.append(event.originator_version)
            topics.append(event.topic)
            states.append(event.state)
        check = _check(append, number)
        if check is not None:
            checks.append(check)
        for table, rows in append.rows.items():
            into = tables.setdefault(table, [])
            for row in rows:
                row["c"] = number
                into.append(row)
    documents = (_document(tables.get(table)) for table in INLINE_TABLES)
    return [_literal(commands), streams, _literal(versions), topics, states, _document(checks), *documents]


def _literal(numbers: Iterable[int]) -> str:
    """An array in PostgreSQL's text form."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _document(rows: list[Row] | None) -> str | None:
    return orjson.dumps(rows).decode() if rows else None


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
