"""Does every read table say what the log says? The log is folded from its beginning and compared with the tables.

All is read in one snapshot, so it may run while others write. Streams are folded one after the other and compared in
batches: memory depends on the longest stream, not on the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, get_args
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from psycopg import sql

from payloops.db import Connection, Database, load_sql
from payloops.events import merchant_state, order_state
from payloops.events.codec import UnreadableEvent
from payloops.events.merchant import MerchantEvent
from payloops.events.order import OrderEvent
from payloops.events.store import EventStore
from payloops.projections.base import InlineProjection, Row
from payloops.projections.merchants import API_KEYS, MERCHANTS, PROCESSOR_CONFIGS
from payloops.projections.orders import ORDERS
from payloops.projections.refunds import REFUNDS
from payloops.projections.transactions import TRANSACTIONS

PAGE_EVENTS: Final = 1000
BATCH_ROWS: Final = 2000
"""Expected rows that are collected before they are compared."""
BATCH_STREAMS: Final = 1000
REPORTED_MAX: Final = 200
"""Differences, and offenders of each rule, that a report names; all are counted."""

_SQL: Final = load_sql("payloops.projections", "verify")


@dataclass(frozen=True, slots=True)
class StreamTable:
    """A read table and the column that names the stream that a row was made from."""

    projection: InlineProjection
    stream_column: str


@dataclass(frozen=True, slots=True)
class Fold:
    """How the streams of one kind of aggregate become rows. ``events`` are its event classes."""

    name: str
    events: tuple[type[Any], ...]
    initial: Any
    evolve: Callable[[Any, Any], Any]
    tables: tuple[StreamTable, ...]


FOLDS: Final = (
    Fold(
        "order",
        get_args(OrderEvent),
        order_state.INITIAL,
        order_state.evolve,
        (StreamTable(ORDERS, "id"), StreamTable(TRANSACTIONS, "order_id"), StreamTable(REFUNDS, "order_id")),
    ),
    Fold(
        "merchant",
        get_args(MerchantEvent),
        merchant_state.INITIAL,
        merchant_state.evolve,
        (
            StreamTable(MERCHANTS, "id"),
            StreamTable(API_KEYS, "merchant_id"),
            StreamTable(PROCESSOR_CONFIGS, "merchant_id"),
        ),
    ),
)
"""Every kind of aggregate with its inline tables. An event of no fold here is reported: nothing goes unverified."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One column of one row; ``column`` is None when the row itself is missing (``found`` None) or too many."""

    table: str
    key: str
    column: str | None
    expected: Any
    found: Any


@dataclass(slots=True)
class Report:
    """What was compared and what is wrong; ``violations`` are broken rules of the log and of money, a sentence each."""

    events: int = 0
    streams: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    difference_count: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the tables are what the log says and no rule is broken."""
        return not self.difference_count and not self.violations

    def differs(self, difference: Difference) -> None:
        """Count a difference, and keep it while there is room."""
        self.difference_count += 1
        if len(self.differences) < REPORTED_MAX:
            self.differences.append(difference)

    def violates(self, sentence: str) -> None:
        """Note a broken rule."""
        if len(self.violations) < REPORTED_MAX:
            self.violations.append(sentence)


async def verify(database: Database, store: EventStore, *, folds: tuple[Fold, ...] = FOLDS) -> Report:
    """Compare the read tables with the log, and check the rules of the log and of money.

    Raises psycopg.Error and psycopg_pool.PoolTimeout when the database can't be read.
    """
    report = Report(rows={table.projection.table: 0 for fold in folds for table in fold.tables})
    async with database.connection() as connection, connection.transaction():
        await connection.execute(_SQL["begin"])
        await connection.execute(_SQL["patience"])
        batch = _Batch(connection, report)
        async for stream in _streams(connection, store, folds, report):
            await batch.add(stream)
        await batch.compare()
        for table in (table for fold in folds for table in fold.tables):
            await _compare_totals(connection, table, report)
        await _check_log(connection, report)
        await _check_rules(connection, report)
    return report


class _Stream:
    """A stream being folded."""

    def __init__(self, stream_id: UUID, fold: Fold | None) -> None:
        self.id = stream_id
        self.fold = fold
        self.version = 0
        self.rows: dict[str, dict[Any, Row]] = {}
        self.problem: str | None = None
        self._state = None if fold is None else fold.initial

    def take(self, stored: StoredEvent, event: Any) -> None:
        """Fold one event. What can't be folded makes the stream a problem, not an exception."""
        place = f"stream {self.id} version {stored.originator_version} ({stored.topic})"
        if stored.originator_version != self.version + 1:
            self.problem = f"{place}: follows version {self.version}"
        self.version = stored.originator_version
        if self.problem is not None:
            return
        if self.fold is None or not isinstance(event, self.fold.events):
            self.problem = f"{place}: no read model knows this kind of stream"
            return
        try:
            after = self.fold.evolve(self._state, event)
            for table in self.fold.tables:
                projection = table.projection
                rows = projection.rows(self._state, event, after)
                if rows:
                    projection.merge(self.rows.setdefault(projection.table, {}), rows)
        except Exception as error:  # noqa: BLE001 - whatever a fold raises is a finding about this stream
            self.problem = f"{place}: {type(error).__name__}"
            return
        self._state = after


async def _streams(
    connection: Connection, store: EventStore, folds: tuple[Fold, ...], report: Report
) -> AsyncIterator[_Stream]:
    """All streams, folded, in order of their ids."""
    stream: _Stream | None = None
    async for stored in _events(connection):
        report.events += 1
        event: Any = None
        unreadable: str | None = None
        try:
            event = store.from_stored(stored)
        except UnreadableEvent as error:
            unreadable = str(error)
        if stream is None or stream.id != stored.originator_id:
            if stream is not None:
                yield stream
            fold = next((fold for fold in folds if isinstance(event, fold.events)), None)
            stream = _Stream(UUID(str(stored.originator_id)), fold)
        if unreadable is not None and stream.problem is None:
            stream.problem = f"{unreadable}: can't be read"
        stream.take(stored, event)
    if stream is not None:
        yield stream


async def _events(connection: Connection) -> AsyncIterator[StoredEvent]:
    after: tuple[UUID, int] = (UUID(int=0), 0)
    while True:
        cursor = await connection.execute(_SQL["events_page"], (*after, PAGE_EVENTS), prepare=True)
        page = await cursor.fetchall()
        for stream_id, version, topic, state in page:
            yield StoredEvent(stream_id, version, topic, bytes(state))
        if len(page) < PAGE_EVENTS:
            return
        after = (page[-1][0], page[-1][1])


class _Batch:
    """Streams whose rows wait to be compared."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection = connection
        self._report = report
        self._streams: list[_Stream] = []
        self._rows = 0

    async def add(self, stream: _Stream) -> None:
        self._report.streams += 1
        if stream.problem is not None:
            self._report.violates(stream.problem)
        self._streams.append(stream)
        self._rows += sum(len(rows) for rows in stream.rows.values())
        if self._rows >= BATCH_ROWS or len(self._streams) >= BATCH_STREAMS:
            await self.compare()

    async def compare(self) -> None:
        streams, self._streams, self._rows = self._streams, [], 0
        folds = {id(stream.fold): stream.fold for stream in streams if stream.fold is not None}
        for fold in folds.values():
            of_fold = [stream for stream in streams if stream.fold is fold]
            for table in fold.tables:
                await self._compare_table(table, of_fold)

    async def _compare_table(self, table: StreamTable, streams: list[_Stream]) -> None:
        projection = table.projection
        query = _composed("rows_of_streams", table)
        cursor = await self._connection.execute(query, ([stream.id for stream in streams],))
        found = {row[0]: dict(zip(projection.columns, row[1:], strict=True)) for row in await cursor.fetchall()}
        self._report.rows[projection.table] += len(found)
        for stream in streams:
            for key, row in stream.rows.get(projection.table, {}).items():
                self._compare_row(projection, key, row, found.pop(key, None), foldable=stream.problem is None)
        broken = {stream.id for stream in streams if stream.problem is not None}
        for key, row in found.items():
            if row[table.stream_column] not in broken:
                self._report.differs(Difference(projection.table, str(key), None, None, "a row"))

    def _compare_row(
        self, projection: InlineProjection, key: Any, expected: Row, found: Row | None, *, foldable: bool
    ) -> None:
        if not foldable:
            return
        if found is None:
            self._report.differs(Difference(projection.table, str(key), None, "a row", None))
            return
        for column in projection.columns:
            ours, theirs = normalized(expected[column]), normalized(found[column])
            if ours != theirs or type(ours) is not type(theirs):
                self._report.differs(Difference(projection.table, str(key), column, ours, theirs))


def normalized(value: Any) -> Any:
    """A value as plain JSON, so that what Python made and what Postgres gave back compare by meaning."""
    match value:
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Mapping():
            return {str(name): normalized(inner) for name, inner in value.items()}
        case list() | tuple():
            return [normalized(inner) for inner in value]
        case _:
            return value


async def _compare_totals(connection: Connection, table: StreamTable, report: Report) -> None:
    """Rows of no stream, or of a stream of another kind, were not met while folding."""
    name = table.projection.table
    strays = await _rows(connection, _composed("rows_without_stream", table), (REPORTED_MAX,))
    for key, _ in strays:
        report.differs(Difference(name, str(key), None, None, "a row"))
    stray_count = strays[0][1] if strays else 0
    report.difference_count += stray_count - len(strays)
    ((total,),) = await _rows(connection, _composed("row_count", table), ())
    misplaced = total - stray_count - report.rows[name]
    if misplaced:
        report.violates(f"{name}: {misplaced} rows name a stream of another kind")
    report.rows[name] = total


async def _check_log(connection: Connection, report: Report) -> None:
    """Positions are 1, 2, 3 … up to the head."""
    ((count, first, last, head, heads),) = await _rows(connection, _SQL["log_bounds"], ())
    if heads != 1:
        report.violates(f"log_head has {heads} rows")
    if first != 1 or last != count:
        report.violates(f"the log has {count} events at positions {first} to {last}: some are missing")
    if head != last:
        report.violates(f"log_head says {head}, the last event is at {last}")
    if count != report.events:
        report.violates(f"{report.events} events were folded, the log has {count}")


async def _check_rules(connection: Connection, report: Report) -> None:
    rules = (
        ("orders_out_of_bounds", "order {}: 0 <= refunded <= captured <= amount does not hold"),
        ("orders_with_other_refunds", "order {}: amount_refunded is not the sum of its refunds"),
        ("orders_refunded_beyond_captured", "order {}: its refunds, pending ones included, exceed what was captured"),
        ("idempotency_keys_twice", "idempotency key {}: more than one row"),
        ("claims_without_stream", "claim {}: its owner has no stream"),
    )
    for block, sentence in rules:
        for (offender,) in await _rows(connection, _SQL[block], (REPORTED_MAX,)):
            report.violates(sentence.format(offender))


async def _rows(
    connection: Connection, query: str | sql.Composed, parameters: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, parameters)).fetchall()


def _composed(block: str, table: StreamTable) -> sql.Composed:
    projection = table.projection
    columns: Iterable[str] = (projection.key, *projection.columns)
    return sql.SQL(_SQL[block]).format(
        table=sql.Identifier(projection.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        key=sql.Identifier(projection.key),
        stream=sql.Identifier(table.stream_column),
    )
