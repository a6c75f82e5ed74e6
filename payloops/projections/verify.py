"""Does every read table say what the log says? The log is folded from its beginning and compared with the tables.

It may run while others write: whole streams are folded and compared batch by batch, each batch in a snapshot of its
own. Memory depends on the longest stream, not on the log; and no snapshot lives so long that it keeps dead rows of busy
tables from being cleaned up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, get_args
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from psycopg import sql

from payloops.crypto import DecryptionError
from payloops.db import Connection, Database, load_sql
from payloops.events import (
    checkout_session_state,
    merchant_state,
    order_state,
    processor_event_state,
    webhook_delivery_state,
    webhook_endpoint_state,
)
from payloops.events.checkout_session import CheckoutSessionEvent
from payloops.events.codec import UnreadableEvent
from payloops.events.merchant import MerchantEvent
from payloops.events.order import OrderEvent
from payloops.events.processor_event import ProcessorEventEvent
from payloops.events.registry import EARLIER_TOPICS
from payloops.events.store import EventStore
from payloops.events.webhook_delivery import WebhookDeliveryEvent
from payloops.events.webhook_endpoint import WebhookEndpointEvent
from payloops.projections.base import InlineProjection, Row
from payloops.projections.checkout_sessions import CHECKOUT_PUBLIC_EVENTS, CHECKOUT_SESSIONS
from payloops.projections.merchants import API_KEYS, MERCHANTS, PROCESSOR_CONFIGS
from payloops.projections.order_emails import OrderEmails
from payloops.projections.orders import ORDERS
from payloops.projections.processor_events import PROCESSOR_EVENTS
from payloops.projections.public_events import PUBLIC_EVENTS
from payloops.projections.refunds import REFUNDS
from payloops.projections.transactions import TRANSACTIONS
from payloops.projections.verify_stats import TABLES as STATS_TABLES
from payloops.projections.verify_stats import CountedStats
from payloops.projections.webhook_deliveries import WEBHOOK_ATTEMPTS, WEBHOOK_DELIVERIES
from payloops.projections.webhook_endpoints import WEBHOOK_ENDPOINTS

PAGE_EVENTS: Final = 1000
BATCH_EVENTS: Final = 4000
"""Events that are folded before their rows are compared; one event writes two or three rows."""
BATCH_STREAMS: Final = 1000
VERSION_MAX: Final = 2**63 - 1
REPORTED_MAX: Final = 200
"""Differences, and offenders of each rule, that a report names; all are counted."""

_SQL: Final = load_sql("payloops.projections", "verify")
_EMAILS_SQL: Final = load_sql("payloops.projections", "order_emails")


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

    @property
    def topics(self) -> list[str]:
        """The topics of its events, earlier versions' too."""
        earlier = [topic for topic, event_class in EARLIER_TOPICS.items() if event_class in self.events]
        return [event_class.TOPIC for event_class in self.events] + earlier


FOLDS: Final = (
    Fold(
        "order",
        get_args(OrderEvent),
        order_state.INITIAL,
        order_state.evolve,
        (
            StreamTable(ORDERS, "id"),
            StreamTable(TRANSACTIONS, "order_id"),
            StreamTable(REFUNDS, "order_id"),
            StreamTable(PUBLIC_EVENTS, "stream_id"),
        ),
    ),
    Fold(
        "checkout session",
        get_args(CheckoutSessionEvent),
        checkout_session_state.INITIAL,
        checkout_session_state.evolve,
        (StreamTable(CHECKOUT_SESSIONS, "id"), StreamTable(CHECKOUT_PUBLIC_EVENTS, "stream_id")),
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
    Fold(
        "processor event",
        get_args(ProcessorEventEvent),
        processor_event_state.INITIAL,
        processor_event_state.evolve,
        (StreamTable(PROCESSOR_EVENTS, "id"),),
    ),
    Fold(
        "webhook endpoint",
        get_args(WebhookEndpointEvent),
        webhook_endpoint_state.INITIAL,
        webhook_endpoint_state.evolve,
        (StreamTable(WEBHOOK_ENDPOINTS, "id"),),
    ),
    Fold(
        "webhook delivery",
        get_args(WebhookDeliveryEvent),
        webhook_delivery_state.INITIAL,
        webhook_delivery_state.evolve,
        (StreamTable(WEBHOOK_DELIVERIES, "id"), StreamTable(WEBHOOK_ATTEMPTS, "delivery_id")),
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


async def verify(
    database: Database, store: EventStore, *, emails: OrderEmails | None = None, folds: tuple[Fold, ...] = FOLDS
) -> Report:
    """Compare the read tables with the log, and check the rules of the log and of money.

    ``emails`` has the keys to see whether every order is found by its customer's address. Raises psycopg.Error and
    psycopg_pool.PoolTimeout when the database can't be read, and Unavailable.
    """
    report = Report(rows={table.projection.table: 0 for fold in folds for table in fold.tables})
    async with database.connection() as connection:
        async with _snapshot(connection):
            ((count, last),) = await _rows(connection, _SQL["extent"], ())
            counted = await _read_stats(connection)
        after = UUID(int=0)
        while last is not None and after < last:
            async with _snapshot(connection):
                streams = await _read_streams(connection, store, folds, after, counted)
                await _compare(connection, streams, folds, report)
                if emails is not None:
                    await _compare_emails(connection, streams, emails, report)
            after = streams[-1].id if streams else last
        for table in {table.projection.table: table for fold in folds for table in fold.tables}.values():
            async with _snapshot(connection):
                await _look_for_strays(connection, folds, table, report)
        _compare_stats(counted, report)
        if report.events < count:
            report.violates(f"the log had {count} events, {report.events} were found in its streams")
        async with _snapshot(connection):
            await _check_log(connection, report)
        for rule in RULES:
            async with _snapshot(connection):
                await _check_rule(connection, *rule, report)
    return report


@asynccontextmanager
async def _snapshot(connection: Connection) -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute(_SQL["begin"])
        await connection.execute(_SQL["patience"])
        yield


class _Stream:
    """A stream being folded. ``problem`` says why it can't be; its rows are then left out of the comparison."""

    def __init__(self, stream_id: UUID, folds: tuple[Fold, ...], counted: CountedStats) -> None:
        self.id = stream_id
        self.fold: Fold | None = None
        self.version = 0
        self.events = 0
        self.rows: dict[str, dict[Any, Row]] = {}
        self.problem: str | None = None
        self._folds = folds
        self._counted = counted
        self._state: Any = None

    def take(self, store: EventStore, stored: StoredEvent, position: int) -> None:
        """Fold one event. What can't be folded makes the stream a problem, not an exception."""
        place = f"stream {self.id} version {stored.originator_version} ({stored.topic})"
        follows, self.version = self.version, stored.originator_version
        self.events += 1
        if self.problem is not None:
            return
        if self.version != follows + 1:
            self.problem = f"{place}: follows version {follows}"
            return
        try:
            self._fold(store.from_stored(stored), position)
        except UnreadableEvent:
            self.problem = f"{place}: can't be read"
        except Exception as error:  # noqa: BLE001 - whatever a fold raises is a finding about this stream
            self.problem = f"{place}: {type(error).__name__}"

    def _fold(self, event: Any, position: int) -> None:
        if self.fold is None:
            self.fold = next((fold for fold in self._folds if isinstance(event, fold.events)), None)
            if self.fold is None:
                raise LookupError("no read model knows this kind of stream")
            self._state = self.fold.initial
        before, self._state = self._state, self.fold.evolve(self._state, event)
        if self.fold.name == "order":
            self._counted.take(position, before, event, self._state)
        for table in self.fold.tables:
            projection = table.projection
            rows = projection.rows(before, event, self._state)
            if rows:
                projection.merge(self.rows.setdefault(projection.table, {}), rows)


async def _read_streams(
    connection: Connection, store: EventStore, folds: tuple[Fold, ...], after: UUID, counted: CountedStats
) -> list[_Stream]:
    """The next streams in order of their ids, whole and folded; none at the end of the log."""
    streams: list[_Stream] = []
    events = 0
    place: tuple[UUID, int] = (after, VERSION_MAX)
    while True:
        page = await _rows(connection, _SQL["events_page"], (*place, PAGE_EVENTS))
        for stream_id, version, topic, state, position in page:
            if not streams or streams[-1].id != stream_id:
                if len(streams) >= BATCH_STREAMS or events >= BATCH_EVENTS:
                    return streams
                streams.append(_Stream(stream_id, folds, counted))
            events += 1
            streams[-1].take(store, StoredEvent(stream_id, version, topic, bytes(state)), position)
        if len(page) < PAGE_EVENTS:
            return streams
        place = (page[-1][0], page[-1][1])


async def _read_stats(connection: Connection) -> CountedStats:
    ((position,),) = await _rows(connection, _SQL["head"], ())
    rows = {}
    for table, (key, numbers) in STATS_TABLES.items():
        columns = sql.SQL(", ").join(map(sql.Identifier, (*key, *numbers)))
        query = sql.SQL(_SQL["stats"]).format(columns=columns, table=sql.Identifier(table))
        rows[table] = await _rows(connection, query, ())
    return CountedStats(position, rows)


def _compare_stats(counted: CountedStats, report: Report) -> None:
    report.rows.update(counted.rows)
    if report.violations:
        # Of a stream that can't be read nothing can be counted; it is a finding by itself.
        return
    for table, key, column, expected, found in counted.differences():
        report.differs(Difference(table, key, column, expected, found))


async def _compare_emails(connection: Connection, streams: list[_Stream], emails: OrderEmails, report: Report) -> None:
    """Whether orders are found by their customers' addresses. Rows that are too many are found by RULES."""
    orders = [
        (row["merchant_id"], row["id"], row["customer_email"])
        for stream in streams
        if stream.problem is None
        for row in stream.rows.get(ORDERS.table, {}).values()
        if row["customer_email"] is not None
    ]
    try:
        sought = await emails.sought(orders)
    except DecryptionError as problem:
        report.violates(f"order_emails: the address of an order or its merchant's key can't be opened: {problem}")
        return
    report.rows["order_emails"] = report.rows.get("order_emails", 0) + len(sought.orders)
    for (order_id,) in await _rows(connection, _EMAILS_SQL["missing"], sought.parameters()):
        report.differs(Difference("order_emails", str(order_id), None, "a row", None))


async def _compare(connection: Connection, streams: list[_Stream], folds: tuple[Fold, ...], report: Report) -> None:
    report.streams += len(streams)
    report.events += sum(stream.events for stream in streams)
    for stream in streams:
        if stream.problem is not None:
            report.violates(stream.problem)
    for fold in folds:
        of_fold = [stream for stream in streams if stream.fold is fold]
        if of_fold:
            for table in fold.tables:
                await _compare_table(connection, table, of_fold, report)


async def _compare_table(connection: Connection, table: StreamTable, streams: list[_Stream], report: Report) -> None:
    projection = table.projection
    rows = await _rows(connection, _composed("rows_of_streams", table), ([stream.id for stream in streams],))
    found = {row[0]: dict(zip(projection.columns, row[1:], strict=True)) for row in rows}
    report.rows[projection.table] += len(found)
    for stream in streams:
        for key, row in stream.rows.get(projection.table, {}).items():
            theirs = found.pop(key, None)
            if stream.problem is None:
                _compare_row(projection, key, row, theirs, report)
    broken = {stream.id for stream in streams if stream.problem is not None}
    for key, row in found.items():
        if row[table.stream_column] not in broken:
            report.differs(Difference(projection.table, str(key), None, None, "a row"))


def _compare_row(projection: InlineProjection, key: Any, expected: Row, found: Row | None, report: Report) -> None:
    if found is None:
        report.differs(Difference(projection.table, str(key), None, "a row", None))
        return
    for column in projection.columns:
        ours, theirs = expected[column], found[column]
        if ours == theirs and type(ours) is type(theirs):
            continue
        ours, theirs = normalized(ours), normalized(theirs)
        if ours != theirs or type(ours) is not type(theirs):
            report.differs(Difference(projection.table, str(key), column, ours, theirs))


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


async def _look_for_strays(connection: Connection, folds: tuple[Fold, ...], table: StreamTable, report: Report) -> None:
    """Rows of no stream, or of a stream of a kind that does not write the table, are not met while folding."""
    writers = [fold for fold in folds if table.projection.table in {one.projection.table for one in fold.tables}]
    topics = [topic for fold in writers for topic in fold.topics]
    strays = await _rows(connection, _composed("rows_without_stream", table), (topics, REPORTED_MAX))
    for key, _ in strays:
        report.differs(Difference(table.projection.table, str(key), None, None, "a row"))
    if strays:
        report.difference_count += strays[0][1] - len(strays)


async def _check_log(connection: Connection, report: Report) -> None:
    """Positions are 1, 2, 3 … up to the head."""
    ((count, first, last, head, heads),) = await _rows(connection, _SQL["log_bounds"], ())
    if heads != 1:
        report.violates(f"log_head has {heads} rows")
    if first != 1 or last != count:
        report.violates(f"the log has {count} events at positions {first} to {last}: some are missing")
    if head != last:
        report.violates(f"log_head says {head}, the last event is at {last}")


RULES: Final = (
    ("orders_out_of_bounds", "order {}: 0 <= refunded <= captured <= amount does not hold"),
    ("orders_with_other_refunds", "order {}: amount_refunded is not the sum of its refunds"),
    ("orders_refunded_beyond_captured", "order {}: its refunds, pending ones included, exceed what was captured"),
    ("public_events_misplaced", "public event {}: its position is not its event's place in the log"),
    ("public_events_with_gaps", "stream {}: its public events are not numbered from 1 without gaps"),
    ("order_emails_stray", "order {}: it is found by an e-mail address, but has none"),
    ("order_emails_twice", "order {}: it is found by more than one e-mail address"),
    ("idempotency_keys_twice", "idempotency key {}: more than one row"),
    ("claims_without_stream", "claim {}: its owner has no stream"),
)
"""Queries for offenders, and what is said of each."""


async def _check_rule(connection: Connection, block: str, sentence: str, report: Report) -> None:
    for (offender,) in await _rows(connection, _SQL[block], (REPORTED_MAX,)):
        report.violates(sentence.format(offender))


async def _rows(
    connection: Connection, query: str | sql.Composed, parameters: tuple[Any, ...] | Mapping[str, Any]
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
